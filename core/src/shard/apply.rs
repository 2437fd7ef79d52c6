//! Commands applied to the members of this shard, walk by walk.
//!
//! A walk that uses up the tick's budget keeps its place and pins its list; later commands of
//! that hub wait behind it, those of other hubs do not.

use std::collections::BinaryHeap;
use std::sync::Arc;

use super::request::HubTurn;
use super::{Shard, TransportKey};
use crate::ask::{Answer, Listed};
use crate::command::{Action, Command, Excluded, Question, Target};
use crate::hub::{Change, GroupIndex, HubIndex, List, Membership, Turn, Walk};
use crate::id::{ConnectionId, ConnectionIdText, Slot};
use crate::interest::Kind;
use crate::publication::Publication;
use crate::transport::Transport;

/// A connection may not join another group (`limits.groups_per_connection`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyGroups;

impl<T: Transport> Shard<T> {
    /// Applies a command from the inbox, or lets it wait for its hub's turn.
    pub(super) fn receive_command(&mut self, command: Command) {
        let Some(index) = self.hub_index.get(&command.hub).copied() else {
            self.answer(&command, Answer::nobody(&command.action));
            return;
        };
        match self.hub_mut(index) {
            Some(hub) if hub.is_busy() => hub.backlog.push_back(Turn::Command(command)),
            _ => self.apply(index, command),
        }
    }

    /// Goes on with the walks that were cut, and with what waits behind them.
    pub(super) fn continue_walks(&mut self) {
        for _ in 0..self.busy_hubs.len() {
            let Some(index) = self.busy_hubs.pop_front() else {
                return;
            };
            if let Some(walk) = self.hub_mut(index).and_then(|hub| hub.walk.take()) {
                self.walk(index, walk);
            }
            while let Some(hub) = self.hub_mut(index) {
                if hub.walk.is_some() {
                    // `walk` put the hub back among the busy ones.
                    break;
                }
                match hub.backlog.pop_front() {
                    Some(Turn::Command(command)) => self.apply(index, command),
                    Some(Turn::Session(key)) => self.retry(key, HubTurn::Ours),
                    None => {
                        self.end_hub_if_over(index);
                        break;
                    }
                }
            }
        }
    }

    fn apply(&mut self, index: HubIndex, command: Command) {
        let list = match &command.target {
            Target::Connection(id) => {
                return self.apply_to_connection(index, id.to_owned(), &command);
            }
            Target::All => Some(List::All),
            Target::Group(name) => self
                .hub(index)
                .and_then(|hub| hub.group(name))
                .map(List::Group),
            Target::User(user) => Some(List::User(Arc::clone(user))),
        };
        let Some(list) = list.filter(|list| {
            self.hub(index)
                .is_some_and(|hub| hub.members(list).is_some())
        }) else {
            return self.answer(&command, Answer::nobody(&command.action));
        };
        match &command.action {
            Action::Ask { .. } => self.walk(index, Walk::over(command, list, 0..0)),
            Action::Deliver { .. } => {
                let end = self.places(index, &list);
                self.walk(index, Walk::over(command, list, 0..end));
            }
            Action::Join { .. } | Action::Leave { .. } | Action::Close { .. } => {
                // These change lists, so members must stay in place from the start.
                let end = self.hub_mut(index).map_or(0, |hub| hub.pin(&list));
                self.walk(index, Walk::over(command, list, 0..end));
            }
        }
    }

    fn apply_to_connection(&mut self, index: HubIndex, id: ConnectionId, command: &Command) {
        let slot = self.find(&id).filter(|slot| {
            self.connections
                .get(*slot)
                .is_some_and(|found| found.hub == index)
        });
        let Some(slot) = slot else {
            return self.answer(command, Answer::nobody(&command.action));
        };
        let answer = match &command.action {
            Action::Ask {
                question: Question::Exists,
                ..
            } => Answer::Exists(true),
            Action::Ask {
                question: Question::List { .. },
                ..
            } => Answer::Page(self.listed(slot).into_iter().collect()),
            Action::Join { group, .. } => match self.join(slot, group) {
                Ok(()) => Answer::Applied(1),
                Err(TooManyGroups) => Answer::Refused,
            },
            action => Answer::Applied(self.apply_to_member(slot, action)),
        };
        self.answer(command, answer);
    }

    /// Applies an action to one member; returns how many connections it was applied to.
    fn apply_to_member(&mut self, slot: Slot, action: &Action) -> usize {
        match action {
            Action::Deliver {
                publication,
                excluded,
            } => usize::from(self.deliver_to(slot, publication, excluded)),
            Action::Join { group, .. } => usize::from(self.join(slot, group).is_ok()),
            Action::Leave {
                group: Some(group), ..
            } => {
                self.leave(slot, group);
                1
            }
            Action::Leave { group: None, .. } => {
                self.leave_every_group(slot);
                1
            }
            Action::Close {
                reason, excluded, ..
            } => {
                let connection = self
                    .connections
                    .get(slot)
                    .map(|found| found.seat.connection());
                if connection.is_none_or(|id| excluded.contains(&id)) {
                    return 0;
                }
                self.close_by_app_server(slot, reason.as_deref());
                1
            }
            Action::Ask { .. } => 0,
        }
    }

    /// Visits members until the walk or the tick's budget ends.
    fn walk(&mut self, index: HubIndex, mut walk: Walk) {
        if let Action::Ask { question, .. } = &walk.command.action {
            if self.members_left == 0 {
                return self.put_off(index, walk);
            }
            let answer = self.look_up(index, &walk.list, question);
            self.unpin(index, &walk.list);
            self.answer(&walk.command, answer);
            return self.end_hub_if_over(index);
        }
        if let Action::Deliver {
            publication,
            excluded,
        } = &walk.command.action
        {
            let publication = Arc::clone(publication);
            let excluded = excluded.clone();
            walk.next = self.deliver(
                index,
                &walk.list,
                walk.next..walk.end,
                &publication,
                &excluded,
            );
        } else {
            while walk.next < walk.end && self.members_left > 0 {
                self.members_left -= 1;
                let member = self
                    .hub(index)
                    .and_then(|hub| hub.members(&walk.list)?.at(walk.next));
                walk.next += 1;
                if let Some(slot) = member {
                    walk.visited += 1;
                    walk.applied += self.apply_to_member(slot, &walk.command.action);
                }
            }
        }
        if walk.next < walk.end {
            return self.put_off(index, walk);
        }
        self.unpin(index, &walk.list);
        let refused = matches!(walk.command.action, Action::Join { .. })
            && walk.visited > 0
            && walk.applied == 0;
        let answer = if refused {
            Answer::Refused
        } else {
            Answer::Applied(walk.applied)
        };
        self.answer(&walk.command, answer);
        self.end_hub_if_over(index);
    }

    /// Leaves the rest of a walk that began in [`deliver`](Self::deliver) to later ticks.
    pub(super) fn walk_on(
        &mut self,
        index: HubIndex,
        command: Command,
        list: List,
        rest: std::ops::Range<usize>,
    ) {
        self.put_off(index, Walk::over(command, list, rest));
    }

    fn put_off(&mut self, index: HubIndex, walk: Walk) {
        let Some(hub) = self.hub_mut(index) else {
            return;
        };
        hub.pin(&walk.list);
        hub.walk = Some(walk);
        self.busy_hubs.push_back(index);
    }

    fn places(&self, index: HubIndex, list: &List) -> usize {
        self.hub(index)
            .and_then(|hub| hub.members(list))
            .map_or(0, crate::member_list::MemberList::places)
    }

    /// Queues a publication for the members at `places`; returns the first place not visited.
    /// This is the innermost loop of the server: it allocates nothing once its pools are warm.
    pub(super) fn deliver(
        &mut self,
        index: HubIndex,
        list: &List,
        places: std::ops::Range<usize>,
        publication: &Publication,
        excluded: &Excluded,
    ) -> usize {
        let Some(Some(hub)) = self.hubs.get(index.0 as usize) else {
            return places.end;
        };
        let Some(members) = hub.members(list) else {
            return places.end;
        };
        let end = places
            .end
            .min(places.start.saturating_add(self.members_left));
        self.members_left -= end - places.start;
        for place in places.start..end {
            let Some(slot) = members.at(place) else {
                continue;
            };
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            if excluded.contains(&connection.seat.connection()) {
                continue;
            }
            let frame = publication.frame(connection.encoding);
            connection.link.outbox.push(frame, &mut self.pool);
            self.numbers.messages_delivered += 1;
            if connection.link.wants_flush(self.node.limits()) {
                connection.link.flags.dirty = true;
                self.dirty.push_back(TransportKey {
                    slot,
                    birth: connection.birth,
                });
            }
        }
        end
    }

    fn deliver_to(&mut self, slot: Slot, publication: &Publication, excluded: &Excluded) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        if excluded.contains(&connection.seat.connection()) {
            return false;
        }
        connection
            .link
            .outbox
            .push(publication.frame(connection.encoding), &mut self.pool);
        self.numbers.messages_delivered += 1;
        self.mark_dirty(slot);
        true
    }

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
            self.end_membership(index, membership);
        }
    }

    /// Ends every membership of a connection.
    pub(super) fn leave_every_group(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let index = connection.hub;
        for membership in std::mem::take(&mut connection.memberships) {
            self.end_membership(index, membership);
        }
    }

    fn end_membership(&mut self, index: HubIndex, membership: Membership) {
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

    fn unpin(&mut self, index: HubIndex, list: &List) {
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
                List::User(_) => connection.user_index = place,
            }
        });
        self.numbers.groups -= (groups_before - hub.group_count()) as u64;
    }

    fn look_up(&mut self, index: HubIndex, list: &List, question: &Question) -> Answer {
        let Some(members) = self.hub(index).and_then(|hub| hub.members(list)) else {
            return Answer::Exists(false);
        };
        match question {
            Question::Exists => Answer::Exists(!members.is_empty()),
            Question::List { after, limit } => {
                // The `limit` smallest ids above the cursor, largest on top.
                let mut page: BinaryHeap<(ConnectionIdText, Slot)> =
                    BinaryHeap::with_capacity(limit.saturating_add(1).min(1024));
                let slots = (0..members.places()).filter_map(|place| members.at(place));
                for slot in slots {
                    let Some(connection) = self.connections.get(slot) else {
                        continue;
                    };
                    let id = connection.seat.connection().text();
                    if after.is_some_and(|after| id <= after) {
                        continue;
                    }
                    if page.len() < *limit || page.peek().is_some_and(|(largest, _)| id < *largest)
                    {
                        page.push((id, slot));
                        if page.len() > *limit {
                            page.pop();
                        }
                    }
                }
                let visited = members.places();
                let page = page
                    .into_sorted_vec()
                    .into_iter()
                    .filter_map(|(_, slot)| self.listed(slot))
                    .collect();
                self.members_left = self.members_left.saturating_sub(visited);
                Answer::Page(page)
            }
        }
    }

    fn listed(&self, slot: Slot) -> Option<Listed> {
        let connection = self.connections.get(slot)?;
        let user = connection.session.as_ref()?.user.clone();
        Some(Listed {
            connection: connection.seat.connection(),
            user,
        })
    }

    fn answer(&self, command: &Command, answer: Answer) {
        if let Some(reply) = command.action.reply_to() {
            self.node.asks().answer(reply, answer);
        }
    }
}

impl Answer {
    /// What a shard answers that has nobody in the target.
    fn nobody(action: &Action) -> Self {
        match action {
            Action::Ask {
                question: Question::Exists,
                ..
            } => Self::Exists(false),
            Action::Ask {
                question: Question::List { .. },
                ..
            } => Self::Page(Vec::new()),
            Action::Deliver { .. }
            | Action::Join { .. }
            | Action::Leave { .. }
            | Action::Close { .. } => Self::Applied(0),
        }
    }
}

impl<T> super::connection::Connection<T> {
    /// Records that the connection has a new index in a group.
    fn set_index(&mut self, group: GroupIndex, index: u32) {
        if let Ok(place) = self.place_of(group) {
            self.memberships[place].index = index;
        }
    }

    /// Where the membership in a group is, or belongs.
    fn place_of(&self, group: GroupIndex) -> Result<usize, usize> {
        self.memberships
            .binary_search_by_key(&group, |membership| membership.group)
    }
}
