//! What must, may and must not reach whom: memberships as far as they are certain, publications
//! with their fate. It knows nothing of shards.

use std::collections::{HashMap, HashSet};

/// A moment of the game; it grows with everything that happens.
pub(crate) type Stamp = u64;
pub(crate) type ActorIndex = usize;
pub(crate) type GroupIndex = usize;

/// Who published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Client(ActorIndex),
    Rest(usize),
}

/// Whom a publication or command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    All,
    Group(GroupIndex),
    User(usize),
    Actor(ActorIndex),
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not known yet.
    Open,
    /// Whoever was certainly there must get it.
    Accepted,
    /// Nobody may get it.
    Rejected,
    /// Its sender ended before it was known.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) sender: Sender,
    pub(crate) hub: usize,
    pub(crate) aim: Aim,
    pub(crate) sent: Stamp,
    pub(crate) has_ack: bool,
    pub(crate) excluded: Vec<ActorIndex>,
    pub(crate) fate: Fate,
    pub(crate) received_by: HashSet<ActorIndex>,
}

/// A request to join or leave that may not have been carried out yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    requested: Stamp,
    /// No opposite request was under way when it was made.
    alone: bool,
}

#[derive(Debug, Default)]
struct Membership {
    /// When the actor may have been a member; the last one may be open.
    maybe: Vec<(Stamp, Option<Stamp>)>,
    /// The actor is certainly a member since.
    certain: Option<Stamp>,
    joins_pending: usize,
    leaves_pending: usize,
    last_join: Stamp,
    last_leave: Stamp,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    now: Stamp,
    pub(crate) publications: Vec<Publication>,
    memberships: HashMap<(ActorIndex, GroupIndex), Membership>,
    /// The last publication that a receiver got from a sender.
    last: HashMap<(Sender, ActorIndex), usize>,
}

/// Where an actor is, for the question whether a publication concerns it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whereabouts {
    pub(crate) hub: usize,
    pub(crate) user: Option<usize>,
    /// Connected for certain since.
    pub(crate) connected: Option<Stamp>,
}

impl Model {
    pub(crate) fn stamp(&mut self) -> Stamp {
        self.now += 1;
        self.now
    }

    pub(crate) fn join_requested(&mut self, actor: ActorIndex, group: GroupIndex) -> Change {
        let now = self.stamp();
        let membership = self.memberships.entry((actor, group)).or_default();
        if membership.maybe.last().is_none_or(|(_, end)| end.is_some()) {
            membership.maybe.push((now, None));
        }
        membership.joins_pending += 1;
        membership.last_join = now;
        Change {
            requested: now,
            alone: membership.leaves_pending == 0,
        }
    }

    pub(crate) fn join_ended(
        &mut self,
        actor: ActorIndex,
        group: GroupIndex,
        join: Change,
        succeeded: bool,
    ) {
        let now = self.stamp();
        let membership = self.memberships.entry((actor, group)).or_default();
        membership.joins_pending = membership.joins_pending.saturating_sub(1);
        if succeeded && join.alone && membership.last_leave < join.requested {
            membership.certain.get_or_insert(now);
        }
    }

    pub(crate) fn leave_requested(&mut self, actor: ActorIndex, group: GroupIndex) -> Change {
        let now = self.stamp();
        let membership = self.memberships.entry((actor, group)).or_default();
        membership.certain = None;
        membership.leaves_pending += 1;
        membership.last_leave = now;
        Change {
            requested: now,
            alone: membership.joins_pending == 0,
        }
    }

    pub(crate) fn leave_ended(&mut self, actor: ActorIndex, group: GroupIndex, leave: Change) {
        let now = self.stamp();
        let membership = self.memberships.entry((actor, group)).or_default();
        membership.leaves_pending = membership.leaves_pending.saturating_sub(1);
        if leave.alone
            && membership.last_join < leave.requested
            && let Some((_, end @ None)) = membership.maybe.last_mut()
        {
            *end = Some(now);
        }
    }

    /// Nothing is under way any more: requests whose end nobody saw are over.
    pub(crate) fn at_pause(&mut self) {
        self.stamp();
        for membership in self.memberships.values_mut() {
            membership.joins_pending = 0;
            membership.leaves_pending = 0;
        }
    }

    pub(crate) fn is_certain_member(&self, actor: ActorIndex, group: GroupIndex) -> bool {
        self.memberships
            .get(&(actor, group))
            .is_some_and(|membership| membership.certain.is_some())
    }

    pub(crate) fn may_be_member(&self, actor: ActorIndex, group: GroupIndex) -> bool {
        let membership = self.memberships.get(&(actor, group));
        membership
            .and_then(|membership| membership.maybe.last())
            .is_some_and(|(_, end)| end.is_none())
    }

    pub(crate) fn describe(&self, actor: ActorIndex) -> String {
        let memberships = self.memberships.iter().filter(|((of, _), _)| *of == actor);
        format!("{:?} now {}", memberships.collect::<Vec<_>>(), self.now)
    }

    pub(crate) fn publish(
        &mut self,
        sender: Sender,
        hub: usize,
        aim: Aim,
        excluded: Vec<ActorIndex>,
        has_ack: bool,
    ) -> usize {
        let sent = self.stamp();
        let publication = Publication {
            sender,
            hub,
            aim,
            sent,
            has_ack,
            excluded,
            fate: Fate::Open,
            received_by: HashSet::new(),
        };
        self.publications.push(publication);
        self.publications.len() - 1
    }

    /// Checks that `actor` may get publication `index`, now.
    pub(crate) fn received(
        &mut self,
        actor: ActorIndex,
        index: usize,
        whereabouts: Whereabouts,
        group: Option<GroupIndex>,
    ) {
        self.stamp();
        let publication = &mut self.publications[index];
        assert!(
            publication.received_by.insert(actor),
            "actor {actor} got publication {index} twice"
        );
        let last = self.last.insert((publication.sender, actor), index);
        assert!(
            last < Some(index),
            "actor {actor} got {index} after {last:?} from {:?}",
            publication.sender
        );
        assert!(
            !publication.excluded.contains(&actor),
            "actor {actor} got {index} although excluded"
        );
        assert_ne!(
            publication.fate,
            Fate::Rejected,
            "actor {actor} got {index}, which was refused"
        );
        assert_eq!(
            publication.hub, whereabouts.hub,
            "publication {index} crossed hubs"
        );
        let concerned = match publication.aim {
            Aim::All => true,
            Aim::User(user) => whereabouts.user == Some(user),
            Aim::Actor(one) => one == actor,
            Aim::Group(aim) => {
                assert!(
                    group.is_none_or(|group| group == aim),
                    "publication {index} names another group"
                );
                let sent = publication.sent;
                let membership = self.memberships.get(&(actor, aim));
                membership.is_some_and(|membership| {
                    membership
                        .maybe
                        .iter()
                        .any(|(_, end)| end.is_none_or(|end| end > sent))
                })
            }
        };
        assert!(
            concerned,
            "publication {index} for {:?} reached actor {actor}",
            publication.aim
        );
    }

    /// Checks, at a pause, that `actor` got what it must have.
    pub(crate) fn assert_complete(&self, actor: ActorIndex, whereabouts: Whereabouts) {
        for (index, publication) in self.publications.iter().enumerate() {
            if publication.fate != Fate::Accepted
                || publication.hub != whereabouts.hub
                || publication.excluded.contains(&actor)
                || publication.received_by.contains(&actor)
            {
                continue;
            }
            let since = match publication.aim {
                Aim::All => whereabouts.connected,
                Aim::User(user) => whereabouts
                    .connected
                    .filter(|_| whereabouts.user == Some(user)),
                Aim::Actor(one) => whereabouts.connected.filter(|_| one == actor),
                Aim::Group(group) => self
                    .memberships
                    .get(&(actor, group))
                    .and_then(|membership| membership.certain),
            };
            assert!(
                since.is_none_or(|since| since > publication.sent),
                "publication {index} of {:?} for {:?} never reached actor {actor}",
                publication.sender,
                publication.aim
            );
        }
    }
}
