//! What a command does to one connection after the other: who is selected, and each action.

use std::cell::OnceCell;

use hubwire_proto::filter::FilterSubject;
use hubwire_proto::role::{Permission, Permissions};
use hubwire_proto::subprotocol::Subprotocol;

use super::Shard;
use super::connection::Connection;
use super::membership::TooManyGroups;
use crate::command::{Action, GroupNames, Question, Selection};
use crate::hub::{BegunMember, Hub, HubIndex, List, Walk};
use crate::id::{ConnectionIdText, Slot};
use crate::session::Session;
use crate::transport::Transport;

/// What became of an action for one member.
enum Effect {
    /// All of it was done.
    Applied,
    /// A bound of the connection refused it or the rest of it.
    Refused,
    /// It has to go on from here.
    Cut(BegunMember),
}

impl<T: Transport> Shard<T> {
    /// Goes from member to member until the walk or the budget ends.
    pub(super) fn visit_members(&mut self, index: HubIndex, walk: &mut Walk) {
        while walk.next < walk.end && self.members_left > 0 {
            let Some(slot) = self.member(index, &walk.list, walk.next) else {
                self.members_left -= 1;
                walk.step();
                continue;
            };
            // Selected before the first of its groups changes, and not again when the walk goes on.
            let begun = match walk.begun.take() {
                Some(begun) => begun,
                None if self.selects(index, slot, &walk.command.selection) => {
                    walk.selected += 1;
                    BegunMember::default()
                }
                None => {
                    walk.step();
                    continue;
                }
            };
            match self.apply_to_member(slot, walk, begun) {
                Effect::Applied => walk.applied += 1,
                Effect::Refused => {}
                Effect::Cut(begun) => {
                    walk.begun = Some(begun);
                    return;
                }
            }
            walk.step();
        }
    }

    fn member(&self, index: HubIndex, list: &List, place: usize) -> Option<Slot> {
        match list {
            List::One(id) => {
                let slot = self.find(id)?;
                (self.connections.get(slot)?.hub == index).then_some(slot)
            }
            list => self.hub(index)?.members(list)?.at(place),
        }
    }

    /// Whether a member is selected; what it costs to know is taken from the budget.
    fn selects(&mut self, index: HubIndex, slot: Slot, selection: &Selection) -> bool {
        self.members_left -= 1;
        let Some(connection) = self.connections.get(slot) else {
            return false;
        };
        if selection.excluded.contains(&connection.seat.connection()) {
            return false;
        }
        let Some(filter) = &selection.filter else {
            return true;
        };
        let (Some(session), Some(hub)) = (&connection.session, self.hub(index)) else {
            return false;
        };
        let verdict = filter.judge(&Subject {
            connection,
            session,
            hub,
            id: OnceCell::new(),
        });
        self.members_left = self.members_left.saturating_sub(verdict.cost);
        verdict.picks
    }

    fn apply_to_member(&mut self, slot: Slot, walk: &mut Walk, begun: BegunMember) -> Effect {
        match &walk.command.action {
            Action::Deliver { publication } => {
                self.deliver_to(slot, publication);
                Effect::Applied
            }
            Action::Join { groups, .. } => self.join_groups(slot, groups, begun),
            Action::Leave {
                groups: Some(groups),
                ..
            } => self.leave_groups(slot, groups, begun),
            Action::Leave { groups: None, .. } => {
                self.charge_memberships(slot);
                self.leave_every_group(slot);
                Effect::Applied
            }
            Action::Close { reason, .. } => {
                self.charge_memberships(slot);
                self.close_by_app_server(slot, reason.as_deref());
                Effect::Applied
            }
            Action::Grant {
                permission, group, ..
            } => self.change_permissions(slot, |permissions| {
                permissions.grant(*permission, group.as_deref())
            }),
            Action::Revoke {
                permission, group, ..
            } => {
                let effect = self.change_permissions(slot, |permissions| {
                    permissions.revoke(*permission, group.as_deref())
                });
                self.end_forbidden_streams(slot);
                effect
            }
            Action::Ask { question, .. } => match question {
                Question::Exists => {
                    // One is enough.
                    walk.end = walk.next;
                    Effect::Applied
                }
                Question::Recoverable if self.is_recoverable(slot) => Effect::Applied,
                Question::Recoverable => Effect::Refused,
                Question::Allows { permission, group } => {
                    self.ask_permission(slot, *permission, group.as_deref())
                }
                Question::List { after, limit } => {
                    let (after, limit) = (*after, *limit);
                    self.list_member(slot, walk, after, limit);
                    Effect::Applied
                }
            },
            Action::TellGroupState { message } => {
                if let List::Subscribers(group) = walk.list {
                    self.tell_subscriber(slot, group, message);
                }
                Effect::Applied
            }
            Action::AskGroupStates { .. } => {
                if let List::Group(group) = walk.list {
                    walk.states.extend(self.state_of(slot, group));
                }
                Effect::Applied
            }
            Action::GroupStates { group, part } => {
                self.receive_part(slot, group, part);
                Effect::Applied
            }
        }
    }

    /// Joins one group after the other, from where the walk was cut.
    ///
    /// The first refusal is the last: behind it can only be groups that the connection is in
    /// already, and such that are refused as well. So a member costs at most one name more than it
    /// may have groups, however many there are.
    fn join_groups(&mut self, slot: Slot, groups: &GroupNames, mut begun: BegunMember) -> Effect {
        while let Some(name) = groups.get(begun.next_group) {
            if self.members_left == 0 {
                return Effect::Cut(begun);
            }
            self.members_left -= 1;
            if self.join(slot, name) == Err(TooManyGroups) {
                return Effect::Refused;
            }
            begun.next_group += 1;
        }
        Effect::Applied
    }

    /// Leaves one group after the other, from where the walk was cut; or goes through the groups
    /// that the connection is in, where these are fewer than the names.
    fn leave_groups(&mut self, slot: Slot, groups: &GroupNames, mut begun: BegunMember) -> Effect {
        // Decided once: what it joins while the walk is cut came after the command.
        if begun.next_group == 0 && groups.count() > self.membership_count(slot) {
            self.charge_memberships(slot);
            self.leave_named_groups(slot, groups);
            return Effect::Applied;
        }
        while let Some(name) = groups.get(begun.next_group) {
            if self.members_left == 0 {
                return Effect::Cut(begun);
            }
            self.members_left -= 1;
            self.leave(slot, name);
            begun.next_group += 1;
        }
        Effect::Applied
    }

    /// Takes what it costs to go through all memberships from the budget.
    fn charge_memberships(&mut self, slot: Slot) {
        let memberships = self.membership_count(slot);
        self.members_left = self.members_left.saturating_sub(memberships);
    }

    fn membership_count(&self, slot: Slot) -> usize {
        self.connections
            .get(slot)
            .map_or(0, |connection| connection.memberships.len())
    }

    fn change_permissions<E>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Permissions) -> Result<(), E>,
    ) -> Effect {
        let session = self.session_mut(slot);
        match session.map(|session| change(session.permissions_mut())) {
            Some(Err(_)) => Effect::Refused,
            Some(Ok(())) | None => Effect::Applied,
        }
    }

    fn ask_permission(&self, slot: Slot, permission: Permission, group: Option<&str>) -> Effect {
        let session = self.session(slot);
        if session.is_some_and(|session| session.permissions().allows(permission, group)) {
            Effect::Applied
        } else {
            Effect::Refused
        }
    }

    /// Keeps the member if its id is among the smallest above the cursor.
    fn list_member(
        &self,
        slot: Slot,
        walk: &mut Walk,
        after: Option<ConnectionIdText>,
        limit: usize,
    ) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let id = connection.seat.connection().text();
        if after.is_some_and(|after| id <= after) {
            return;
        }
        let page = &mut walk.page;
        if page.len() < limit {
            page.push((id, slot));
        } else if let Some(mut largest) = page.peek_mut()
            && id < largest.0
        {
            *largest = (id, slot);
        }
    }
}

/// A connection as filters see it.
struct Subject<'a, T> {
    connection: &'a Connection<T>,
    session: &'a Session,
    hub: &'a Hub,
    /// Spelt out only for a filter that asks for it.
    id: OnceCell<ConnectionIdText>,
}

impl<T> FilterSubject for Subject<'_, T> {
    fn connection_id(&self) -> &str {
        self.id
            .get_or_init(|| self.connection.seat.connection().text())
            .as_str()
    }

    fn user_id(&self) -> Option<&str> {
        self.session.user.as_deref()
    }

    fn protocol(&self) -> Option<&str> {
        self.session.protocol.subprotocol().map(Subprotocol::name)
    }

    fn in_group(&self, group: &str) -> bool {
        self.hub
            .group(group)
            .is_some_and(|group| self.connection.place_of(group).is_ok())
    }

    fn group_count(&self) -> usize {
        self.connection.memberships.len()
    }
}
