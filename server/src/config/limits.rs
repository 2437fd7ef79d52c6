//! Every bound an operator can move: the typed values, and the rows of `LIMITS.md`.

use std::time::Duration;

use super::error::ConfigError;
use super::keys::{Default as KeyDefault, Key, Shape};
use super::section::Section;

/// A field type that a limit's whole number turns into.
trait LimitValue {
    fn from_integer(value: u64) -> Self;
    fn to_integer(&self) -> u64;
}

impl LimitValue for usize {
    fn from_integer(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }

    fn to_integer(&self) -> u64 {
        u64::try_from(*self).unwrap_or(u64::MAX)
    }
}

impl LimitValue for Duration {
    fn from_integer(value: u64) -> Self {
        Self::from_secs(value)
    }

    fn to_integer(&self) -> u64 {
        self.as_secs()
    }
}

/// Declares [`Limits`], its defaults, its keys and its reader from one list, so that the
/// documentation, the checks and the fields cannot drift apart.
macro_rules! limits {
    ($($field:ident $key:literal: $type:ty = $default:expr, $range:expr, $unit:literal,
        $doc:literal, $at_bound:literal;)*) => {
        /// The bounds of a node, from the table `limits` of the configuration.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            /// Client connections of the node; `None`: as many as descriptors allow.
            pub connections: Option<usize>,
            $(
                #[doc = concat!($doc, " In ", $unit, ".")]
                pub $field: $type,
            )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { connections: None, $($field: LimitValue::from_integer($default),)* }
            }
        }

        pub(super) const KEYS: &[Key] = &[
            Key::limit(
                "connections",
                Shape::Integer { min: 1, max: 1 << 24, unit: "connections" },
                KeyDefault::Derived("the descriptor limit less a reserve"),
                "Client connections of the node.",
                "A new client gets 429; connected clients notice nothing.",
            ),
            $(Key::limit(
                $key,
                Shape::Integer { min: *$range.start(), max: *$range.end(), unit: $unit },
                KeyDefault::Integer($default),
                $doc,
                $at_bound,
            ),)*
        ];

        impl Limits {
            pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
                let limits = Self {
                    connections: section.integer("connections")?.map(LimitValue::from_integer),
                    $($field: section
                        .integer($key)?
                        .map_or_else(|| LimitValue::from_integer($default), LimitValue::from_integer),)*
                };
                limits.check(section)?;
                Ok(limits)
            }

            /// Key and value of every limit, in the order of the reference.
            pub(super) fn values(&self) -> Vec<(&'static str, Option<u64>)> {
                vec![
                    ("connections", self.connections.map(|bound| bound.to_integer())),
                    $(($key, Some(self.$field.to_integer())),)*
                ]
            }
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

limits! {
    message_bytes "message_bytes": usize = MIB, KIB..=GIB, "bytes",
        "Payload of one message from a client, all its fragments together.",
        "That client is closed with 1009.";
    rest_body_bytes "rest_body_bytes": usize = MIB, KIB..=GIB, "bytes",
        "Body of one REST request.",
        "The request gets 413.";
    header_bytes "header_bytes": usize = 48 * KIB, 8 * KIB..=MIB, "bytes",
        "Request line and headers of one HTTP request or WebSocket handshake.",
        "The request gets 431.";
    handshake_timeout "handshake_timeout_seconds": Duration = 10, 1..=300, "seconds",
        "Time from accepting a socket to its complete request head, a TLS handshake included.",
        "The socket is closed.";
    close_timeout "close_timeout_seconds": Duration = 5, 1..=60, "seconds",
        "Time a client has to answer a close frame.",
        "The socket is closed without the answer.";
    outbound_queue_messages "outbound_queue_messages": usize = 1000, 1..=1_000_000, "messages",
        "Messages waiting for one client after an attempt to write.",
        "That client is slow: it is closed with 1008.";
    outbound_queue_bytes "outbound_queue_bytes": usize = 16 * MIB, 64 * KIB..=4 * GIB, "bytes",
        "Bytes waiting for one client after an attempt to write.",
        "That client is slow: it is closed with 1008.";
    recovery_window "recovery_seconds": Duration = 30, 1..=3600, "seconds",
        "Time that a reliable client without a socket has to come back. A restart of the server counts.",
        "The connection ends; coming back is refused with 1008.";
    replay_messages "replay_messages": usize = 1000, 1..=1_000_000, "messages",
        "Messages that one reliable client has not acknowledged, connected or not.",
        "That client is slow: it is closed with 1008 and cannot come back.";
    replay_bytes "replay_bytes": usize = 16 * MIB, 64 * KIB..=4 * GIB, "bytes",
        "Bytes that one reliable client has not acknowledged, connected or not.",
        "That client is slow: it is closed with 1008 and cannot come back.";
    snapshot_bytes "snapshot_bytes": usize = GIB, MIB..=1024 * GIB, "bytes",
        "The file in `data_dir` that carries sessions over a restart; a shared payload counts once.",
        "The largest sessions are left out, which the log says; their clients get 1008 after the restart. A larger file is set aside.";
    node_queued_bytes "node_queued_bytes": usize = GIB, MIB..=1024 * GIB, "bytes",
        "Bytes waiting for all clients of the node; a shared payload counts once. The group names of bulk calls may take an eighth as much besides.",
        "The clients with the largest queues are closed first. A bulk call that waited `ask_timeout_seconds` gets 503.";
    groups_per_connection "groups_per_connection": usize = 1000, 1..=1_000_000, "groups",
        "Groups that one connection is a member of.",
        "Joining one more fails; the connection stays.";
    streams_per_connection "streams_per_connection": usize = 100, 1..=10_000, "streams",
        "Streams that one connection has open at once.",
        "Starting one more fails; the connection stays.";
    group_state_bytes "group_state_bytes": usize = 4 * KIB, 0..=MIB, "bytes",
        "Keys and values of the state that one connection sets in one group.",
        "Setting it fails; the state before it stays.";
    parked_input_bytes "parked_input_bytes": usize = 64 * KIB, KIB..=16 * MIB, "bytes",
        "Input held for one connection while it waits for an event handler or for room.",
        "Its socket is not read until it goes on.";
    inbox_commands "inbox_commands": usize = 4096, 64..=1_048_576, "commands",
        "Commands waiting for one shard.",
        "Senders wait; a REST request that waited `ask_timeout_seconds` gets 503.";
    ask_timeout "ask_timeout_seconds": Duration = 5, 1..=60, "seconds",
        "Time the shards have to answer a REST request or a client that comes back.",
        "The request gets 503; the client loses its socket and tries again.";
    pending_asks "pending_asks": usize = 10_000, 1..=1_000_000, "requests",
        "REST requests and clients coming back that wait for answers from shards.",
        "One more request gets 429; one more client loses its socket and tries again.";
    rest_rps "rest_rps": usize = 0, 0..=1_000_000, "requests per second",
        "REST requests of the node, after their tokens were checked; 0 is without bound.",
        "One more gets 429.";
    filter_cache_bytes "filter_cache_bytes": usize = MIB, 0..=GIB, "bytes",
        "Parsed filters that are kept for requests with the same text; 0 keeps none.",
        "Those not used for longest are forgotten.";
    quiesce_timeout "quiesce_seconds": Duration = 5, 0..=600, "seconds",
        "Time at a stop, before clients are closed, for requests under way and messages already taken; at most `shutdown_seconds`.",
        "What is still under way is cut off; its senders have no answer.";
    shutdown_timeout "shutdown_seconds": Duration = 10, 1..=600, "seconds",
        "Time from the signal to stop until the process ends; longer only if writing the sessions file takes longer.",
        "What is still connected is dropped; the exit code stays 0.";
    token_skew "token_skew_seconds": Duration = 300, 0..=3600, "seconds",
        "Difference between the clocks of the token's issuer and of this node.",
        "The token is refused with 401.";
    list_page "list_page": usize = 200, 1..=200, "connections",
        "Connections on one page of a REST list.",
        "The answer carries a link to the next page.";
}

impl Limits {
    /// Bounds that contradict each other would close clients that did nothing wrong.
    fn check(&self, section: &Section<'_>) -> Result<(), ConfigError> {
        let pairs = [
            (
                "message_bytes",
                self.message_bytes,
                "outbound_queue_bytes",
                self.outbound_queue_bytes,
            ),
            (
                "rest_body_bytes",
                self.rest_body_bytes,
                "outbound_queue_bytes",
                self.outbound_queue_bytes,
            ),
            (
                "outbound_queue_bytes",
                self.outbound_queue_bytes,
                "node_queued_bytes",
                self.node_queued_bytes,
            ),
            (
                "message_bytes",
                self.message_bytes,
                "replay_bytes",
                self.replay_bytes,
            ),
            (
                "rest_body_bytes",
                self.rest_body_bytes,
                "replay_bytes",
                self.replay_bytes,
            ),
            (
                "replay_bytes",
                self.replay_bytes,
                "node_queued_bytes",
                self.node_queued_bytes,
            ),
        ];
        for (small, value, large, bound) in pairs {
            if value > bound {
                let culprit = if section.has(small) { small } else { large };
                return Err(section.error(
                    culprit,
                    format!("limits.{small} ({value}) must not exceed limits.{large} ({bound})"),
                ));
            }
        }
        Ok(())
    }
}
