//! The streams of one session: tables of what is said and answered, and games against a plain
//! model of the rules.

mod model;

use std::fmt;

use hubwire_core::Millis;
use hubwire_core::stream::{
    Decision, EndMemory, EndReason, MOST_IDLE_TIMEOUT_MS, PARTS_PER_ACK, Start, Streams,
};
use proptest::prelude::*;

use model::Model;

/// The most streams that are open at once here.
const LIMIT: usize = 3;
/// Timers fire at multiples of this, so everything else happens then too.
const STEP_MS: u64 = 128;

/// Something that happens to a session.
#[derive(Debug, Clone)]
enum Op {
    /// The client starts a stream that may rest for so many steps.
    Start(char, u64),
    /// It sends a part, which is published at once.
    Part(char, u64),
    /// It sends a part that is not published now.
    Offer(char, u64),
    KeepAlive(char),
    End(char),
    /// The owed acks go out.
    Acks,
    Detach,
    Attach,
    /// So many steps pass.
    Wait(u64),
    /// The process is replaced.
    Restart,
}

impl Op {
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let verb = words.next().unwrap();
        let mut words = words.peekable();
        let id = |word: Option<&str>| word.unwrap().chars().next().unwrap();
        let number = |word: Option<&str>| word.map_or(10, |word| word.parse().unwrap());
        match verb {
            "start" => Self::Start(id(words.next()), number(words.next())),
            "part" => Self::Part(id(words.next()), number(words.next())),
            "offer" => Self::Offer(id(words.next()), number(words.next())),
            "keepalive" => Self::KeepAlive(id(words.next())),
            "end" => Self::End(id(words.next())),
            "acks" => Self::Acks,
            "detach" => Self::Detach,
            "attach" => Self::Attach,
            "wait" => Self::Wait(number(words.next())),
            "restart" => Self::Restart,
            other => panic!("{other}?"),
        }
    }
}

fn list(parts: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let parts: Vec<_> = parts.into_iter().map(|part| part.to_string()).collect();
    parts.join(", ")
}

/// A session with its clock.
struct Play {
    streams: Streams,
    now: Millis,
    timers: Vec<Millis>,
    attached: bool,
}

impl Play {
    fn new() -> Self {
        Self {
            streams: Streams::default(),
            now: Millis(0),
            timers: Vec::new(),
            attached: true,
        }
    }

    fn memory(&self) -> EndMemory {
        if self.attached {
            EndMemory::Attached
        } else {
            EndMemory::Detached
        }
    }

    fn apply(&mut self, op: &Op) -> String {
        match *op {
            Op::Start(id, steps) => {
                let start = Start {
                    stream_id: id.to_string().into(),
                    group: "room".into(),
                    no_echo: false,
                    idle_timeout_ms: Some(steps * STEP_MS),
                };
                let started = self.streams.start(&start, "room".into(), LIMIT, self.now);
                self.watch();
                match started {
                    Ok(()) => "opened".to_owned(),
                    Err(error) => format!("{error:?}"),
                }
            }
            Op::Part(id, sequence_id) => self.part(id, sequence_id, true),
            Op::Offer(id, sequence_id) => self.part(id, sequence_id, false),
            Op::KeepAlive(id) => {
                let decision = self.streams.keep_alive(&id.to_string(), self.now);
                answer(&decision)
            }
            Op::End(id) => {
                let id = id.to_string();
                let decision = self.streams.ending(&id);
                if !matches!(decision, Decision::Publish(_)) {
                    return answer(&decision);
                }
                let ended = self
                    .streams
                    .end(&id, EndReason::Completed, self.memory())
                    .unwrap();
                assert_eq!(Decision::Publish(ended.outlet.clone()), decision);
                let owing = if ended.owes_ack { " owing" } else { "" };
                format!("ended {}{owing}", ended.outlet.sequence_id)
            }
            Op::Acks => list(
                self.streams
                    .take_acks()
                    .map(|(id, expected)| format!("{id} {expected}")),
            ),
            Op::Detach => {
                self.attached = false;
                String::new()
            }
            Op::Attach => {
                self.attached = true;
                let untold = self.streams.attached();
                list(untold.iter().map(|(id, reason)| format!("{id} {reason:?}")))
            }
            Op::Wait(steps) => self.wait(steps),
            Op::Restart => {
                self.streams = Streams::import(self.streams.export(), Millis(0));
                (self.now, self.attached) = (Millis(0), false);
                self.timers.clear();
                self.watch();
                String::new()
            }
        }
    }

    fn part(&mut self, id: char, sequence_id: u64, is_published: bool) -> String {
        let id = id.to_string();
        let decision = self.streams.part(&id, sequence_id, self.now);
        if !is_published || !matches!(decision, Decision::Publish(_)) {
            return answer(&decision);
        }
        match self.streams.published(&id) {
            Some(expected) => format!("published, ack {expected}"),
            None => "published".to_owned(),
        }
    }

    fn wait(&mut self, steps: u64) -> String {
        let end = self.now.plus(steps * STEP_MS);
        let mut idle = Vec::new();
        while let Some(at) = self.timers.iter().copied().min().filter(|at| *at <= end) {
            self.timers
                .remove(self.timers.iter().position(|timer| *timer == at).unwrap());
            self.now = at;
            for id in self.streams.idle(at) {
                self.streams.end(&id, EndReason::IdleTimeout, self.memory());
                idle.push(id);
            }
            self.watch();
        }
        self.now = end;
        list(idle)
    }

    fn watch(&mut self) {
        if let Some(at) = self.streams.watch(self.now) {
            assert!(at > self.now);
            self.timers.push(at);
        }
    }
}

fn answer(decision: &Decision) -> String {
    match decision {
        Decision::Publish(outlet) => format!("publish {}", outlet.sequence_id),
        Decision::Nothing => "nothing".to_owned(),
        Decision::Nack { expected } => format!("nack {expected}"),
        Decision::NotFound => "not found".to_owned(),
        Decision::Repeat(reason) => format!("again {reason:?}"),
    }
}

#[track_caller]
fn check(script: &[(&str, &str)]) {
    let mut play = Play::new();
    for (line, (op, expect)) in script.iter().enumerate() {
        let seen = play.apply(&Op::parse(op));
        assert_eq!(seen, *expect, "line {line}: {op}");
    }
}

#[test]
fn parts_are_published_in_order_once_and_acknowledged_together() {
    check(&[
        ("start a", "opened"),
        ("acks", ""),
        ("part a 1", "published"),
        ("part a 2", "published"),
        ("acks", "a 3"),
        ("acks", ""),
        ("part a 1", "nothing"),
        ("part a 0", "nothing"),
        ("part a 2", "nothing"),
        ("acks", "a 3"),
        ("part a 4", "nack 3"),
        ("acks", ""),
        ("part a 3", "published"),
        ("acks", "a 4"),
        ("end a", "ended 4"),
        ("part a 4", "not found"),
        ("keepalive a", "not found"),
        ("end a", "not found"),
    ]);
}

#[test]
fn a_part_that_is_not_published_yet_stays_the_expected_one() {
    check(&[
        ("start a", "opened"),
        ("offer a 1", "publish 1"),
        ("offer a 1", "publish 1"),
        ("acks", ""),
        ("part a 1", "published"),
        ("offer a 2", "publish 2"),
        ("acks", "a 2"),
        ("end a", "ended 2"),
    ]);
}

#[test]
fn streams_of_one_publisher_do_not_know_each_other() {
    check(&[
        ("start a", "opened"),
        ("start b", "opened"),
        ("part b 1", "published"),
        ("part a 1", "published"),
        ("part a 2", "published"),
        ("acks", "a 3, b 2"),
        ("part b 2", "published"),
        ("end a", "ended 3"),
        ("acks", "b 3"),
        ("part b 3", "published"),
        ("end b", "ended 4 owing"),
    ]);
}

#[test]
fn an_id_is_free_again_after_the_end_and_the_numbers_begin_anew() {
    check(&[
        ("start a", "opened"),
        ("start a", "IdInUse"),
        ("part a 1", "published"),
        ("start a", "IdInUse"),
        ("end a", "ended 2 owing"),
        ("start a", "opened"),
        ("part a 2", "nack 1"),
        ("part a 1", "published"),
    ]);
}

#[test]
fn open_streams_are_bounded() {
    check(&[
        ("start a", "opened"),
        ("start b", "opened"),
        ("start c", "opened"),
        ("start d", "TooMany"),
        ("end b", "ended 1"),
        ("start d", "opened"),
        ("start b", "TooMany"),
        ("start a", "IdInUse"),
    ]);
}

#[test]
fn whatever_comes_for_a_stream_keeps_it_open_and_silence_ends_it() {
    check(&[
        ("start a 2", "opened"),
        ("start b 3", "opened"),
        ("wait 1", ""),
        ("part a 1", "published"),
        ("wait 1", ""),
        ("part a 1", "nothing"),
        ("wait 1", "b"),
        ("part a 7", "nack 2"),
        ("wait 1", ""),
        ("keepalive a", "nothing"),
        ("wait 1", ""),
        ("wait 1", "a"),
        ("keepalive a", "not found"),
        ("start a 1000", "opened"),
        ("wait 999", ""),
        ("wait 1", "a"),
    ]);
}

#[test]
fn an_idle_timeout_has_a_lower_and_an_upper_bound() {
    let most = (MOST_IDLE_TIMEOUT_MS / STEP_MS).to_string();
    let more = (MOST_IDLE_TIMEOUT_MS / STEP_MS + 1).to_string();
    check(&[
        ("start a 0", "IdleTimeout"),
        (&format!("start a {most}"), "opened"),
        (&format!("start b {more}"), "IdleTimeout"),
    ]);
}

#[test]
fn a_client_that_lost_its_transport_is_told_again_what_it_may_have_missed() {
    check(&[
        ("start a 5", "opened"),
        ("start b 90", "opened"),
        ("start c 90", "opened"),
        ("part a 1", "published"),
        ("end b", "ended 1"),
        ("end b", "not found"),
        ("detach", ""),
        ("wait 5", "a"),
        ("attach", "a IdleTimeout"),
        // What it sent over the old transport comes again over the new one.
        ("part a 1", "again IdleTimeout"),
        ("end b", "again Completed"),
        ("end b", "again Completed"),
        ("end d", "not found"),
        // The confirmation of this one may be lost too.
        ("start c 90", "opened"),
        ("part c 1", "published"),
        ("start c 90", "IdInUse"),
        // A new stream of an old name is a new stream.
        ("start b 90", "opened"),
        ("end b", "ended 1"),
        ("end b", "not found"),
        ("detach", ""),
        ("attach", ""),
        ("end b", "again Completed"),
    ]);
}

#[test]
fn a_start_is_repeated_only_as_it_was() {
    check(&[
        ("start a 5", "opened"),
        ("detach", ""),
        ("attach", ""),
        ("start a 6", "IdInUse"),
        ("start a 5", "opened"),
        ("acks", ""),
        ("end a", "ended 1"),
    ]);
}

#[test]
fn streams_outlive_the_process_and_have_not_rested_meanwhile() {
    check(&[
        ("start a 4", "opened"),
        ("part a 1", "published"),
        ("part a 2", "published"),
        ("start b 4", "opened"),
        ("end b", "ended 1"),
        ("wait 3", ""),
        ("restart", ""),
        ("wait 3", ""),
        ("attach", ""),
        ("part a 2", "nothing"),
        ("part a 3", "published"),
        ("acks", "a 4"),
        ("end b", "again Completed"),
        ("wait 3", ""),
        ("wait 1", "a"),
    ]);
}

#[test]
fn many_parts_at_once_are_acknowledged_on_the_way() {
    let mut play = Play::new();
    play.apply(&Op::Start('a', 10));
    for sequence_id in 1..=u64::from(PARTS_PER_ACK) * 2 + 1 {
        let seen = play.apply(&Op::Part('a', sequence_id));
        let expect = match sequence_id {
            32 => "published, ack 33",
            64 => "published, ack 65",
            _ => "published",
        };
        assert_eq!(seen, expect, "part {sequence_id}");
    }
    assert_eq!(play.apply(&Op::Acks), "a 66");
}

#[test]
fn cancelled_streams_say_where_they_were() {
    let mut play = Play::new();
    for op in ["start a", "start b", "part b 1"] {
        play.apply(&Op::parse(op));
    }
    let cancelled: Vec<_> = play
        .streams
        .cancel()
        .map(|ended| {
            let info = ended.info(None);
            let error = info.error.unwrap();
            let place = (info.stream_id.into_owned(), info.stream_sequence_id);
            (place, info.end_of_stream, error.name.as_str())
        })
        .collect();
    assert_eq!(
        cancelled,
        [
            (("a".to_owned(), 1), true, "Cancelled"),
            (("b".to_owned(), 2), true, "Cancelled")
        ]
    );
}

#[test]
fn forbidden_streams_are_those_of_the_groups_that_are_forbidden() {
    let mut streams = Streams::default();
    for (id, group) in [("a", "one"), ("b", "two"), ("c", "one")] {
        let start = Start {
            stream_id: id.into(),
            group: group.into(),
            no_echo: true,
            idle_timeout_ms: None,
        };
        streams
            .start(&start, group.into(), LIMIT, Millis(0))
            .unwrap();
    }
    let forbidden = streams.forbidden(|group| group == "two");
    let ids = forbidden.iter().map(|(id, _)| id);
    assert_eq!(list(ids), "a, c");
}

#[test]
fn starts_that_end_at_once_leave_few_timers_behind() {
    let mut play = Play::new();
    let mut most = 0;
    for steps in (1..5000).rev() {
        play.apply(&Op::Start('a', steps));
        play.apply(&Op::End('a'));
        if steps % 7 == 0 {
            play.apply(&Op::Wait(1));
        }
        most = most.max(play.timers.len());
    }
    assert!(most < 100, "{most} timers at once");
}

fn op() -> impl Strategy<Value = Op> {
    let id = || prop::sample::select(vec!['a', 'b', 'c', 'd']);
    prop_oneof![
        3 => (id(), 0u64..6).prop_map(|(id, steps)| Op::Start(id, steps)),
        1 => (id(), 30u64..40).prop_map(|(id, steps)| Op::Start(id, steps)),
        8 => (id(), 0u64..8).prop_map(|(id, number)| Op::Part(id, number)),
        2 => (id(), 0u64..8).prop_map(|(id, number)| Op::Offer(id, number)),
        2 => id().prop_map(Op::KeepAlive),
        1 => id().prop_map(Op::End),
        3 => Just(Op::Acks),
        1 => Just(Op::Detach),
        1 => Just(Op::Attach),
        3 => (1u64..40).prop_map(Op::Wait),
        1 => Just(Op::Restart),
    ]
}

proptest! {
    #[test]
    fn every_game_goes_as_the_model_says(ops in prop::collection::vec(op(), 1..80)) {
        let (mut play, mut model) = (Play::new(), Model::default());
        for op in &ops {
            prop_assert_eq!(play.apply(op), model.apply(op), "{:?} of {:?}", op, ops);
            prop_assert_eq!(play.streams.open(), model.open.len());
            // Counted as streams come and go, and anew from what there is.
            let counted_anew = Streams::import(play.streams.export(), Millis(0));
            prop_assert_eq!(play.streams.bytes(), counted_anew.bytes());
        }
    }
}
