//! What each client may do, as far as grants and revocations under way leave it certain.

use std::collections::HashMap;

use super::model::{ActorIndex, GroupIndex, Stamp};

/// What may be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Right {
    Join,
    Send,
}

/// A grant or revocation that may not have been carried out yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RightChange {
    pub(crate) actor: ActorIndex,
    pub(crate) right: Right,
    pub(crate) group: GroupIndex,
    granted: bool,
    requested: Stamp,
}

#[derive(Debug)]
struct State {
    /// `None` after changes whose order is not known.
    allowed: Option<bool>,
    pending: usize,
    changed: Stamp,
}

/// The rights that differ, or may, from what a client came with.
#[derive(Debug, Default)]
pub(crate) struct Rights(HashMap<(ActorIndex, Right, GroupIndex), State>);

impl Rights {
    pub(crate) fn requested(
        &mut self,
        actor: ActorIndex,
        right: Right,
        group: GroupIndex,
        granted: bool,
        now: Stamp,
    ) -> RightChange {
        let state = self.0.entry((actor, right, group)).or_insert(State {
            allowed: None,
            pending: 0,
            changed: now,
        });
        state.pending += 1;
        state.changed = now;
        RightChange {
            actor,
            right,
            group,
            granted,
            requested: now,
        }
    }

    pub(crate) fn ended(&mut self, change: RightChange, applied: bool, now: Stamp) {
        let key = (change.actor, change.right, change.group);
        let Some(state) = self.0.get_mut(&key) else {
            return;
        };
        state.pending = state.pending.saturating_sub(1);
        let alone = state.pending == 0 && state.changed == change.requested;
        // It is not applied to a connection that its shard does not have yet.
        state.allowed = (alone && applied).then_some(change.granted);
        state.changed = now;
    }

    /// Whether a request that was sent at `sent` and is judged until now is allowed, if that is
    /// certain; `at_first` is what the client came with.
    pub(crate) fn allow(
        &self,
        actor: ActorIndex,
        right: Right,
        group: GroupIndex,
        sent: Stamp,
        at_first: bool,
    ) -> Option<bool> {
        match self.0.get(&(actor, right, group)) {
            None => Some(at_first),
            Some(state) if state.pending == 0 && state.changed < sent => state.allowed,
            Some(_) => None,
        }
    }

    /// Nothing is under way any more, and the node was asked: this is how it is.
    pub(crate) fn found(
        &mut self,
        (actor, right, group): (ActorIndex, Right, GroupIndex),
        allowed: bool,
        now: Stamp,
    ) {
        let state = State {
            allowed: Some(allowed),
            pending: 0,
            changed: now,
        };
        if let Some(known) = self.0.get_mut(&(actor, right, group)) {
            *known = state;
        }
    }
}
