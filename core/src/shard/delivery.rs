//! A publication's way into the outboxes of its receivers.

use std::ops::Range;

use super::connection::{Connection, Link};
use super::{Shard, TransportKey};
use crate::Millis;
use crate::command::Excluded;
use crate::hub::{HubIndex, List};
use crate::id::Slot;
use crate::publication::Publication;
use crate::transport::Transport;
use crate::wheel::{TimerKind, Wheel};

/// How often the messages that a blocked client has not taken are looked at for those that have
/// expired, in milliseconds.
const EXPIRY_CHECK_MS: u64 = 1000;

impl<T: Transport> Shard<T> {
    /// Queues a publication for the members at `places`; returns the first place not visited.
    /// This is the innermost loop of the server: it allocates nothing once its pools are warm.
    pub(super) fn deliver(
        &mut self,
        index: HubIndex,
        list: &List,
        places: Range<usize>,
        publication: &Publication,
        excluded: &Excluded,
    ) -> usize {
        let Some(Some(hub)) = self.hubs.get(index.0 as usize) else {
            return places.end;
        };
        let Some(members) = hub.members(list) else {
            return places.end;
        };
        let end = places
            .end
            .min(places.start.saturating_add(self.members_left));
        self.members_left -= end - places.start;
        for place in places.start..end {
            let Some(slot) = members.at(place) else {
                continue;
            };
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            if excluded.contains(&connection.seat.connection()) {
                continue;
            }
            let frame = publication.frame(connection.encoding);
            let link = &mut connection.link;
            link.outbox.push(frame, &mut self.pool);
            self.numbers.messages_delivered += 1;
            if link.wants_flush(self.node.limits()) {
                link.flags.dirty = true;
                self.dirty.push_back(TransportKey {
                    slot,
                    birth: connection.birth,
                });
            } else if link.must_watch_expiry() {
                connection.watch_expiry(slot, self.now, &mut self.wheel);
            }
        }
        end
    }

    /// Queues a publication for one connection.
    pub(super) fn deliver_to(&mut self, slot: Slot, publication: &Publication) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let frame = publication.frame(connection.encoding);
        connection.link.outbox.push(frame, &mut self.pool);
        self.numbers.messages_delivered += 1;
        self.mark_dirty(slot);
        self.watch_expiry(slot);
    }

    /// Sees to it that messages which expire while the client is blocked give their memory back.
    pub(super) fn watch_expiry(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if connection.link.must_watch_expiry() {
            connection.watch_expiry(slot, self.now, &mut self.wheel);
        }
    }

    /// The expiry timer of a connection fired: the next flush drops what has expired.
    pub(super) fn check_expiry(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let link = &mut connection.link;
        link.flags.expiry_watched = false;
        if link.outbox.next_expiry().is_some() && !link.flags.dirty {
            link.flags.dirty = true;
            self.dirty.push_back(TransportKey {
                slot,
                birth: connection.birth,
            });
        }
    }
}

impl<T> Connection<T> {
    fn watch_expiry(&mut self, slot: Slot, now: Millis, wheel: &mut Wheel) {
        self.link.flags.expiry_watched = true;
        let due = now.plus(EXPIRY_CHECK_MS);
        wheel.arm(slot, self.birth, TimerKind::Expiry, due);
    }
}

impl<T> Link<T> {
    /// Whether messages that expire wait behind a client that takes nothing, and no timer runs
    /// for them.
    fn must_watch_expiry(&self) -> bool {
        self.flags.blocked && !self.flags.expiry_watched && self.outbox.next_expiry().is_some()
    }
}
