//! The configuration in the words of the engine.

use std::time::Duration;

use hubwire_core::handler::{Destination, EventHandler, EventPattern};
use hubwire_core::settings::{HubSettings, HubTable, Limits};

use crate::config::{Config, HubConfig, UrlTemplate};

/// The bounds of the engine, with at most `most_connections` connections.
pub(crate) fn limits(config: &Config, most_connections: usize) -> Limits {
    let limits = &config.limits;
    Limits {
        message_bytes: limits.message_bytes,
        outbound_queue_messages: limits.outbound_queue_messages,
        outbound_queue_bytes: limits.outbound_queue_bytes,
        parked_input_bytes: limits.parked_input_bytes,
        groups_per_connection: limits.groups_per_connection,
        group_state_bytes: limits.group_state_bytes,
        replay_messages: limits.replay_messages,
        replay_bytes: limits.replay_bytes,
        recovery_window_ms: milliseconds(limits.recovery_window),
        streams_per_connection: limits.streams_per_connection,
        node_queued_bytes: limits.node_queued_bytes as u64,
        connections: connections(limits.connections, most_connections),
        inbox_commands: limits.inbox_commands,
        pending_asks: limits.pending_asks,
        close_timeout_ms: milliseconds(limits.close_timeout),
    }
}

/// As many connections as are wanted and possible.
fn connections(wanted: Option<usize>, most: usize) -> usize {
    match wanted {
        Some(wanted) if wanted > most => {
            tracing::warn!(
                wanted,
                most,
                "the descriptor limit allows fewer connections"
            );
            most
        }
        wanted => wanted.unwrap_or(most),
    }
}

/// The settings of all hubs.
pub(crate) fn hub_table(config: &Config) -> HubTable {
    let named = config
        .hubs
        .iter()
        .map(|(name, hub)| (name.clone(), hub_settings(hub)));
    HubTable::new(hub_settings(&config.hub_defaults), named)
}

fn hub_settings(hub: &HubConfig) -> HubSettings {
    let event_handlers = hub
        .event_handlers
        .iter()
        .map(|handler| EventHandler {
            user_events: EventPattern::parse(&handler.user_event_pattern),
            destination: match handler.url_template {
                UrlTemplate::BuiltinEcho => Destination::Echo,
            },
        })
        .collect();
    HubSettings {
        allow_anonymous: hub.allow_anonymous,
        keep_alive_interval_ms: milliseconds(hub.keep_alive_interval),
        event_handlers,
        protobuf_json: hub.protobuf_json,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
