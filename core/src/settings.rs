//! What an operator can set, as the engine needs it. Parsing and defaults of the configuration
//! file live in the server.

use std::sync::Arc;

use hashbrown::HashMap;
use hubwire_proto::protobuf::JsonField;

use crate::handler::EventHandler;
use crate::replay::ReplayLimits;

/// Bounds of a node, fixed for its life. Every one names its configuration key under `[limits]`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `message_bytes`: the largest message of a client, all fragments together.
    pub message_bytes: usize,
    /// `outbound_queue_messages`: messages that may wait after a write before a client is slow.
    pub outbound_queue_messages: usize,
    /// `outbound_queue_bytes`: bytes that may wait after a write before a client is slow.
    pub outbound_queue_bytes: usize,
    /// `replay_messages`: messages that a reliable client may leave unacknowledged.
    pub replay_messages: usize,
    /// `replay_bytes`: bytes of the messages that it may leave unacknowledged.
    pub replay_bytes: usize,
    /// `recovery_seconds`, in milliseconds: how long a reliable session waits for its client to
    /// come back.
    pub recovery_window_ms: u64,
    /// `parked_input_bytes`: input held for a parked session before reading stops.
    pub parked_input_bytes: usize,
    /// `groups_per_connection`: groups that one connection may be in.
    pub groups_per_connection: usize,
    /// `streams_per_connection`: streams that one connection may have open at once.
    pub streams_per_connection: usize,
    /// `group_state_bytes`: keys and values of the state that one connection sets in one group.
    pub group_state_bytes: usize,
    /// `node_queued_bytes`: bytes that all queues of the node may hold together, and an eighth as
    /// much besides for the group names of commands.
    pub node_queued_bytes: u64,
    /// `connections`: connections that the node accepts.
    pub connections: usize,
    /// `inbox_commands`: commands that may wait for one shard.
    pub inbox_commands: usize,
    /// `pending_asks`: questions of the front door that may be open at once.
    pub pending_asks: usize,
    /// `close_timeout_seconds`, in milliseconds: how long a closing handshake may take.
    pub close_timeout_ms: u64,
}

impl Limits {
    /// The bounds of one unacknowledged queue.
    #[must_use]
    pub fn replay(&self) -> ReplayLimits {
        ReplayLimits {
            messages: self.replay_messages,
            bytes: self.replay_bytes,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            outbound_queue_messages: 1000,
            outbound_queue_bytes: 16 << 20,
            replay_messages: 1000,
            replay_bytes: 16 << 20,
            recovery_window_ms: 30_000,
            parked_input_bytes: 64 << 10,
            groups_per_connection: 1000,
            streams_per_connection: 100,
            group_state_bytes: 4 << 10,
            node_queued_bytes: 1 << 30,
            connections: 100_000,
            inbox_commands: 4096,
            pending_asks: 10_000,
            close_timeout_ms: 5000,
        }
    }
}

/// How much of each kind of work one tick does before the others get their turn.
#[derive(Debug, Clone)]
pub struct TickBudget {
    /// Connections taken from the front door.
    pub attachments: usize,
    /// Commands taken from the inbox.
    pub commands: usize,
    /// Group, user and hub members visited, some 50 ns each. A filter counts as often again as it
    /// [costs](hubwire_proto::filter::Verdict::cost), a change of groups once for each name that it
    /// looks up.
    pub members: usize,
    /// Sockets read from, once each.
    pub reads: usize,
    /// Sockets written to.
    pub flushes: usize,
    /// Bytes written, beyond which no further socket is written to.
    pub bytes_sent: u64,
}

impl Default for TickBudget {
    fn default() -> Self {
        Self {
            attachments: 64,
            commands: 1024,
            members: 16_384,
            reads: 256,
            flushes: 2048,
            bytes_sent: 16 << 20,
        }
    }
}

/// Settings of one hub.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Whether a client without a token may connect (`anonymous_connect_policy = "allow"`).
    pub allow_anonymous: bool,
    /// `web_socket_keep_alive_interval_in_seconds`, in milliseconds. A change reaches a connection
    /// at its next keep-alive check, at most one earlier interval later.
    pub keep_alive_interval_ms: u64,
    /// Ordered; the first match takes an event. A call under way stays with its handler when they
    /// change.
    pub event_handlers: Vec<EventHandler>,
    /// `protobuf_json`: where JSON goes in messages to protobuf clients. A change reaches the
    /// connections that are made after it.
    pub protobuf_json: JsonField,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            allow_anonymous: false,
            keep_alive_interval_ms: 20_000,
            event_handlers: Vec::new(),
            protobuf_json: JsonField::default(),
        }
    }
}

/// Settings of every hub: those named by the operator, and those of all others.
#[derive(Debug, Clone, Default)]
pub struct HubTable {
    defaults: Arc<HubSettings>,
    named: HashMap<String, Arc<HubSettings>>,
}

impl HubTable {
    /// A table from the defaults and the hubs with settings of their own, by lower-case name.
    #[must_use]
    pub fn new(
        defaults: HubSettings,
        named: impl IntoIterator<Item = (String, HubSettings)>,
    ) -> Self {
        let named = named
            .into_iter()
            .map(|(name, settings)| (name, Arc::new(settings)))
            .collect();
        Self {
            defaults: Arc::new(defaults),
            named,
        }
    }

    /// The settings of `hub`, a lower-case hub name.
    #[must_use]
    pub fn of(&self, hub: &str) -> &Arc<HubSettings> {
        self.named.get(hub).unwrap_or(&self.defaults)
    }
}
