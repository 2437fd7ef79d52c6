//! What clients publish to groups: on this shard at once, on others by command.

use std::sync::Arc;

use hubwire_proto::message::{Data, StreamInfo};
use hubwire_proto::metadata::Metadata;

use super::request::{Outcome, Until};
use super::{MEMORY_RETRY_MS, Shard};
use crate::Millis;
use crate::command::{Action, Command, Excluded, Selection, Target};
use crate::hub::{Hub, HubIndex, List};
use crate::id::{ShardSet, Slot};
use crate::inbox::Mail;
use crate::interest::Kind;
use crate::memory::NodeMemory;
use crate::publication::{Origin, Publication};
use crate::transport::Transport;

/// What a request publishes.
pub(super) struct Content<'a> {
    pub(super) data: &'a Data<'a>,
    pub(super) metadata: &'a Metadata,
    pub(super) expires_at: Option<Millis>,
    /// Where it belongs in a stream, if it does.
    pub(super) stream: Option<StreamInfo<'static>>,
}

impl Content<'_> {
    fn publication(self, origin: Origin, memory: &Arc<NodeMemory>) -> Arc<Publication> {
        let (data_type, payload) = (self.data.data_type, self.data.bytes.as_ref().into());
        match self.stream {
            Some(stream) => Publication::in_stream(origin, data_type, payload, stream, memory),
            None => Publication::with_metadata(
                origin,
                data_type,
                payload,
                memory,
                self.expires_at,
                self.metadata.clone(),
            ),
        }
    }
}

impl<T: Transport> Shard<T> {
    /// Publishes to a group: on this shard at once, on others by command, on all or on none.
    pub(super) fn publish(
        &mut self,
        slot: Slot,
        index: HubIndex,
        group: &str,
        content: Content<'_>,
        no_echo: bool,
    ) -> Outcome {
        if self.node.memory().is_full() {
            self.memory_retry_at = Some(self.now.plus(MEMORY_RETRY_MS));
            return Outcome::Wait(Until::Room);
        }
        let Some(hub) = self.hub(index) else {
            return Outcome::Done;
        };
        let local = hub.group(group);
        let others = self.others_with_members(hub, group);
        if others.is_empty() && local.is_none() {
            return Outcome::Done;
        }
        let Some(permits) = self.node.reserve_in_all(others, self.waiter()) else {
            return Outcome::Wait(Until::Room);
        };
        let hub_name = Arc::clone(&hub.name);
        let group: Arc<str> = local
            .and_then(|local| hub.group_name(local).cloned())
            .unwrap_or_else(|| group.into());
        let Some(connection) = self.connections.get(slot) else {
            return Outcome::Done;
        };
        let from_user = connection
            .session
            .as_ref()
            .and_then(|session| session.user.clone());
        let excluded = if no_echo {
            Excluded::One(connection.seat.connection())
        } else {
            Excluded::Nobody
        };
        let origin = Origin::Group {
            group: Arc::clone(&group),
            from_user,
        };
        let publication = content.publication(origin, self.node.memory());
        self.numbers.publications += 1;
        let command = |excluded: Excluded| Command {
            hub: Arc::clone(&hub_name),
            target: Target::Group(Arc::clone(&group)),
            selection: Selection {
                excluded,
                filter: None,
            },
            action: Action::Deliver {
                publication: Arc::clone(&publication),
            },
        };
        for (shard, permit) in permits {
            self.hand_off[shard.index()].push((permit, Mail::Command(command(excluded.clone()))));
        }
        if let Some(local) = local {
            let list = List::Group(local);
            let end = self.hub(index).map_or(0, |hub| hub.places(&list));
            let next = self.deliver(index, &list, 0..end, &publication, &excluded);
            if next < end {
                self.walk_on(index, command(excluded), list, next..end);
            }
        }
        Outcome::Done
    }

    /// The other shards that have a member of the group.
    pub(super) fn others_with_members(&self, hub: &Hub, group: &str) -> ShardSet {
        if !self.keeps_interest {
            return ShardSet::EMPTY;
        }
        let interest = self.node.interest();
        interest.of(Kind::Group, &hub.name, group).without(self.id)
    }
}
