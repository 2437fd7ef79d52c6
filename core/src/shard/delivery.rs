//! A publication's way into the outboxes of its receivers.

use std::collections::VecDeque;
use std::ops::Range;

use super::connection::{Connection, Link};
use super::{SessionKey, Shard, TransportKey};
use crate::Millis;
use crate::command::Excluded;
use crate::hub::{Hub, HubIndex, List};
use crate::id::Slot;
use crate::metrics::ShardNumbers;
use crate::outbox::OutboxPool;
use crate::publication::{Frame, Publication};
use crate::replay::{Replay, ReplayFull, ReplayPool};
use crate::settings::Limits;
use crate::slab::Slab;
use crate::transport::Transport;
use crate::wheel::{TimerKind, Wheel};

/// How often the messages that a blocked client has not taken are looked at for those that have
/// expired, in milliseconds.
const EXPIRY_CHECK_MS: u64 = 1000;

impl<T: Transport> Shard<T> {
    /// Queues a publication for the members at `places`; returns the first place not visited.
    /// This is the innermost loop of the server: it allocates nothing once its pools are warm.
    pub(super) fn deliver(
        &mut self,
        index: HubIndex,
        list: &List,
        places: Range<usize>,
        publication: &Publication,
        excluded: &Excluded,
    ) -> usize {
        let end = places
            .end
            .min(places.start.saturating_add(self.members_left));
        let (hubs, connections, mut queues) = self.delivery();
        let hub = hubs.get(index.0 as usize).and_then(Option::as_ref);
        let Some(members) = hub.and_then(|hub| hub.members(list)) else {
            return places.end;
        };
        for place in places.start..end {
            let Some(slot) = members.at(place) else {
                continue;
            };
            let Some(connection) = connections.get_mut(slot) else {
                continue;
            };
            if excluded.contains(&connection.seat.connection())
                || !publication.concerns(connection.encoding)
            {
                continue;
            }
            queues.put(slot, connection, publication.frame(connection.encoding));
        }
        self.members_left -= end - places.start;
        end
    }

    /// Queues a publication for one connection.
    pub(super) fn deliver_to(&mut self, slot: Slot, publication: &Publication) {
        if let Some(connection) = self.connections.get(slot)
            && publication.concerns(connection.encoding)
        {
            self.deliver_frame(slot, publication.frame(connection.encoding));
        }
    }

    /// Queues frames in its encoding for one connection, with a number if it is a reliable one.
    pub(super) fn deliver_frame(&mut self, slot: Slot, frame: &Frame) {
        let (_, connections, mut queues) = self.delivery();
        if let Some(connection) = connections.get_mut(slot) {
            queues.put(slot, connection, frame);
        }
    }

    /// The parts of the shard that a delivery needs, side by side.
    fn delivery(&mut self) -> (&[Option<Hub>], &mut Slab<Connection<T>>, Queues<'_>) {
        let queues = Queues {
            outboxes: &mut self.pool,
            replays: &mut self.replays,
            dirty: &mut self.dirty,
            overflowed: &mut self.overflowed,
            wheel: &mut self.wheel,
            numbers: &mut self.numbers,
            limits: self.node.limits(),
            now: self.now,
        };
        (&self.hubs, &mut self.connections, queues)
    }

    /// Sees to it that messages which expire while the client is blocked give their memory back.
    pub(super) fn watch_expiry(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if let Some(link) = connection
            .link
            .as_mut()
            .filter(|link| link.must_watch_expiry())
        {
            link.watch_expiry(slot, self.now, &mut self.wheel);
        }
    }

    /// The expiry timer of a connection fired: the next flush drops what has expired.
    pub(super) fn check_expiry(&mut self, slot: Slot) {
        let Some(link) = self.link_mut(slot) else {
            return;
        };
        link.flags.expiry_watched = false;
        if link.outbox.next_expiry().is_some() && !link.flags.dirty {
            link.flags.dirty = true;
            let birth = link.birth;
            self.dirty.push_back(TransportKey { slot, birth });
        }
    }
}

/// What the shard has for all its queues.
struct Queues<'a> {
    outboxes: &'a mut OutboxPool,
    replays: &'a mut ReplayPool,
    dirty: &'a mut VecDeque<TransportKey>,
    overflowed: &'a mut Vec<SessionKey>,
    wheel: &'a mut Wheel,
    numbers: &'a mut ShardNumbers,
    limits: &'a Limits,
    now: Millis,
}

impl Queues<'_> {
    /// Queues frames for one connection: for a reliable one until they are acknowledged, with the
    /// next number; and for the transport, if there is one.
    fn put<T: Transport>(&mut self, slot: Slot, connection: &mut Connection<T>, frame: &Frame) {
        let sequence_id = match &mut connection.replay {
            None => None,
            Some(replay) => match self.keep(replay, frame) {
                Ok(sequence_id) => Some(sequence_id),
                Err(ReplayFull) => {
                    let birth = connection.birth;
                    return self.overflowed.push(SessionKey { slot, birth });
                }
            },
        };
        if connection.link.is_some() || sequence_id.is_some() {
            self.numbers.messages_delivered += 1;
        }
        let Some(link) = &mut connection.link else {
            return;
        };
        match sequence_id {
            None => link.outbox.push(frame, self.outboxes),
            Some(sequence_id) => link.outbox.push_numbered(frame, sequence_id, self.outboxes),
        }
        if link.wants_flush(self.limits) {
            link.flags.dirty = true;
            let birth = link.birth;
            self.dirty.push_back(TransportKey { slot, birth });
        } else if link.must_watch_expiry() {
            link.watch_expiry(slot, self.now, self.wheel);
        }
    }

    /// Gives frames the next number of a queue, which has room again if something expired.
    fn keep(&mut self, replay: &mut Replay, frame: &Frame) -> Result<u64, ReplayFull> {
        let limits = self.limits.replay();
        let kept = replay.push(frame, limits, self.replays);
        let sequence_id = kept.or_else(|ReplayFull| {
            let expired = replay.drop_expired(self.now) as u64;
            self.numbers.messages_expired += expired;
            self.numbers.unacknowledged_messages -= expired;
            replay.push(frame, limits, self.replays)
        })?;
        self.numbers.unacknowledged_messages += 1;
        Ok(sequence_id)
    }
}

impl<T> Link<T> {
    fn watch_expiry(&mut self, slot: Slot, now: Millis, wheel: &mut Wheel) {
        self.flags.expiry_watched = true;
        let due = now.plus(EXPIRY_CHECK_MS);
        wheel.arm(slot, self.birth, TimerKind::Expiry, due);
    }

    /// Whether messages that expire wait behind a client that takes nothing, and no timer runs
    /// for them.
    fn must_watch_expiry(&self) -> bool {
        self.flags.blocked && !self.flags.expiry_watched && self.outbox.next_expiry().is_some()
    }
}
