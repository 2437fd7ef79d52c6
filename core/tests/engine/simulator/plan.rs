//! What kind of game a seed is: how large, how narrow, how hostile.

use hubwire_core::settings::{Limits, TickBudget};

use super::random::Random;

/// The bounds of one game.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) shards: usize,
    pub(crate) limits: Limits,
    pub(crate) budget: TickBudget,
    /// Most connections at a time.
    pub(crate) actors: usize,
    pub(crate) groups: usize,
    /// Random steps between two pauses.
    pub(crate) steps: usize,
    pub(crate) pauses: usize,
    /// Clients may be closed because they do not read.
    pub(crate) slow: bool,
    /// Clients may be closed because the node is out of queue memory.
    pub(crate) short_of_memory: bool,
    /// Joins may be refused.
    pub(crate) few_groups: bool,
    /// Reliable clients may be closed because too much is not acknowledged.
    pub(crate) small_replay: bool,
    /// Of a hundred clients with a subprotocol, how many speak a reliable one.
    pub(crate) reliable_percent: usize,
    /// In how many of a hundred pauses the node is restarted.
    pub(crate) restart_percent: usize,
    /// Messages larger than a frame and a read.
    pub(crate) large: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x706c_616e);
        let slow = random.chance(25);
        let short_of_memory = random.chance(20);
        let few_groups = random.chance(15);
        let small_replay = random.chance(20);
        let groups = random.between(1, 4);
        let limits = Limits {
            message_bytes: 150_000,
            outbound_queue_messages: if slow {
                random.between(3, 40)
            } else {
                1_000_000
            },
            outbound_queue_bytes: if slow {
                random.pick(&[500, 5_000, 100_000])
            } else {
                1 << 30
            },
            parked_input_bytes: random.pick(&[1, 60, 300, 64 << 10]),
            groups_per_connection: if few_groups {
                random.between(1, groups)
            } else {
                100
            },
            streams_per_connection: random.pick(&[1, 2, 100]),
            node_queued_bytes: if short_of_memory {
                random.pick(&[300, 1_500, 6_000])
            } else {
                1 << 40
            },
            replay_messages: if small_replay {
                random.between(1, 30)
            } else {
                1_000_000
            },
            replay_bytes: if small_replay {
                random.pick(&[500, 3_000, 1 << 30])
            } else {
                1 << 30
            },
            recovery_window_ms: random.pick(&[300, 3_000, 30_000, 90_000]),
            connections: 1000,
            inbox_commands: random.pick(&[1, 2, 3, 5, 8, 8, 100]),
            pending_asks: random.pick(&[1, 3, 1000]),
            close_timeout_ms: 5000,
            ..Limits::default()
        };
        let budget = TickBudget {
            attachments: random.between(1, 3),
            commands: random.between(1, 4),
            members: random.pick(&[1, 2, 3, 5, 10, 1000]),
            reads: random.between(1, 4),
            flushes: random.between(1, 4),
            bytes_sent: 16 << 20,
        };
        Self {
            shards: random.between(1, 5),
            limits,
            budget,
            actors: random.between(2, 14),
            groups,
            steps: random.between(50, 250),
            pauses: random.between(1, 3),
            slow,
            short_of_memory,
            few_groups,
            small_replay,
            reliable_percent: random.pick(&[0, 40, 40, 40, 100]),
            restart_percent: random.pick(&[0, 20, 50]),
            large: !short_of_memory && random.chance(4),
        }
    }

    /// Whether a client may be closed without having done anything, because of the bounds.
    pub(crate) fn may_end(&self, is_reliable: bool) -> bool {
        self.slow || self.short_of_memory || (is_reliable && self.small_replay)
    }
}
