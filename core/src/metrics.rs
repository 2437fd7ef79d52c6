//! What a shard counts. The fields are plain numbers on the shard's thread; once per tick they
//! are published to atomics that a scrape reads and sums.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! shard_metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident,)+) => {
        /// The numbers of one shard, written by its thread alone.
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub struct ShardNumbers {
            $($(#[doc = $help])+ pub $field: u64,)+
        }

        /// The last published numbers of one shard. Aligned so that shards do not share a cache
        /// line.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct ShardMetrics {
            $($field: AtomicU64,)+
        }

        impl ShardMetrics {
            /// Publishes `numbers`.
            pub fn publish(&self, numbers: &ShardNumbers) {
                $(self.$field.store(numbers.$field, Ordering::Relaxed);)+
            }

            /// The published numbers.
            #[must_use]
            pub fn read(&self) -> ShardNumbers {
                ShardNumbers { $($field: self.$field.load(Ordering::Relaxed),)+ }
            }
        }

        impl ShardNumbers {
            /// Every number with its name, kind and help text.
            #[must_use]
            pub fn list(&self) -> Vec<Metric> {
                vec![$(Metric {
                    name: stringify!($field),
                    kind: MetricKind::$kind,
                    help: concat!($($help),+).trim_ascii(),
                    value: self.$field,
                },)+]
            }

            /// Adds the numbers of another shard.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It is a present state.
    Gauge,
}

/// One number for a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without prefix and unit suffix.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// One sentence.
    pub help: &'static str,
    /// Its value.
    pub value: u64,
}

shard_metrics! {
    /// Connections now.
    connections: Gauge,
    /// Connections with a waiting session now.
    parked_connections: Gauge,
    /// Reliable sessions that wait for their client to come back now.
    detached_sessions: Gauge,
    /// Messages that reliable clients have not acknowledged now.
    unacknowledged_messages: Gauge,
    /// Groups with a member now.
    groups: Gauge,
    /// Streams open now.
    streams: Gauge,
    /// Connections accepted.
    connections_opened: Counter,
    /// Connections ended, for whatever reason.
    connections_closed: Counter,
    /// Messages received from clients.
    messages_received: Counter,
    /// Bytes received from clients, as they came from the transport.
    bytes_received: Counter,
    /// Messages queued for delivery to clients.
    messages_delivered: Counter,
    /// Unacknowledged messages queued again for clients that came back.
    messages_resent: Counter,
    /// Messages dropped because their time to live ended before the client took them.
    messages_expired: Counter,
    /// Bytes written to clients.
    bytes_sent: Counter,
    /// Writes to client transports.
    writes: Counter,
    /// Publications started by clients of this shard.
    publications: Counter,
    /// Commands taken from the inbox.
    commands: Counter,
    /// Acks with success false.
    failed_acks: Counter,
    /// Events handed to event handlers.
    events: Counter,
    /// Events that no handler took or whose handler failed.
    failed_events: Counter,
    /// Streams opened.
    streams_started: Counter,
    /// Starts of streams refused, because the id is in use, the idle timeout out of bounds, or too
    /// many are open.
    streams_refused: Counter,
    /// Streams that their publisher ended.
    streams_completed: Counter,
    /// Streams that their publisher ended with an error.
    streams_aborted: Counter,
    /// Streams ended because nothing was received for them in time.
    streams_timed_out: Counter,
    /// Streams ended because their publisher may not send to the group any more.
    streams_forbidden: Counter,
    /// Streams ended for an invalid message.
    streams_invalid: Counter,
    /// Streams ended with their publisher's session.
    streams_cancelled: Counter,
    /// Connections closed because they did not read fast enough.
    closed_slow_clients: Counter,
    /// Reliable sessions that got another transport.
    sessions_recovered: Counter,
    /// Reliable sessions ended because their client did not come back in time.
    sessions_expired: Counter,
    /// Clients that came back to a session that had ended a moment before.
    recoveries_too_late: Counter,
    /// Reliable sessions ended because too much was unacknowledged.
    closed_replay_full: Counter,
    /// Connections closed because nothing was heard from them.
    closed_dead_peers: Counter,
    /// Connections closed because they broke the protocol.
    closed_protocol_errors: Counter,
    /// Connections closed over REST.
    closed_by_app_server: Counter,
    /// Connections closed because the node's queues were over their bound.
    closed_for_memory: Counter,
    /// Times that a session had to wait for room, its turn or memory.
    sessions_waited_for_room: Counter,
    /// Times that reading from a connection stopped because its parked session held enough.
    reading_paused: Counter,
    /// Joins refused because the connection is in too many groups; those of one command for one
    /// connection count once.
    joins_refused: Counter,
    /// Group states set or cleared, by leaving too.
    group_state_changes: Counter,
    /// Group states refused because they are too large.
    group_states_refused: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers_read_back_and_sum() {
        let numbers = ShardNumbers {
            connections: 2,
            bytes_sent: 7,
            ..ShardNumbers::default()
        };
        let metrics = ShardMetrics::default();
        metrics.publish(&numbers);
        let mut sum = metrics.read();
        assert_eq!(sum, numbers);
        sum.add(&numbers);
        let listed = sum.list();
        let connections = listed
            .iter()
            .find(|metric| metric.name == "connections")
            .unwrap();
        assert_eq!(
            (connections.value, connections.kind, connections.help),
            (4, MetricKind::Gauge, "Connections now.")
        );
    }
}
