//! Who is a member of what: the lists of a hub, the connections' own, and the interest table, all
//! changed together.

use std::sync::Arc;

use super::Shard;
use super::connection::Connection;
use crate::command::GroupNames;
use crate::hub::{Change, GroupIndex, HubIndex, List, Membership};
use crate::id::Slot;
use crate::interest::Kind;
use crate::transport::Transport;

/// A connection may not join another group (`limits.groups_per_connection`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyGroups;

impl<T: Transport> Shard<T> {
    /// Makes a connection a member of a group; again is fine.
    pub(super) fn join(&mut self, slot: Slot, name: &str) -> Result<(), TooManyGroups> {
        let Some(connection) = self.connections.get_mut(slot) else {
            return Ok(());
        };
        let Some(Some(hub)) = self.hubs.get_mut(connection.hub.0 as usize) else {
            return Ok(());
        };
        if let Some(group) = hub.group(name)
            && connection.place_of(group).is_ok()
        {
            return Ok(());
        }
        if connection.memberships.len() >= self.node.limits().groups_per_connection {
            self.numbers.joins_refused += 1;
            return Err(TooManyGroups);
        }
        let groups_before = hub.group_count();
        let (membership, change) = hub.join(slot, name);
        if let Err(place) = connection.place_of(membership.group) {
            connection.memberships.insert(place, membership);
        }
        self.numbers.groups += (hub.group_count() - groups_before) as u64;
        if change == Change::Edge
            && self.keeps_interest
            && let Some(name) = hub.group_name(membership.group)
        {
            self.node
                .interest()
                .set(Kind::Group, &hub.name, name, self.id);
        }
        Ok(())
    }

    /// Ends a membership, if there is one.
    pub(super) fn leave(&mut self, slot: Slot, name: &str) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(Some(hub)) = self.hubs.get(connection.hub.0 as usize) else {
            return;
        };
        let Some(group) = hub.group(name) else { return };
        if let Ok(place) = connection.place_of(group) {
            let membership = connection.memberships.remove(place);
            let index = connection.hub;
            self.end_membership(slot, index, membership);
        }
    }

    /// Ends the memberships in groups that are named, in one pass over all of them.
    pub(super) fn leave_named_groups(&mut self, slot: Slot, names: &GroupNames) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let index = connection.hub;
        let Some(Some(hub)) = self.hubs.get(index.0 as usize) else {
            return;
        };
        let is_named = |membership: &mut Membership| {
            hub.group_name(membership.group)
                .is_some_and(|name| names.contains(name))
        };
        let ended: Vec<_> = connection.memberships.extract_if(.., is_named).collect();
        for membership in ended {
            self.end_membership(slot, index, membership);
        }
    }

    /// Ends every membership of a connection.
    pub(super) fn leave_every_group(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let index = connection.hub;
        for membership in std::mem::take(&mut connection.memberships) {
            self.end_membership(slot, index, membership);
        }
    }

    fn end_membership(&mut self, slot: Slot, index: HubIndex, membership: Membership) {
        self.leave_group_state(slot, index, membership.group);
        let Some(Some(hub)) = self.hubs.get_mut(index.0 as usize) else {
            return;
        };
        let group = membership.group;
        let name = hub.group_name(group).map(Arc::clone);
        let groups_before = hub.group_count();
        let connections = &mut self.connections;
        let change = hub.leave(membership, |moved| {
            if let Some(connection) = connections.get_mut(moved) {
                connection.set_index(group, membership.index);
            }
        });
        self.numbers.groups -= (groups_before - hub.group_count()) as u64;
        if change == Change::Edge
            && self.keeps_interest
            && let Some(name) = name
        {
            self.node
                .interest()
                .clear(Kind::Group, &hub.name, &name, self.id);
        }
    }

    /// Ends a walk's hold on a list.
    pub(super) fn unpin(&mut self, index: HubIndex, list: &List) {
        let Some(Some(hub)) = self.hubs.get_mut(index.0 as usize) else {
            return;
        };
        let groups_before = hub.group_count();
        let connections = &mut self.connections;
        hub.unpin(list, |slot, place| {
            let Some(connection) = connections.get_mut(slot) else {
                return;
            };
            match list {
                List::All => connection.all_index = place,
                List::Group(group) => connection.set_index(*group, place),
                List::Subscribers(group) => connection.set_subscriber_index(*group, place),
                List::User(_) => connection.user_index = place,
                List::One(_) => {}
            }
        });
        self.numbers.groups -= (groups_before - hub.group_count()) as u64;
    }
}

impl<T> Connection<T> {
    /// Records that the connection has a new index in a group.
    fn set_index(&mut self, group: GroupIndex, index: u32) {
        if let Ok(place) = self.place_of(group) {
            self.memberships[place].index = index;
        }
    }

    /// Records that the connection has a new index among a group's subscribers.
    pub(super) fn set_subscriber_index(&mut self, group: GroupIndex, index: u32) {
        let subscription = self
            .session
            .as_mut()
            .and_then(|session| session.group_states.subscription_mut(group));
        if let Some(subscription) = subscription {
            subscription.index = index;
        }
    }

    /// Where the membership in a group is, or belongs.
    pub(super) fn place_of(&self, group: GroupIndex) -> Result<usize, usize> {
        self.memberships
            .binary_search_by_key(&group, |membership| membership.group)
    }
}
