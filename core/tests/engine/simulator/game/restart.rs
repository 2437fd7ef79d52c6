//! The end of a node in the middle of a game, and the next one, which takes the reliable sessions
//! over.

use hubwire_core::inbox::AtShutdown;
use hubwire_core::snapshot::Snapshot;

use super::Game;
use super::reload::Handlers;
use crate::support::world::World;

impl Game {
    /// Ends the node and begins another one, with another number of shards, a while later.
    pub(super) fn restart(&mut self) {
        self.check_strangers_at_rest();
        for actor in &mut self.actors {
            actor.reading = true;
            // Whoever cannot be continued is closed.
            actor.may_end |= actor.reliable.is_none();
        }
        self.node_stops = true;
        self.come_to_rest();
        let saved_at = self.world.now;
        let leases: Vec<_> = self
            .actors
            .iter()
            .map(|actor| Some(actor.reliable.as_ref()?.lease.left_ms(saved_at)))
            .collect();
        let snapshot = self.stop();
        let window_ms = self.plan.limits.recovery_window_ms;
        let away_ms = self
            .random
            .pick(&[0, 100, 1_000, window_ms / 2, window_ms + 1_000]);
        let births = self.world.births;
        self.plan.shards = self.random.between(1, 5);
        let (limits, budget) = (self.plan.limits.clone(), &self.plan.budget);
        self.world = World::restarted(self.plan.shards, limits, budget, snapshot, away_ms);
        self.world.births = births;
        self.handlers = Handlers::default();
        self.node_stops = false;
        self.model.shift_clock(saved_at.0 + away_ms);
        for (actor, lease) in self.actors.iter_mut().zip(leases) {
            if actor.is_up() {
                actor.lose(&mut self.model);
            }
            match (&mut actor.reliable, lease) {
                (Some(reliable), Some((must_ms, may_ms))) => {
                    let left = |ms: u64| ms.saturating_sub(away_ms);
                    reliable.lease.node_began(left(must_ms), left(may_ms));
                    reliable.ghosts.clear();
                }
                _ => actor.ended = true,
            }
        }
    }

    fn check_strangers_at_rest(&mut self) {
        self.settle();
        self.check_strangers();
    }

    /// No call of an application server, no message of a client and no handler is under way.
    fn come_to_rest(&mut self) {
        while !self.front.is_idle() {
            self.settle();
            self.world.now = self.world.now.plus(20);
        }
        self.world.node.quiesce();
        for round in 0.. {
            assert!(round < 500, "the node does not come to rest");
            self.settle();
            if self.world.node.is_quiet() && self.front.is_idle() {
                return;
            }
            self.world.now = self.world.now.plus(20);
        }
    }

    /// Ends the node, which is at rest, and checks that nothing is left of it but what it saved, as
    /// a file has it.
    fn stop(&mut self) -> Snapshot {
        self.world.node.shut_down(AtShutdown::SaveSessions);
        self.settle();
        // Not every client answers a close frame.
        self.world.now = self
            .world
            .now
            .plus(self.plan.limits.close_timeout_ms + 1_000);
        self.settle();
        // What is saved shares the queues' frames until it is written.
        let stored = serde_json::to_string(&self.world.node.take_saved()).unwrap();
        self.world.assert_empty();
        self.counted.add(&self.world.node.numbers());
        serde_json::from_str(&stored).unwrap()
    }
}
