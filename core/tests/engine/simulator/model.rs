//! What must, may and must not reach whom: memberships as far as they are certain, publications
//! with their fate. It knows nothing of shards.

use std::collections::{HashMap, HashSet};

use hubwire_core::Millis;

use super::group_states::GroupStates;
use super::rights::{Right, RightChange, Rights};
use super::streams::Streams;

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

/// Which connections a filter selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    User(Option<usize>),
    HasSubprotocol(bool),
    Actor(ActorIndex),
    NotActor(ActorIndex),
    Member(GroupIndex),
    Stranger(GroupIndex),
}

/// Which connections of its aim a command concerns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picks {
    pub(crate) excluded: Vec<ActorIndex>,
    pub(crate) wanted: Option<Wanted>,
}

impl Picks {
    /// Whether the command concerns an actor; `None` if that depends on its groups.
    pub(crate) fn judge(&self, actor: ActorIndex, whereabouts: Whereabouts) -> Option<bool> {
        if self.excluded.contains(&actor) {
            return Some(false);
        }
        match self.wanted {
            None => Some(true),
            Some(Wanted::User(user)) => Some(whereabouts.user == user),
            Some(Wanted::HasSubprotocol(has)) => Some(whereabouts.has_subprotocol == has),
            Some(Wanted::Actor(one)) => Some(one == actor),
            Some(Wanted::NotActor(one)) => Some(one != actor),
            Some(Wanted::Member(_) | Wanted::Stranger(_)) => None,
        }
    }
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
    pub(crate) ack_id: Option<u64>,
    /// The publication that this one repeats under the same ack id, because what became of that was
    /// not known.
    pub(crate) repeats: Option<usize>,
    pub(crate) picks: Picks,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) fate: Fate,
    pub(crate) received_by: HashSet<ActorIndex>,
}

/// A request to join or leave that may not have been carried out yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) requested: Stamp,
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

/// What was carried out under an ack id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Executed {
    Publication(usize),
    Event(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    now: Stamp,
    /// Under each ack id at most one request.
    executed: HashMap<(ActorIndex, u64), Executed>,
    pub(crate) publications: Vec<Publication>,
    /// The actors by their connection ids.
    pub(crate) ids: HashMap<String, ActorIndex>,
    pub(crate) rights: Rights,
    pub(crate) streams: Streams,
    pub(crate) group_states: GroupStates,
    memberships: HashMap<(ActorIndex, GroupIndex), Membership>,
    /// The last publication that a receiver got from a sender.
    last: HashMap<(Sender, ActorIndex), usize>,
}

/// Where an actor is, for the question whether a publication concerns it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whereabouts {
    pub(crate) hub: usize,
    pub(crate) user: Option<usize>,
    pub(crate) has_subprotocol: bool,
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

    pub(crate) fn right_requested(
        &mut self,
        actor: ActorIndex,
        right: Right,
        group: GroupIndex,
        granted: bool,
    ) -> RightChange {
        let now = self.stamp();
        // Whether these are accepted is not certain any more.
        for publication in &mut self.publications {
            let concerned = right == Right::Send
                && publication.sender == Sender::Client(actor)
                && publication.aim == Aim::Group(group)
                && publication.ack_id.is_none()
                && matches!(publication.fate, Fate::Open | Fate::Rejected);
            if concerned {
                publication.fate = Fate::Unknown;
            }
        }
        self.rights.requested(actor, right, group, granted, now)
    }

    pub(crate) fn right_ended(&mut self, change: RightChange, applied: bool) {
        let now = self.stamp();
        self.rights.ended(change, applied, now);
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
        picks: Picks,
        ack_id: Option<u64>,
    ) -> usize {
        let sent = self.stamp();
        let publication = Publication {
            sender,
            hub,
            aim,
            sent,
            ack_id,
            repeats: None,
            picks,
            expires_at: None,
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
        let (sender, ack_id, repeats) =
            (publication.sender, publication.ack_id, publication.repeats);
        if let Some(repeated) = repeats {
            self.publications[repeated].received_by.insert(actor);
        }
        if let (Sender::Client(sender), Some(ack_id)) = (sender, ack_id) {
            self.executed(sender, ack_id, Executed::Publication(index));
        }
        let publication = &self.publications[index];
        let last = self.last.insert((publication.sender, actor), index);
        assert!(
            last < Some(index),
            "actor {actor} got {index} after {last:?} from {:?}",
            publication.sender
        );
        assert_ne!(
            publication.picks.judge(actor, whereabouts),
            Some(false),
            "actor {actor} got {index} although it was not selected"
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
        let (aim, sent, wanted) = (publication.aim, publication.sent, publication.picks.wanted);
        let selected = match wanted {
            Some(Wanted::Member(group)) => self.may_have_been_member(actor, group, sent),
            Some(Wanted::Stranger(group)) => !self.was_certainly_member(actor, group, sent),
            _ => true,
        };
        assert!(
            selected,
            "publication {index} for {wanted:?} reached actor {actor}"
        );
        let concerned = match aim {
            Aim::All => true,
            Aim::User(user) => whereabouts.user == Some(user),
            Aim::Actor(one) => one == actor,
            Aim::Group(aim) => {
                assert!(
                    group.is_none_or(|group| group == aim),
                    "publication {index} names another group"
                );
                self.may_have_been_member(actor, aim, sent)
            }
        };
        assert!(
            concerned,
            "publication {index} for {aim:?} reached actor {actor}"
        );
    }

    /// Checks that nothing else was carried out under the ack id.
    pub(crate) fn executed(&mut self, actor: ActorIndex, ack_id: u64, what: Executed) {
        let before = *self.executed.entry((actor, ack_id)).or_insert(what);
        assert_eq!(
            before, what,
            "both were carried out for {ack_id} of actor {actor}"
        );
    }

    /// The transport of a publisher is lost: what it sent without an ack id may be lost with it.
    pub(crate) fn transport_lost(&mut self, actor: ActorIndex) {
        self.streams.transport_lost(actor);
        for publication in &mut self.publications {
            let is_open = publication.fate == Fate::Open && publication.ack_id.is_none();
            if is_open && publication.sender == Sender::Client(actor) {
                publication.fate = Fate::Unknown;
            }
        }
    }

    /// How many publications have expired by now that `actor` could have been sent but was not.
    pub(crate) fn expired_unseen(&self, actor: ActorIndex, hub: usize, now: Millis) -> usize {
        let unseen = self.publications.iter().filter(|publication| {
            publication.hub == hub
                && publication.expires_at.is_some_and(|at| at <= now)
                && !publication.received_by.contains(&actor)
        });
        unseen.count()
    }

    /// A new node counts time from its start.
    pub(crate) fn shift_clock(&mut self, by_ms: u64) {
        for publication in &mut self.publications {
            publication.expires_at = publication
                .expires_at
                .map(|at| Millis(at.0.saturating_sub(by_ms)));
        }
    }

    pub(crate) fn may_have_been_member(
        &self,
        actor: ActorIndex,
        group: GroupIndex,
        sent: Stamp,
    ) -> bool {
        let membership = self.memberships.get(&(actor, group));
        membership.is_some_and(|membership| {
            let mut times = membership.maybe.iter();
            times.any(|(_, end)| end.is_none_or(|end| end > sent))
        })
    }

    /// Whether the actor was a member from before `sent` until now.
    pub(crate) fn was_certainly_member(
        &self,
        actor: ActorIndex,
        group: GroupIndex,
        sent: Stamp,
    ) -> bool {
        let membership = self.memberships.get(&(actor, group));
        membership
            .and_then(|membership| membership.certain)
            .is_some_and(|since| since < sent)
    }

    /// The publications that `actor` must have got by a pause, and has not.
    pub(crate) fn missing(
        &self,
        actor: ActorIndex,
        whereabouts: Whereabouts,
        now: Millis,
    ) -> Vec<usize> {
        let is_due = |index: &usize| {
            let publication = &self.publications[*index];
            let sent = publication.sent;
            let selected = match publication.picks.wanted {
                Some(Wanted::Member(group)) => self.was_certainly_member(actor, group, sent),
                Some(Wanted::Stranger(group)) => !self.memberships.contains_key(&(actor, group)),
                _ => true,
            };
            if publication.fate != Fate::Accepted
                || publication.hub != whereabouts.hub
                || publication.picks.judge(actor, whereabouts) == Some(false)
                || !selected
                || self.is_settled(*index, actor, now)
            {
                return false;
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
            since.is_some_and(|since| since <= sent)
        };
        (0..self.publications.len()).filter(is_due).collect()
    }

    /// Whether `actor` got a publication, or need not get it any more.
    pub(crate) fn is_settled(&self, index: usize, actor: ActorIndex, now: Millis) -> bool {
        let publication = &self.publications[index];
        publication.received_by.contains(&actor)
            || publication.expires_at.is_some_and(|at| at <= now)
    }
}
