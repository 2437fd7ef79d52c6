//! New settings for a running node.

use super::super::actor::Speech;
use super::Game;
use crate::support::world::hubs;

/// Whether events have a handler. Shards learn of a change at their next tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Handlers {
    #[default]
    On,
    /// They were switched since the last pause.
    Switched {
        on: bool,
    },
    Off,
}

impl Handlers {
    pub(super) fn may_be_off(self) -> bool {
        self != Self::On
    }

    /// Whether every shard knows that there are none.
    pub(super) fn are_off(self) -> bool {
        self == Self::Off
    }

    /// Every shard knows now.
    pub(super) fn settle(&mut self) {
        *self = match *self {
            Self::On | Self::Switched { on: true } => Self::On,
            Self::Off | Self::Switched { on: false } => Self::Off,
        };
    }
}

impl Game {
    pub(super) fn reload(&mut self) {
        let on = self.random.chance(60);
        let interval = self.random.between(10_000, 30_000);
        self.world.node.replace_hubs(hubs(on, interval as u64));
        if self.handlers == Handlers::On && on {
            return;
        }
        self.handlers = Handlers::Switched { on };
        for event in &mut self.events {
            event.never = false;
        }
        // Whoever has an event without a handler is closed.
        for actor in &mut self.actors {
            actor.may_end |= actor.speech == Speech::SimpleEvents;
        }
    }
}
