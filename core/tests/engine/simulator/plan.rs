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
    /// Messages larger than a frame and a read.
    pub(crate) large: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x706c_616e);
        let slow = random.chance(25);
        let short_of_memory = random.chance(20);
        let few_groups = random.chance(15);
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
            node_queued_bytes: if short_of_memory {
                random.pick(&[300, 1_500, 6_000])
            } else {
                1 << 40
            },
            connections: 1000,
            inbox_commands: random.pick(&[1, 2, 3, 5, 8, 8, 100]),
            pending_asks: random.pick(&[1, 3, 1000]),
            close_timeout_ms: 5000,
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
            large: !short_of_memory && random.chance(4),
        }
    }
}
