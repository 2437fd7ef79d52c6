//! The streams that one session publishes: which are open, what each expects next, how long it may
//! rest, and what its publisher has yet to be told (protocol notes: streams).
//!
//! It decides; publishing, answering and timers are the shard's. Time comes in as an argument.

mod end;
mod record;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::Millis;
use crate::wheel::GRANULARITY_MS;

pub use end::{EndMemory, EndReason, EndedStream};
pub use record::StreamsRecord;
pub use request::{Start, StreamRequest};

use record::{EndedRecord, StreamRecord};

/// How long a stream may rest if its publisher does not say, in milliseconds.
pub const DEFAULT_IDLE_TIMEOUT_MS: u64 = 300_000;
/// The longest that a publisher may ask for, in milliseconds.
pub const MOST_IDLE_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;
/// Parts of a stream after which it is acknowledged although more of the same input may follow.
pub const PARTS_PER_ACK: u32 = 32;
/// The most milliseconds between two looks at a session's streams. With it the timers that a
/// session arms in vain, for streams that end before, stay few.
const MOST_WAIT_MS: u64 = 32 * GRANULARITY_MS;
/// Ended streams of a reliable session that are remembered, so that a publisher whose transport is
/// lost can be told again.
const MOST_ENDED: usize = 32;

/// Why a stream is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum StartError {
    /// Another open stream of the connection has this id.
    IdInUse,
    /// The connection has as many open streams as `limits.streams_per_connection` allows.
    TooMany,
    /// Zero, or more than [`MOST_IDLE_TIMEOUT_MS`].
    IdleTimeout,
}

impl StartError {
    /// What the publisher is told with `BadRequest`.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::IdInUse => "The stream id is in use by another open stream of the connection.",
            Self::TooMany => "The connection has too many open streams.",
            Self::IdleTimeout => "The idle timeout must be 1 to 86400000 milliseconds.",
        }
    }
}

/// What to do with a part of a stream, or with what is said about one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Publish it to this outlet, then report it by [`Streams::published`] or
    /// [`Streams::end`].
    Publish(Outlet),
    /// Nothing now; what is owed to the publisher goes out with [`Streams::take_acks`].
    Nothing,
    /// It is not the next one; the publisher is to be told which is.
    Nack {
        /// The next one.
        expected: u64,
    },
    /// There is no such stream.
    NotFound,
    /// The stream ended, and the publisher may not have heard it: it is told again.
    Repeat(EndReason),
}

/// Where the next message of a stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    /// The group.
    pub group: Arc<str>,
    /// Leave out the publisher's connection.
    pub no_echo: bool,
    /// Its place in the stream.
    pub sequence_id: u64,
}

/// The streams of a session.
#[derive(Debug, Default)]
pub struct Streams {
    open: BTreeMap<Arc<str>, Stream>,
    /// Oldest first; at most [`MOST_ENDED`].
    ended: VecDeque<Ended>,
    /// What both hold in memory.
    bytes: usize,
    /// Whether any open stream owes an ack.
    owe_acks: bool,
    /// The next time at which an armed timer fires.
    watched: Option<Millis>,
}

#[derive(Debug)]
struct Stream {
    group: Arc<str>,
    no_echo: bool,
    expected: u64,
    idle_timeout_ms: u64,
    /// When it has rested for too long.
    due: Millis,
    /// Parts since the last ack, those that came again included.
    unacked: u32,
    /// The transport is lost over which the start was confirmed, perhaps too late.
    confirmed_before: bool,
}

/// A stream that is no more.
#[derive(Debug)]
struct Ended {
    stream_id: Arc<str>,
    reason: EndReason,
    place: EndedPlace,
}

/// What the publisher may know of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndedPlace {
    /// It was told over the transport that it has now.
    Told,
    /// It was told over a transport that is lost, perhaps too late.
    PerhapsTold,
    /// It had no transport.
    Untold,
}

impl Stream {
    fn outlet(&self) -> Outlet {
        Outlet {
            group: Arc::clone(&self.group),
            no_echo: self.no_echo,
            sequence_id: self.expected,
        }
    }

    fn hear(&mut self, now: Millis) {
        self.due = now.plus(self.idle_timeout_ms);
    }

    fn bytes(&self, stream_id: &str) -> usize {
        size_of::<Self>() + stream_id.len() + self.group.len()
    }
}

impl Ended {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.stream_id.len()
    }
}

impl Streams {
    /// Open streams.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Bytes that they hold, names included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty()
    }

    /// Opens a stream that its publisher may open. `group` is the name to keep. A start may come
    /// again before the first part if its answer may be lost with a transport.
    ///
    /// # Errors
    ///
    /// [`StartError`]; an open stream of that id stays as it is.
    pub fn start(
        &mut self,
        start: &Start<'_>,
        group: Arc<str>,
        limit: usize,
        now: Millis,
    ) -> Result<(), StartError> {
        let idle_timeout_ms = start.idle_timeout_ms.unwrap_or(DEFAULT_IDLE_TIMEOUT_MS);
        if !(1..=MOST_IDLE_TIMEOUT_MS).contains(&idle_timeout_ms) {
            return Err(StartError::IdleTimeout);
        }
        if let Some(open) = self.open.get_mut(&*start.stream_id) {
            let is_repeated = open.confirmed_before
                && open.expected == 1
                && (&open.group, open.no_echo, open.idle_timeout_ms)
                    == (&group, start.no_echo, idle_timeout_ms);
            if !is_repeated {
                return Err(StartError::IdInUse);
            }
            open.hear(now);
            return Ok(());
        }
        if self.open.len() >= limit {
            return Err(StartError::TooMany);
        }
        let bytes = &mut self.bytes;
        self.ended.retain(|ended| {
            let is_other = *ended.stream_id != *start.stream_id;
            if !is_other {
                *bytes -= ended.bytes();
            }
            is_other
        });
        let stream = Stream {
            group,
            no_echo: start.no_echo,
            expected: 1,
            idle_timeout_ms,
            due: now.plus(idle_timeout_ms),
            unacked: 0,
            confirmed_before: false,
        };
        self.bytes += stream.bytes(&start.stream_id);
        self.open.insert((*start.stream_id).into(), stream);
        Ok(())
    }

    /// Judges a part by its place.
    pub fn part(&mut self, stream_id: &str, sequence_id: u64, now: Millis) -> Decision {
        let Some(stream) = self.open.get_mut(stream_id) else {
            return self.closed(stream_id);
        };
        stream.hear(now);
        if sequence_id == stream.expected {
            return Decision::Publish(stream.outlet());
        }
        if sequence_id > stream.expected {
            return Decision::Nack {
                expected: stream.expected,
            };
        }
        stream.unacked += 1;
        self.owe_acks = true;
        Decision::Nothing
    }

    /// The part that was expected is published. The stream's ack, if it is time for one although
    /// more may follow.
    pub fn published(&mut self, stream_id: &str) -> Option<u64> {
        let stream = self.open.get_mut(stream_id)?;
        stream.expected = stream.expected.saturating_add(1);
        stream.unacked += 1;
        if stream.unacked < PARTS_PER_ACK {
            self.owe_acks = true;
            return None;
        }
        stream.unacked = 0;
        Some(stream.expected)
    }

    /// Keeps a stream open.
    pub fn keep_alive(&mut self, stream_id: &str, now: Millis) -> Decision {
        let Some(stream) = self.open.get_mut(stream_id) else {
            return self.closed(stream_id);
        };
        stream.hear(now);
        Decision::Nothing
    }

    /// Where the last message of a stream goes that its publisher ends. It stays open until
    /// [`end`](Self::end).
    #[must_use]
    pub fn ending(&self, stream_id: &str) -> Decision {
        match self.open.get(stream_id) {
            Some(stream) => Decision::Publish(stream.outlet()),
            None => self.closed(stream_id),
        }
    }

    /// Closes a stream, if it is open.
    pub fn end(
        &mut self,
        stream_id: &str,
        reason: EndReason,
        memory: EndMemory,
    ) -> Option<EndedStream> {
        let (stream_id, stream) = self.open.remove_entry(stream_id)?;
        self.bytes -= stream.bytes(&stream_id);
        let place = match memory {
            EndMemory::None => None,
            EndMemory::Attached => Some(EndedPlace::Told),
            EndMemory::Detached => Some(EndedPlace::Untold),
        };
        if let Some(place) = place {
            if self.ended.len() == MOST_ENDED
                && let Some(oldest) = self.ended.pop_front()
            {
                self.bytes -= oldest.bytes();
            }
            let ended = Ended {
                stream_id: Arc::clone(&stream_id),
                reason,
                place,
            };
            self.bytes += ended.bytes();
            self.ended.push_back(ended);
        }
        Some(EndedStream {
            stream_id,
            outlet: stream.outlet(),
            reason,
            owes_ack: stream.unacked > 0,
        })
    }

    /// The open streams whose group does not fulfil `may_send`, each with that group.
    #[must_use]
    pub fn forbidden(&self, may_send: impl Fn(&str) -> bool) -> Vec<(Arc<str>, Arc<str>)> {
        self.open
            .iter()
            .filter(|(_, stream)| !may_send(&stream.group))
            .map(|(stream_id, stream)| (Arc::clone(stream_id), Arc::clone(&stream.group)))
            .collect()
    }

    /// Closes every stream: the session ends.
    pub fn cancel(self) -> impl Iterator<Item = EndedStream> {
        let cancelled = |(stream_id, stream): (Arc<str>, Stream)| EndedStream {
            stream_id,
            outlet: stream.outlet(),
            reason: EndReason::Cancelled,
            owes_ack: false,
        };
        self.open.into_iter().map(cancelled)
    }

    /// The acks that are owed: each stream with the part that it expects.
    pub fn take_acks(&mut self) -> impl Iterator<Item = (&str, u64)> {
        let streams = if std::mem::take(&mut self.owe_acks) {
            self.open.iter_mut()
        } else {
            Default::default()
        };
        streams.filter_map(|(stream_id, stream)| {
            let owes = std::mem::take(&mut stream.unacked) > 0;
            owes.then_some((&**stream_id, stream.expected))
        })
    }

    /// The publisher has a new transport. Returns the ends that it was never told, oldest first.
    pub fn attached(&mut self) -> Vec<(Arc<str>, EndReason)> {
        for stream in self.open.values_mut() {
            stream.confirmed_before = true;
        }
        let mut untold = Vec::new();
        for ended in &mut self.ended {
            if std::mem::replace(&mut ended.place, EndedPlace::PerhapsTold) == EndedPlace::Untold {
                untold.push((Arc::clone(&ended.stream_id), ended.reason));
            }
        }
        untold
    }

    /// A timer of the session fired: the streams that have rested for too long.
    pub fn idle(&mut self, now: Millis) -> Vec<Arc<str>> {
        if self.watched.is_some_and(|at| at > now) {
            return Vec::new();
        }
        self.watched = None;
        self.open
            .iter()
            .filter(|(_, stream)| stream.due <= now)
            .map(|(stream_id, _)| Arc::clone(stream_id))
            .collect()
    }

    /// Silence proves nothing until now, for the publisher was not listened to.
    pub fn excuse(&mut self, now: Millis) {
        for stream in self.open.values_mut() {
            stream.hear(now);
        }
    }

    /// The time at which to call [`idle`](Self::idle), if no timer that was armed fires by then.
    pub fn watch(&mut self, now: Millis) -> Option<Millis> {
        let due = self.open.values().map(|stream| stream.due).min()?;
        let due = due.min(now.plus(MOST_WAIT_MS));
        let due = Millis(due.0.next_multiple_of(GRANULARITY_MS));
        if self.watched.is_some_and(|at| at <= due) {
            return None;
        }
        self.watched = Some(due);
        Some(due)
    }

    /// What outlives the process.
    #[must_use]
    pub fn export(&self) -> StreamsRecord {
        StreamsRecord {
            open: self
                .open
                .iter()
                .map(|(stream_id, stream)| StreamRecord {
                    stream_id: (**stream_id).into(),
                    group: (*stream.group).into(),
                    no_echo: stream.no_echo,
                    expected: stream.expected,
                    idle_timeout_ms: stream.idle_timeout_ms,
                })
                .collect(),
            ended: self
                .ended
                .iter()
                .map(|ended| EndedRecord {
                    stream_id: (*ended.stream_id).into(),
                    reason: ended.reason,
                    untold: ended.place == EndedPlace::Untold,
                })
                .collect(),
        }
    }

    /// The streams of a record, without timers. Nobody could be heard in between, so none has
    /// rested yet.
    #[must_use]
    pub fn import(record: StreamsRecord, now: Millis) -> Self {
        let open: BTreeMap<Arc<str>, Stream> = record
            .open
            .into_iter()
            .map(|stream| {
                let idle_timeout_ms = stream.idle_timeout_ms.clamp(1, MOST_IDLE_TIMEOUT_MS);
                let restored = Stream {
                    group: stream.group.into(),
                    no_echo: stream.no_echo,
                    expected: stream.expected.max(1),
                    idle_timeout_ms,
                    due: now.plus(idle_timeout_ms),
                    unacked: 0,
                    confirmed_before: false,
                };
                (stream.stream_id.into(), restored)
            })
            .collect();
        let ended = record.ended.into_iter().take(MOST_ENDED);
        let ended: VecDeque<Ended> = ended
            .map(|ended| Ended {
                stream_id: ended.stream_id.into(),
                reason: ended.reason,
                place: if ended.untold {
                    EndedPlace::Untold
                } else {
                    EndedPlace::Told
                },
            })
            .collect();
        let of_open = open
            .iter()
            .map(|(stream_id, stream)| stream.bytes(stream_id));
        let bytes = of_open.chain(ended.iter().map(Ended::bytes)).sum();
        Self {
            open,
            ended,
            bytes,
            owe_acks: false,
            watched: None,
        }
    }

    /// What to say about a stream that is not open.
    fn closed(&self, stream_id: &str) -> Decision {
        let ended = self
            .ended
            .iter()
            .find(|ended| *ended.stream_id == *stream_id && ended.place != EndedPlace::Told);
        ended.map_or(Decision::NotFound, |ended| Decision::Repeat(ended.reason))
    }
}
