//! A publication's way into the outboxes of its receivers.

use std::ops::Range;

use super::connection::{Connection, Link};
use super::{SessionKey, Shard, TransportKey};
use crate::Millis;
use crate::command::Excluded;
use crate::hub::{HubIndex, List};
use crate::id::Slot;
use crate::metrics::ShardNumbers;
use crate::outbox::OutboxPool;
use crate::publication::{Frame, Publication};
use crate::replay::{ReplayFull, ReplayLimits, ReplayPool};
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
        let mut queues = Queues {
            outboxes: &mut self.pool,
            replays: &mut self.replays,
            limits: self.node.limits().replay(),
            numbers: &mut self.numbers,
            now: self.now,
        };
        for place in places.start..end {
            let Some(slot) = members.at(place) else {
                continue;
            };
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            if excluded.contains(&connection.seat.connection())
                || !publication.concerns(connection.encoding)
            {
                continue;
            }
            let frame = publication.frame(connection.encoding);
            let link = match connection.queue(frame, &mut queues) {
                Ok(Some(link)) => link,
                Ok(None) => continue,
                Err(ReplayFull) => {
                    let birth = connection.birth;
                    self.overflowed.push(SessionKey { slot, birth });
                    continue;
                }
            };
            if link.wants_flush(self.node.limits()) {
                link.flags.dirty = true;
                let birth = link.birth;
                self.dirty.push_back(TransportKey { slot, birth });
            } else if link.must_watch_expiry() {
                link.watch_expiry(slot, self.now, &mut self.wheel);
            }
        }
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
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let mut queues = Queues {
            outboxes: &mut self.pool,
            replays: &mut self.replays,
            limits: self.node.limits().replay(),
            numbers: &mut self.numbers,
            now: self.now,
        };
        match connection.queue(frame, &mut queues) {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.mark_dirty(slot);
                self.watch_expiry(slot);
            }
            Err(ReplayFull) => {
                let birth = connection.birth;
                self.overflowed.push(SessionKey { slot, birth });
            }
        }
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
    limits: ReplayLimits,
    numbers: &'a mut ShardNumbers,
    now: Millis,
}

impl<T> Connection<T> {
    /// Queues frames: for a reliable connection until they are acknowledged, with the next number;
    /// and for the transport, if there is one, which is returned.
    fn queue(
        &mut self,
        frame: &Frame,
        queues: &mut Queues<'_>,
    ) -> Result<Option<&mut Link<T>>, ReplayFull> {
        let Some(replay) = &mut self.replay else {
            if let Some(link) = &mut self.link {
                link.outbox.push(frame, queues.outboxes);
                queues.numbers.messages_delivered += 1;
            }
            return Ok(self.link.as_mut());
        };
        let (limits, pool) = (queues.limits, &mut *queues.replays);
        let pushed = replay.push(frame, limits, pool).or_else(|ReplayFull| {
            let expired = replay.drop_expired(queues.now) as u64;
            queues.numbers.messages_expired += expired;
            queues.numbers.unacknowledged_messages -= expired;
            replay.push(frame, limits, pool)
        });
        let sequence_id = pushed?;
        queues.numbers.unacknowledged_messages += 1;
        queues.numbers.messages_delivered += 1;
        if let Some(link) = &mut self.link {
            link.outbox
                .push_numbered(frame, sequence_id, queues.outboxes);
        }
        Ok(self.link.as_mut())
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
