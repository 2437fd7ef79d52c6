//! A hub as one shard knows it: its connections, groups and users, and the commands that wait
//! while a long walk is under way.
//!
//! Only lists of slots are here; the connections themselves are the shard's.

use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::command::Command;
use crate::group_state::StateItem;
use crate::id::{ConnectionId, ConnectionIdText, Slot};
use crate::member_list::MemberList;
use crate::settings::HubSettings;
use crate::shard::SessionKey;

/// Something that waits for its turn in a busy hub.
#[derive(Debug)]
pub enum Turn {
    /// A command from the inbox.
    Command(Command),
    /// A session of this shard whose request concerns the hub's lists.
    Session(SessionKey),
}

/// A hub's place in its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HubIndex(pub u32);

/// A group's place in its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub u32);

/// One membership of a connection: the group, and the connection's index in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: GroupIndex,
    /// Where in the group's list.
    pub index: u32,
}

/// One of a hub's lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// Every connection.
    All,
    /// The members of a group.
    Group(GroupIndex),
    /// Those members of a group that are told its states.
    Subscribers(GroupIndex),
    /// The connections of a user.
    User(Arc<str>),
    /// One connection, which needs no list.
    One(ConnectionId),
}

/// A command on its way over a list, which the tick's budget may cut between any two steps.
#[derive(Debug)]
pub struct Walk {
    /// The command.
    pub command: Command,
    /// The list that it walks, pinned while the walk is cut.
    pub list: List,
    /// The next place to visit.
    pub next: usize,
    /// Where the list ended when the walk began.
    pub end: usize,
    /// The member at the next place, if it was selected and the walk cut before it was done.
    pub begun: Option<BegunMember>,
    /// Connections that were selected so far.
    pub selected: usize,
    /// Connections that the whole command was applied to so far.
    pub applied: usize,
    /// The smallest ids so far above the cursor of a list that is asked for, largest on top.
    pub page: BinaryHeap<(ConnectionIdText, Slot)>,
    /// The states so far of members whose states are asked for.
    pub states: Vec<Arc<StateItem>>,
}

/// How far a walk is with one member.
#[derive(Debug, Clone, Copy, Default)]
pub struct BegunMember {
    /// The next of the command's groups.
    pub next_group: usize,
}

impl Walk {
    /// A walk over some places of a list that has not begun.
    #[must_use]
    pub fn over(command: Command, list: List, places: Range<usize>) -> Self {
        Self {
            command,
            list,
            next: places.start,
            end: places.end,
            begun: None,
            selected: 0,
            applied: 0,
            page: BinaryHeap::new(),
            states: Vec::new(),
        }
    }

    /// Goes on to the next place.
    pub fn step(&mut self) {
        self.next += 1;
        self.begun = None;
    }
}

#[derive(Debug)]
struct Group {
    name: Arc<str>,
    members: MemberList,
    /// `None` while nobody is told the group's states. All of them are members.
    subscribers: Option<Box<MemberList>>,
}

impl Group {
    fn is_over(&self) -> bool {
        self.members.is_empty() && !self.members.is_pinned() && self.subscribers.is_none()
    }

    /// Gives an empty list of subscribers back that no walk holds.
    fn forget_subscribers(&mut self) {
        let is_unused = |list: &mut Box<MemberList>| list.is_empty() && !list.is_pinned();
        self.subscribers.take_if(is_unused);
    }
}

/// A hub of one shard. It exists while it has a connection.
#[derive(Debug)]
pub struct Hub {
    /// The lower-case name.
    pub name: Arc<str>,
    /// The settings as this shard last saw them.
    pub settings: Arc<HubSettings>,
    /// What waits for the walk, in order.
    pub backlog: VecDeque<Turn>,
    /// The walk under way.
    pub walk: Option<Walk>,
    all: MemberList,
    users: HashMap<Arc<str>, MemberList>,
    group_index: HashMap<Arc<str>, GroupIndex>,
    groups: Vec<Option<Group>>,
    free_groups: Vec<GroupIndex>,
}

/// Whether a change brought the first or took the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The list had nobody before, or has nobody now.
    Edge,
    /// There are others.
    Inner,
}

/// What [`Hub::enter`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The connection's index among all.
    pub all_index: u32,
    /// Its index among its user's.
    pub user_index: u32,
    /// Whether it is the hub's first.
    pub first_of_hub: bool,
    /// Whether it is its user's first.
    pub first_of_user: bool,
}

impl Hub {
    /// A hub without connections.
    #[must_use]
    pub fn new(name: Arc<str>, settings: Arc<HubSettings>) -> Self {
        Self {
            name,
            settings,
            backlog: VecDeque::new(),
            walk: None,
            all: MemberList::default(),
            users: HashMap::new(),
            group_index: HashMap::new(),
            groups: Vec::new(),
            free_groups: Vec::new(),
        }
    }

    /// Whether commands have to wait for their turn.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.walk.is_some() || !self.backlog.is_empty()
    }

    /// Whether nobody is here and nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        // A list that a walk holds outlives its last member, and the walk has yet to answer.
        let held = self.all.is_pinned() || !self.group_index.is_empty() || !self.users.is_empty();
        self.all.is_empty() && !held && !self.is_busy()
    }

    /// Groups with a member.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.group_index.len()
    }

    /// The list that a name stands for, if anybody is in it.
    #[must_use]
    pub fn members(&self, list: &List) -> Option<&MemberList> {
        match list {
            List::All => Some(&self.all),
            List::Group(group) => Some(&self.group_at(*group)?.members),
            List::Subscribers(group) => self.group_at(*group)?.subscribers.as_deref(),
            List::User(user) => self.users.get(user),
            List::One(_) => None,
        }
    }

    fn members_mut(&mut self, list: &List) -> Option<&mut MemberList> {
        match list {
            List::All => Some(&mut self.all),
            List::Group(group) => Some(&mut self.group_at_mut(*group)?.members),
            List::Subscribers(group) => self.group_at_mut(*group)?.subscribers.as_deref_mut(),
            List::User(user) => self.users.get_mut(user),
            List::One(_) => None,
        }
    }

    fn group_at(&self, group: GroupIndex) -> Option<&Group> {
        self.groups.get(group.0 as usize)?.as_ref()
    }

    fn group_at_mut(&mut self, group: GroupIndex) -> Option<&mut Group> {
        self.groups.get_mut(group.0 as usize)?.as_mut()
    }

    /// The group called `name`, if it has a member here.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<GroupIndex> {
        self.group_index.get(name).copied()
    }

    /// The name of a group.
    #[must_use]
    pub fn group_name(&self, group: GroupIndex) -> Option<&Arc<str>> {
        Some(&self.group_at(group)?.name)
    }

    /// Adds a connection.
    pub fn enter(&mut self, slot: Slot, user: Option<&Arc<str>>) -> Entry {
        let first_of_hub = self.all.is_empty();
        let all_index = self.all.push(slot);
        let (first_of_user, user_index) = match user {
            Some(user) => {
                let list = self.users.entry(Arc::clone(user)).or_default();
                (list.is_empty(), list.push(slot))
            }
            None => (false, 0),
        };
        Entry {
            all_index,
            user_index,
            first_of_hub,
            first_of_user,
        }
    }

    /// Removes a connection from the list of all; `moved` learns who took its index.
    pub fn leave_all(&mut self, index: u32, moved: impl FnOnce(Slot)) -> Change {
        if let Some(slot) = self.all.remove(index) {
            moved(slot);
        }
        if self.all.is_empty() {
            Change::Edge
        } else {
            Change::Inner
        }
    }

    /// Removes a connection from its user's list; `moved` learns who took its index.
    pub fn leave_user(&mut self, user: &Arc<str>, index: u32, moved: impl FnOnce(Slot)) -> Change {
        let Some(list) = self.users.get_mut(user) else {
            return Change::Inner;
        };
        if let Some(slot) = list.remove(index) {
            moved(slot);
        }
        if !list.is_empty() {
            return Change::Inner;
        }
        if !list.is_pinned() {
            self.users.remove(user);
            self.shrink_users();
        }
        Change::Edge
    }

    /// Adds a connection to a group, which comes to life with its first member. The membership's
    /// name is shared by all.
    pub fn join(&mut self, slot: Slot, name: &str) -> (Membership, Change) {
        let group = match self.group_index.get(name) {
            Some(group) => *group,
            None => self.create_group(name.into()),
        };
        let Some(Some(entry)) = self.groups.get_mut(group.0 as usize) else {
            debug_assert!(false, "a listed group exists");
            return (Membership { group, index: 0 }, Change::Inner);
        };
        let change = if entry.members.is_empty() {
            Change::Edge
        } else {
            Change::Inner
        };
        (
            Membership {
                group,
                index: entry.members.push(slot),
            },
            change,
        )
    }

    /// Ends a membership; `moved` learns who took its index. With the last member the group ends.
    pub fn leave(&mut self, membership: Membership, moved: impl FnOnce(Slot)) -> Change {
        let Some(Some(group)) = self.groups.get_mut(membership.group.0 as usize) else {
            return Change::Inner;
        };
        if let Some(slot) = group.members.remove(membership.index) {
            moved(slot);
        }
        if !group.members.is_empty() {
            return Change::Inner;
        }
        self.end_group_if_over(membership.group);
        Change::Edge
    }

    /// Adds a member of a group to those that are told its states; returns its index there.
    pub fn subscribe(&mut self, slot: Slot, group: GroupIndex) -> u32 {
        let Some(group) = self.group_at_mut(group) else {
            debug_assert!(false, "a subscriber is a member of its group");
            return 0;
        };
        group.subscribers.get_or_insert_default().push(slot)
    }

    /// Removes a subscriber; `moved` learns who took its index.
    pub fn unsubscribe(&mut self, group: GroupIndex, index: u32, moved: impl FnOnce(Slot)) {
        let Some(group) = self.group_at_mut(group) else {
            return;
        };
        if let Some(slot) = group
            .subscribers
            .as_mut()
            .and_then(|subscribers| subscribers.remove(index))
        {
            moved(slot);
        }
        group.forget_subscribers();
    }

    /// Places of a list to visit.
    #[must_use]
    pub fn places(&self, list: &List) -> usize {
        match list {
            List::One(_) => 1,
            list => self.members(list).map_or(0, MemberList::places),
        }
    }

    /// Pins a list for a walk.
    pub fn pin(&mut self, list: &List) {
        if let Some(members) = self.members_mut(list) {
            members.pin();
        }
    }

    /// Ends a walk's hold on a list; `moved` learns every member with a new index.
    pub fn unpin(&mut self, list: &List, moved: impl FnMut(Slot, u32)) {
        let Some(members) = self.members_mut(list) else {
            return;
        };
        members.unpin(moved);
        if !members.is_empty() {
            return;
        }
        match list {
            List::All | List::One(_) => {}
            List::Group(group) => self.end_group_if_over(*group),
            List::Subscribers(group) => {
                if let Some(group) = self.group_at_mut(*group) {
                    group.forget_subscribers();
                }
                self.end_group_if_over(*group);
            }
            List::User(user) => {
                self.users.remove(user);
                self.shrink_users();
            }
        }
    }

    fn create_group(&mut self, name: Arc<str>) -> GroupIndex {
        let entry = Group {
            name: Arc::clone(&name),
            members: MemberList::default(),
            subscribers: None,
        };
        let group = match self.free_groups.pop() {
            Some(group) => {
                self.groups[group.0 as usize] = Some(entry);
                group
            }
            None => {
                self.groups.push(Some(entry));
                GroupIndex(u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.group_index.insert(name, group);
        group
    }

    fn end_group_if_over(&mut self, group: GroupIndex) {
        if !self.group_at(group).is_some_and(Group::is_over) {
            return;
        }
        if let Some(ended) = self.groups.get_mut(group.0 as usize).and_then(Option::take) {
            self.group_index.remove(&ended.name);
            self.free_groups.push(group);
            if self.group_index.capacity() > 64
                && self.group_index.len() * 8 < self.group_index.capacity()
            {
                self.group_index.shrink_to(self.group_index.len() * 2);
            }
        }
    }

    fn shrink_users(&mut self) {
        if self.users.capacity() > 64 && self.users.len() * 8 < self.users.capacity() {
            self.users.shrink_to(self.users.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_outlives_its_last_member_while_a_walk_goes_over_its_subscribers() {
        let mut hub = Hub::new("chat".into(), Arc::default());
        let slot = Slot(1);
        let (membership, _) = hub.join(slot, "room");
        let (group, nobody) = (membership.group, |_| panic!("nobody is left to move"));
        let index = hub.subscribe(slot, group);
        let list = List::Subscribers(group);
        assert_eq!(hub.places(&list), 1);
        hub.pin(&list);
        hub.unsubscribe(group, index, nobody);
        hub.leave(membership, nobody);
        let (other, _) = hub.join(slot, "hall");
        assert_ne!(other.group, group, "the walk would go on in another group");
        hub.unpin(&list, |_, _| panic!("nobody is left to move"));
        assert_eq!((hub.group("room"), hub.group_count()), (None, 1));
        assert_eq!(hub.places(&list), 0);
    }
}
