//! What a command does to one connection after the other: who is selected, and each action.

use std::cell::OnceCell;

use hubwire_proto::filter::FilterSubject;
use hubwire_proto::role::{Permission, Permissions};

use super::Shard;
use super::connection::Connection;
use super::membership::TooManyGroups;
use crate::command::{Action, Question, Selection};
use crate::hub::{BegunMember, Hub, HubIndex, List, Walk};
use crate::id::{ConnectionIdText, Slot};
use crate::session::Session;
use crate::transport::Transport;

/// What became of an action for one member.
enum Effect {
    /// All of it was done.
    Applied,
    /// A bound of the connection refused it or a part of it.
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
        let cost = usize::try_from(filter.cost()).unwrap_or(usize::MAX);
        self.members_left = self.members_left.saturating_sub(cost);
        let (Some(session), Some(hub)) = (&connection.session, self.hub(index)) else {
            return false;
        };
        filter.matches(&Subject {
            connection,
            session,
            hub,
            id: OnceCell::new(),
        })
    }

    fn apply_to_member(&mut self, slot: Slot, walk: &mut Walk, begun: BegunMember) -> Effect {
        match &walk.command.action {
            Action::Deliver { publication } => {
                self.deliver_to(slot, publication);
                Effect::Applied
            }
            Action::Join { groups, .. } => self.change_groups(begun, |shard, place, refused| {
                let name = groups.get(place)?;
                *refused |= shard.join(slot, name) == Err(TooManyGroups);
                Some(())
            }),
            Action::Leave {
                groups: Some(groups),
                ..
            } => self.change_groups(begun, |shard, place, _| {
                shard.leave(slot, groups.get(place)?);
                Some(())
            }),
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
            } => self.change_permissions(slot, |permissions| {
                permissions.revoke(*permission, group.as_deref())
            }),
            Action::Ask { question, .. } => match question {
                Question::Exists => {
                    // One is enough.
                    walk.end = walk.next;
                    Effect::Applied
                }
                Question::Allows { permission, group } => {
                    self.ask_permission(slot, *permission, group.as_deref())
                }
                Question::List { after, limit } => {
                    let (after, limit) = (*after, *limit);
                    self.list_member(slot, walk, after, limit);
                    Effect::Applied
                }
            },
        }
    }

    /// Changes one group after the other, from where the walk was cut, until `change` finds no
    /// more of them.
    fn change_groups(
        &mut self,
        mut begun: BegunMember,
        mut change: impl FnMut(&mut Self, usize, &mut bool) -> Option<()>,
    ) -> Effect {
        loop {
            if self.members_left == 0 {
                return Effect::Cut(begun);
            }
            let Some(()) = change(self, begun.next_group, &mut begun.refused) else {
                return if begun.refused {
                    Effect::Refused
                } else {
                    Effect::Applied
                };
            };
            self.members_left -= 1;
            begun.next_group += 1;
        }
    }

    /// Takes what it costs to end all memberships from the budget.
    fn charge_memberships(&mut self, slot: Slot) {
        let memberships = self
            .connections
            .get(slot)
            .map_or(0, |connection| connection.memberships.len());
        self.members_left = self.members_left.saturating_sub(memberships);
    }

    fn change_permissions<E>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Permissions) -> Result<(), E>,
    ) -> Effect {
        let session = self
            .connections
            .get_mut(slot)
            .and_then(|connection| connection.session.as_mut());
        match session.map(|session| change(session.permissions_mut())) {
            Some(Err(_)) => Effect::Refused,
            Some(Ok(())) | None => Effect::Applied,
        }
    }

    fn ask_permission(&self, slot: Slot, permission: Permission, group: Option<&str>) -> Effect {
        let session = self
            .connections
            .get(slot)
            .and_then(|connection| connection.session.as_ref());
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
        self.session.protocol.subprotocol()
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
