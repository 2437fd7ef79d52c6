//! The streams of the game: what each publisher sent and was told, and what each member saw.

use std::collections::HashMap;

use super::model::{ActorIndex, GroupIndex, Stamp};

/// How a stream stands, as far as its publisher knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its start is not confirmed.
    Started,
    Open,
    /// Its publisher was told of its end, or ended itself.
    Over,
    /// Whether there is such a stream will not be known.
    Unknown,
}

/// What one client saw of a stream.
#[derive(Debug, Clone, Copy, Default)]
struct View {
    last: u64,
    over: bool,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) publisher: ActorIndex,
    pub(crate) hub: usize,
    pub(crate) group: GroupIndex,
    pub(crate) no_echo: bool,
    pub(crate) sent: Stamp,
    /// It may rest for too long.
    pub(crate) may_rest: bool,
    pub(crate) standing: Standing,
    /// The next part to send.
    pub(crate) next: u64,
    /// The next part that the server wants.
    pub(crate) expected: u64,
    /// Its publisher said that it ends.
    pub(crate) is_ending: bool,
    /// Its publisher sent something that closes it.
    pub(crate) is_invalid: bool,
    /// Parts out of turn that were not answered.
    pub(crate) nacks_due: usize,
    /// The same over earlier transports; perhaps they are answered yet.
    nacks_possible: usize,
    views: HashMap<ActorIndex, View>,
}

/// What a client must have seen of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) stream: usize,
    part: u64,
    is_over: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Streams(pub(crate) Vec<Stream>);

impl Stream {
    pub(crate) fn new(publisher: ActorIndex, hub: usize, group: GroupIndex, sent: Stamp) -> Self {
        Self {
            publisher,
            hub,
            group,
            no_echo: false,
            sent,
            may_rest: false,
            standing: Standing::Started,
            next: 1,
            expected: 1,
            is_ending: false,
            is_invalid: false,
            nacks_due: 0,
            nacks_possible: 0,
            views: HashMap::new(),
        }
    }

    /// The server wants `expected` next.
    pub(crate) fn acknowledged(&mut self, expected: u64) {
        assert!(
            (self.expected..=self.next).contains(&expected),
            "{expected} is wanted next of {self:?}"
        );
        self.expected = expected;
        if self.standing == Standing::Started {
            self.standing = Standing::Open;
        }
    }

    pub(crate) fn refused(&mut self, expected: u64) {
        let nacks = if self.nacks_due > 0 {
            &mut self.nacks_due
        } else {
            &mut self.nacks_possible
        };
        assert!(*nacks > 0, "nothing was out of turn in {self:?}");
        *nacks -= 1;
        self.acknowledged(expected);
    }

    /// `actor`, a member from before the start if `is_certain`, sees a part or the end.
    pub(crate) fn seen(&mut self, actor: ActorIndex, part: u64, is_end: bool, is_certain: bool) {
        let view = self.views.entry(actor).or_default();
        assert!(!view.over, "actor {actor} saw {part} after the end");
        assert!(
            part > view.last && (part == view.last + 1 || !is_certain),
            "actor {actor} saw {part} after {}",
            view.last
        );
        assert!(
            part <= self.next,
            "actor {actor} saw {part} before it was sent"
        );
        (view.last, view.over) = (part, is_end);
    }
}

impl Streams {
    /// What whoever was a member from before the start must see of a stream by now.
    pub(crate) fn due(&self, stream: usize) -> Option<Due> {
        let found = &self.0[stream];
        match found.standing {
            Standing::Started | Standing::Unknown => None,
            Standing::Open | Standing::Over => Some(Due {
                stream,
                part: found.expected - 1,
                is_over: found.standing == Standing::Over,
            }),
        }
    }

    pub(crate) fn has_seen(&self, actor: ActorIndex, due: Due, sees_ends: bool) -> bool {
        let view = self.0[due.stream].views.get(&actor);
        let view = view.copied().unwrap_or_default();
        view.last >= due.part && (view.over || !due.is_over || !sees_ends)
    }

    pub(crate) fn of(&mut self, publisher: ActorIndex) -> impl Iterator<Item = &mut Stream> {
        let streams = self.0.iter_mut();
        streams.filter(move |stream| stream.publisher == publisher)
    }

    /// The publisher cannot hear the answers to what it sent any more.
    pub(crate) fn transport_lost(&mut self, publisher: ActorIndex) {
        for stream in self.of(publisher) {
            stream.nacks_possible += std::mem::take(&mut stream.nacks_due);
            let is_forgotten = stream.is_invalid && stream.standing == Standing::Open;
            if stream.standing == Standing::Started || is_forgotten {
                stream.standing = Standing::Unknown;
            }
        }
    }

    /// The publisher's session is over, and its groups were told.
    pub(crate) fn publisher_ended(&mut self, publisher: ActorIndex) {
        for stream in self.of(publisher) {
            if stream.standing == Standing::Open || stream.standing == Standing::Started {
                stream.standing = match stream.standing {
                    Standing::Open => Standing::Over,
                    _ => Standing::Unknown,
                };
            }
        }
    }
}
