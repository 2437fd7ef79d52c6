//! Streams of the game: what their publishers send, and what everybody must have seen of them.

use super::super::actor::Actor;
use super::super::model::{ActorIndex, Model};
use super::super::streams::{Standing, Stream};
use super::{Game, group_name};

impl Game {
    pub(super) fn has_open_stream(&self, index: ActorIndex) -> bool {
        !self.open_streams(index).is_empty()
    }

    /// The streams that a publisher may go on with.
    fn open_streams(&self, index: ActorIndex) -> Vec<usize> {
        let is_open = |stream: &Stream| {
            let is_open = stream.standing == Standing::Open && !stream.is_ending;
            is_open && stream.publisher == index
        };
        let streams = self.model.streams.0.iter().enumerate();
        let open = streams.filter(|(_, stream)| is_open(stream));
        open.map(|(number, _)| number).collect()
    }

    /// Goes on with a stream of the client, or starts one.
    pub(super) fn stream(&mut self, index: ActorIndex) {
        let open = self.open_streams(index);
        if open.is_empty() || self.random.chance(10) {
            return self.start_stream(index);
        }
        let number = self.random.pick(&open);
        for _ in 0..self.random.below(4) {
            let stream = &mut self.model.streams.0[number];
            stream.next += 1;
            let text = part(number, stream.next - 1);
            self.send_text(index, &text);
        }
        let stream = &mut self.model.streams.0[number];
        let next = stream.next;
        let text = match self.random.below(100) {
            0..60 => {
                stream.next += 1;
                part(number, next)
            }
            60..70 => {
                stream.nacks_due += 1;
                part(number, next + 1 + self.random.below(3) as u64)
            }
            70..75 => part(
                number,
                self.random.below(usize::try_from(next).unwrap()) as u64,
            ),
            75..80 => format!(r#"{{"type":"streamData","streamId":"s{number}"}}"#),
            80..84 => {
                stream.is_invalid = true;
                stream.is_ending = true;
                format!(r#"{{"type":"streamData","streamId":"s{number}","dataType":"text"}}"#)
            }
            way => {
                stream.is_ending = true;
                end(number, way > 93)
            }
        };
        self.send_text(index, &text);
    }

    fn start_stream(&mut self, index: ActorIndex) {
        let number = self.model.streams.0.len();
        let group = self.random.below(self.plan.groups);
        let sent = self.model.stamp();
        let mut stream = Stream::new(index, self.actors[index].hub, group, sent);
        stream.no_echo = self.random.chance(30);
        stream.may_rest = self.random.chance(30);
        let idle = if stream.may_rest {
            format!(
                r#","idleTimeoutMs":{}"#,
                self.random.pick(&[1, 500, 15_000])
            )
        } else {
            r#","idleTimeoutMs":86400000"#.to_owned()
        };
        let text = format!(
            r#"{{"type":"sendToGroup","group":"{}","noEcho":{},"stream":{{"streamId":"s{number}"{idle}}}}}"#,
            group_name(group),
            stream.no_echo
        );
        self.model.streams.0.push(stream);
        self.send_text(index, &text);
    }

    /// Sends again what a publisher does not know to have arrived.
    pub(super) fn resend_streams(&mut self, index: ActorIndex) {
        for number in 0..self.model.streams.0.len() {
            let stream = &self.model.streams.0[number];
            if stream.publisher != index || stream.standing != Standing::Open {
                continue;
            }
            let (expected, next) = (stream.expected, stream.next);
            let says_end = stream.is_ending && !stream.is_invalid;
            for sequence_id in expected..next {
                self.send_text(index, &part(number, sequence_id));
            }
            if says_end {
                self.send_text(index, &end(number, false));
            }
        }
    }

    /// Checks, at a pause, what everybody must have seen and been told.
    pub(super) fn check_streams(&mut self) {
        for actor in self.actors.iter().filter(|actor| actor.is_present()) {
            for stream in self.model.streams.of(actor.index) {
                let is_known = match stream.standing {
                    Standing::Started => false,
                    Standing::Open => {
                        !stream.is_ending && (stream.expected, stream.nacks_due) == (stream.next, 0)
                    }
                    Standing::Over | Standing::Unknown => true,
                };
                assert!(is_known, "the publisher waits for answers to {stream:?}");
            }
        }
        for actor in self.actors.iter().filter(|actor| actor.ended) {
            self.model.streams.publisher_ended(actor.index);
        }
        for actor in &mut self.actors {
            if !actor.is_live() {
                continue;
            }
            let mut dues: Vec<_> = (0..self.model.streams.0.len())
                .filter(|number| must_see(&self.model, actor, *number))
                .filter_map(|number| self.model.streams.due(number))
                .collect();
            if let Some(reliable) = &mut actor.reliable {
                reliable.owed_of_streams.append(&mut dues);
            }
            if !actor.is_present() {
                continue;
            }
            if let Some(reliable) = &mut actor.reliable {
                dues.append(&mut reliable.owed_of_streams);
            }
            for due in dues {
                assert!(
                    self.model
                        .streams
                        .has_seen(actor.index, due, actor.is_told_of_streams()),
                    "actor {} missed {due:?} of {:?}",
                    actor.index,
                    self.model.streams.0[due.stream]
                );
            }
        }
    }
}

fn must_see(model: &Model, actor: &Actor, number: usize) -> bool {
    let stream = &model.streams.0[number];
    let is_left_out = stream.no_echo && stream.publisher == actor.index;
    stream.hub == actor.hub
        && !is_left_out
        && model.was_certainly_member(actor.index, stream.group, stream.sent)
}

fn part(stream: usize, sequence_id: u64) -> String {
    format!(
        r#"{{"type":"streamData","streamId":"s{stream}","streamSequenceId":{sequence_id},"dataType":"text","data":"q{stream}.{sequence_id}."}}"#
    )
}

fn end(stream: usize, with_error: bool) -> String {
    let error = if with_error {
        r#","error":{"message":"enough"}"#
    } else {
        ""
    };
    format!(r#"{{"type":"streamEnd","streamId":"s{stream}"{error}}}"#)
}
