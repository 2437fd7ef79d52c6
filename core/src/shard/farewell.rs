//! What sessions that ended leave to be said to groups: commands that must reach every shard they
//! concern, though nobody waits for their turn or for room any more.
//!
//! They go in their order, one after the other. The list needs no bound of its own: a session may
//! owe as much as its own bounds allow, and while the list is not empty no session may begin to owe
//! more; see [`Shard::must_wait_for_farewells`].

use std::collections::VecDeque;

use super::Shard;
use crate::command::Command;
use crate::inbox::Mail;
use crate::transport::Transport;

/// Room that the empty list keeps.
const KEPT: usize = 64;

/// The commands that are still to be sent.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    waiting: VecDeque<Command>,
    /// The first one waits for room in an inbox, which wakes this shard.
    is_blocked: bool,
}

impl Farewells {
    /// Whether nothing is left to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another tick would get further.
    pub(super) fn want_tick(&self) -> bool {
        !self.waiting.is_empty() && !self.is_blocked
    }
}

impl<T: Transport> Shard<T> {
    /// Sends `command` to every shard that it concerns, this one included, as soon as there is
    /// room, behind what this shard's sessions published before. Nothing is applied at once, so
    /// it may be called anywhere.
    pub(super) fn owe(&mut self, command: Command) {
        self.farewells.waiting.push_back(command);
    }

    /// Whether a request which creates something that its session will owe has to wait. It is
    /// retried with those that wait for room, behind the farewells of the same tick.
    pub(super) fn must_wait_for_farewells(&self) -> bool {
        !self.farewells.is_empty()
    }

    /// Sends what is owed, as far as there is room.
    pub(super) fn settle_farewells(&mut self) {
        self.farewells.is_blocked = false;
        for _ in 0..self.farewells.waiting.len().min(self.budget.commands) {
            // The part for this shard would have to wait there.
            if self.backlog_is_full() {
                return;
            }
            let Some(command) = self.farewells.waiting.front() else {
                return;
            };
            let shards = self.node.route(&command.hub, &command.target);
            let others = shards.without(self.id);
            let Some(permits) = self.node.reserve_in_all(others, self.waiter()) else {
                self.farewells.is_blocked = true;
                return;
            };
            let Some(command) = self.farewells.waiting.pop_front() else {
                return;
            };
            for (shard, permit) in permits {
                self.hand_off[shard.index()].push((permit, Mail::Command(command.clone())));
            }
            if shards.contains(self.id) {
                self.receive_command(command);
            }
        }
        if self.farewells.waiting.is_empty() {
            self.farewells.waiting.shrink_to(KEPT);
        }
    }
}
