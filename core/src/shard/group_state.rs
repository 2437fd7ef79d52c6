//! Group state: who may say what and who is told, on this shard and on the others (protocol notes:
//! group state).
//!
//! A subscriber is on its shard's list before any shard is asked for its part of the snapshot, and
//! is a member, so every change from then on finds its way there: it is merged into the snapshot
//! while that is gathered, and told afterwards.

use std::sync::Arc;

use hubwire_proto::ack::{self, AckErrorName};
use hubwire_proto::group_state::GroupState;

use super::request::{Outcome, Until};
use super::{MEMORY_RETRY_MS, Shard};
use crate::command::{Action, Command, Selection, Target};
use crate::group_state::{
    Gathering, GroupStateMessage, GroupStateRecord, GroupStates, Part, StateItem, Subscription,
    snapshot_messages,
};
use crate::hub::{GroupIndex, HubIndex, List, Walk};
use crate::id::{ShardId, ShardSet, Slot};
use crate::inbox::{Mail, Permit};
use crate::transport::Transport;

/// Snapshots that a shard gathers at once. So the parts that are on their way to it are bounded,
/// which take no room in its inbox.
const GATHERINGS: usize = 16;

impl<T: Transport> Shard<T> {
    /// Sets or clears what a member tells its group, and tells the subscribers.
    pub(super) fn set_group_state(
        &mut self,
        slot: Slot,
        index: HubIndex,
        name: &str,
        state: Option<&Arc<GroupState>>,
    ) -> Outcome {
        let Some(group) = self.group_of_member(slot, index, name) else {
            return not_a_member(name);
        };
        let limit = self.node.limits().group_state_bytes;
        if let Some(bytes) = state.map(|state| state.len()).filter(|len| *len > limit) {
            self.numbers.group_states_refused += 1;
            return Outcome::Failed {
                name: AckErrorName::BadRequest,
                message: ack::state_too_large(name, bytes, limit).into(),
            };
        }
        let was_set = self
            .session(slot)
            .is_some_and(|session| session.group_states.state(group).is_some());
        if state.is_none() && !was_set {
            return Outcome::Done;
        }
        // What is owed for an earlier state goes first; and only so is the number of those bounded.
        if self.must_wait_for_farewells() {
            return Outcome::Wait(Until::Room);
        }
        if self.node.memory().is_full() {
            self.memory_retry_at = Some(self.now.plus(MEMORY_RETRY_MS));
            return Outcome::Wait(Until::Room);
        }
        let Some(permits) = self.reserve_in_group(index, name) else {
            return Outcome::Wait(Until::Room);
        };
        if let Some(item) = self.change_state(slot, state.map(Arc::clone)) {
            if let Some(session) = self.session_mut(slot) {
                let kept = state.is_some().then(|| Arc::clone(&item));
                session.group_states.set_state(group, kept);
            }
            if let Some(command) = self.telling(index, group, item) {
                self.send_and_walk(index, permits, command, List::Subscribers(group));
            }
        }
        Outcome::Done
    }

    /// Makes a member a subscriber, acknowledges that, and begins to gather its snapshot.
    pub(super) fn subscribe_group_state(
        &mut self,
        slot: Slot,
        index: HubIndex,
        name: &str,
        ack_id: Option<u64>,
    ) -> Outcome {
        let Some(group) = self.group_of_member(slot, index, name) else {
            return not_a_member(name);
        };
        let Some(session) = self.session(slot) else {
            return Outcome::Done;
        };
        let before = session.group_states.subscription(group);
        if before.is_some_and(|subscription| subscription.gathering.is_some()) {
            // The snapshot that is under way serves this request too.
            return Outcome::Done;
        }
        let registered = before.map(|subscription| subscription.index);
        if self.gatherings >= GATHERINGS {
            return Outcome::Wait(Until::Room);
        }
        // Whoever asks again and again must not outrun what carries the snapshots away.
        if self.node.memory().is_full() {
            self.memory_retry_at = Some(self.now.plus(MEMORY_RETRY_MS));
            return Outcome::Wait(Until::Room);
        }
        let Some(permits) = self.reserve_in_group(index, name) else {
            return Outcome::Wait(Until::Room);
        };
        self.gatherings += 1;
        self.last_gathering += 1;
        let number = self.last_gathering;
        let gathering = Gathering::new(number, permits.len() + 1);
        let Some(Some(hub)) = self.hubs.get_mut(index.0 as usize) else {
            return Outcome::Done;
        };
        let subscription = Subscription {
            index: registered.unwrap_or_else(|| hub.subscribe(slot, group)),
            gathering: Some(Box::new(gathering)),
        };
        let (hub, name) = (Arc::clone(&hub.name), hub.group_name(group).cloned());
        if let Some(session) = self.session_mut(slot) {
            session
                .group_states
                .set_subscription(group, Some(subscription));
        }
        // The snapshot may be whole at once, and the ack comes before it.
        self.succeed(slot, ack_id);
        if let (Some(name), Some(connection)) = (name, self.connections.get(slot)) {
            let command = Command {
                hub,
                target: Target::Group(name),
                selection: Selection::default(),
                action: Action::AskGroupStates {
                    subscriber: connection.seat.connection(),
                    number,
                },
            };
            self.send_and_walk(index, permits, command, List::Group(group));
        }
        Outcome::Acknowledged
    }

    /// Ends a subscription, if there is one.
    pub(super) fn unsubscribe_group_state(&mut self, slot: Slot, index: HubIndex, name: &str) {
        let Some(group) = self.hub(index).and_then(|hub| hub.group(name)) else {
            return;
        };
        let Some(session) = self.session_mut(slot) else {
            return;
        };
        if let Some(subscription) = session.group_states.set_subscription(group, None) {
            self.end_subscription(index, group, &subscription);
        }
    }

    /// Ends what a connection has in a group that it is about to leave. The subscribers are told
    /// as soon as there is room.
    pub(super) fn leave_group_state(&mut self, slot: Slot, index: HubIndex, group: GroupIndex) {
        let Some(left) = self
            .session_mut(slot)
            .and_then(|session| session.group_states.leave(group))
        else {
            return;
        };
        if let Some(subscription) = left.subscription {
            self.end_subscription(index, group, &subscription);
        }
        // Whoever is saved keeps its states, and nobody is told of the others any more.
        if left.state.is_some()
            && !self.shutting_down
            && let Some(item) = self.change_state(slot, None)
            && let Some(command) = self.telling(index, group, item)
        {
            self.owe(command);
        }
    }

    /// Tells a subscriber of a change, or merges it into the snapshot that comes first.
    pub(super) fn tell_subscriber(
        &mut self,
        slot: Slot,
        group: GroupIndex,
        message: &GroupStateMessage,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let subscription = connection
            .session
            .as_mut()
            .and_then(|session| session.group_states.subscription_mut(group));
        match subscription {
            None => {}
            Some(Subscription {
                gathering: Some(gathering),
                ..
            }) => {
                for item in message.items() {
                    gathering.add(item);
                }
            }
            Some(_) => {
                if let Some(frame) = message.frame(connection.encoding) {
                    self.deliver_frame(slot, frame);
                }
            }
        }
    }

    /// The state of a member, for a part of a snapshot.
    pub(super) fn state_of(&self, slot: Slot, group: GroupIndex) -> Option<Arc<StateItem>> {
        self.session(slot)?.group_states.state(group).cloned()
    }

    /// Sends this shard's part of a snapshot to the shard that asked for it.
    pub(super) fn send_part(&mut self, walk: Walk) {
        let Command {
            hub,
            target: Target::Group(group),
            action: Action::AskGroupStates { subscriber, number },
            ..
        } = walk.command
        else {
            return;
        };
        let part = Part {
            number,
            items: walk.states.into(),
        };
        let Some(place) = self.node.place_of(&subscriber) else {
            return;
        };
        if place.shard == self.id {
            // It is the turn of the question that this answers.
            if let Some(slot) = self.find(&subscriber) {
                self.receive_part(slot, &group, &part);
            }
            return;
        }
        let command = Command {
            hub,
            target: Target::Connection(subscriber),
            selection: Selection::default(),
            action: Action::GroupStates { group, part },
        };
        let mail = Mail::Beside(Box::new(command));
        self.node.inbox(place.shard).send_beside(mail);
    }

    /// Takes a shard's part of a subscriber's snapshot. With the last one the snapshot is sent.
    pub(super) fn receive_part(&mut self, slot: Slot, name: &Arc<str>, part: &Part) {
        let group = self
            .connections
            .get(slot)
            .and_then(|connection| self.hub(connection.hub)?.group(name));
        let Some(group) = group else { return };
        let Some(subscription) = self
            .session_mut(slot)
            .and_then(|session| session.group_states.subscription_mut(group))
        else {
            return;
        };
        // What a subscriber does not wait for any more is of no use.
        let is_whole = |gathering: &mut Box<Gathering>| gathering.add_part(part);
        if let Some(gathering) = subscription.gathering.take_if(is_whole) {
            self.count_gathering_ended();
            self.send_snapshot(slot, name, *gathering);
        }
    }

    fn send_snapshot(&mut self, slot: Slot, name: &Arc<str>, gathering: Gathering) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let encoding = connection.encoding;
        let items = gathering.into_items();
        self.members_left = self.members_left.saturating_sub(items.len());
        for message in snapshot_messages(name, items, self.node.memory()) {
            if let Some(frame) = message.frame(encoding) {
                self.deliver_frame(slot, frame);
            }
        }
    }

    /// What has to be saved of a session. A snapshot that is still being gathered is sent as far
    /// as it is: the parts that are missing will never come.
    pub(super) fn export_group_states(&mut self, slot: Slot) -> Option<GroupStateRecord> {
        let index = self.connections.get(slot)?.hub;
        let subscribed = |states: &GroupStates| {
            let gathers = states.iter().filter(|entry| {
                let subscription = entry.subscription.as_ref();
                subscription.is_some_and(|subscription| subscription.gathering.is_some())
            });
            gathers.map(|entry| entry.group).collect::<Vec<_>>()
        };
        for group in subscribed(&self.session(slot)?.group_states) {
            let name = self.hub(index)?.group_name(group)?.clone();
            let states = &mut self.session_mut(slot)?.group_states;
            if let Some(gathering) = states.subscription_mut(group)?.gathering.take() {
                self.count_gathering_ended();
                self.send_snapshot(slot, &name, *gathering);
            }
        }
        let hub = self.hub(index)?;
        let states = &self.session(slot)?.group_states;
        states.export(|group| hub.group_name(group).cloned())
    }

    /// Gives a session back what was saved of it, once it is a member of its groups again. Nobody
    /// is told: whoever subscribed knew it before.
    pub(super) fn restore_group_states(&mut self, slot: Slot, record: GroupStateRecord) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let (index, id) = (connection.hub, connection.seat.connection());
        let Some(user) = self.session(slot).map(|session| session.user.clone()) else {
            return;
        };
        let mut states = GroupStates::restored(record.last_update);
        for saved in record.groups {
            let Some(group) = self.group_of_member(slot, index, &saved.group) else {
                continue;
            };
            let memory = self.node.memory();
            let item = saved.state.map(|saved| {
                let state = Some(Arc::new(saved.state));
                StateItem::new(id, user.clone(), state, saved.updated_at, memory)
            });
            states.set_state(group, item);
            if saved.is_subscriber
                && let Some(hub) = self.hub_mut(index)
            {
                let subscription = Subscription {
                    index: hub.subscribe(slot, group),
                    gathering: None,
                };
                states.set_subscription(group, Some(subscription));
            }
        }
        if let Some(session) = self.session_mut(slot) {
            session.group_states = states;
        }
    }

    /// The group called `name`, if the connection is a member of it.
    fn group_of_member(&self, slot: Slot, index: HubIndex, name: &str) -> Option<GroupIndex> {
        let group = self.hub(index)?.group(name)?;
        let connection = self.connections.get(slot)?;
        connection.place_of(group).is_ok().then_some(group)
    }

    /// Reserves room for a command on every other shard that has a member of the group, or on none.
    fn reserve_in_group(&self, index: HubIndex, name: &str) -> Option<Vec<(ShardId, Permit)>> {
        let others = self
            .hub(index)
            .map_or(ShardSet::EMPTY, |hub| self.others_with_members(hub, name));
        self.node.reserve_in_all(others, self.waiter())
    }

    /// A change of a connection's state that happens now.
    fn change_state(
        &mut self,
        slot: Slot,
        state: Option<Arc<GroupState>>,
    ) -> Option<Arc<StateItem>> {
        let unix_now = self.node.unix_milliseconds(self.now);
        let connection = self.connections.get_mut(slot)?;
        let session = connection.session.as_mut()?;
        let updated_at = session.group_states.time_of_change(unix_now);
        let (id, user) = (connection.seat.connection(), session.user.clone());
        self.numbers.group_state_changes += 1;
        Some(StateItem::new(
            id,
            user,
            state,
            updated_at,
            self.node.memory(),
        ))
    }

    /// The command that tells a group's subscribers of a change.
    fn telling(&self, index: HubIndex, group: GroupIndex, item: Arc<StateItem>) -> Option<Command> {
        let hub = self.hub(index)?;
        let name = hub.group_name(group)?;
        let message = GroupStateMessage::update(Arc::clone(name), item, self.node.memory());
        Some(Command {
            hub: Arc::clone(&hub.name),
            target: Target::Group(Arc::clone(name)),
            selection: Selection::default(),
            action: Action::TellGroupState { message },
        })
    }

    /// Hands a command over to other shards, and carries it out here, in the turn of the request
    /// that led to it.
    fn send_and_walk(
        &mut self,
        index: HubIndex,
        permits: Vec<(ShardId, Permit)>,
        command: Command,
        list: List,
    ) {
        for (shard, permit) in permits {
            let mail = Mail::Command(command.clone());
            self.hand_off[shard.index()].push((permit, mail));
        }
        let places = self.hub(index).map_or(0, |hub| hub.places(&list));
        self.walk(index, Walk::over(command, list, 0..places));
    }

    /// A session may wait for its turn to gather.
    fn count_gathering_ended(&mut self) {
        self.gatherings -= 1;
        self.gathering_ended = true;
    }

    fn end_subscription(
        &mut self,
        index: HubIndex,
        group: GroupIndex,
        subscription: &Subscription,
    ) {
        if subscription.gathering.is_some() {
            self.count_gathering_ended();
        }
        let Some(Some(hub)) = self.hubs.get_mut(index.0 as usize) else {
            return;
        };
        let connections = &mut self.connections;
        hub.unsubscribe(group, subscription.index, |moved| {
            if let Some(connection) = connections.get_mut(moved) {
                connection.set_subscriber_index(group, subscription.index);
            }
        });
    }
}

fn not_a_member(group: &str) -> Outcome {
    Outcome::Failed {
        name: AckErrorName::BadRequest,
        message: ack::not_a_member(group).into(),
    }
}
