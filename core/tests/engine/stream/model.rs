//! A plain model of a session's streams.

use std::collections::BTreeMap;

use hubwire_core::stream::{EndReason, PARTS_PER_ACK};

use super::{LIMIT, Op, list};

/// One stream, as the notes describe it.
#[derive(Debug, Clone)]
pub(super) struct ModelStream {
    steps: u64,
    rested: u64,
    expected: u64,
    unacked: u32,
    confirmed_before: bool,
}

/// The rules without any thought for cost: time passes step by step.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) open: BTreeMap<char, ModelStream>,
    /// Name, reason, whether it may be unknown to the client, whether it was never told.
    ended: Vec<(char, EndReason, bool, bool)>,
    is_detached: bool,
}

impl Model {
    pub(super) fn apply(&mut self, op: &Op) -> String {
        match *op {
            Op::Start(id, steps) => {
                if steps == 0 {
                    return "IdleTimeout".to_owned();
                }
                if let Some(open) = self.open.get_mut(&id) {
                    if open.confirmed_before && open.expected == 1 && open.steps == steps {
                        open.rested = 0;
                        return "opened".to_owned();
                    }
                    return "IdInUse".to_owned();
                }
                if self.open.len() == LIMIT {
                    return "TooMany".to_owned();
                }
                self.ended.retain(|ended| ended.0 != id);
                let stream = ModelStream {
                    steps,
                    rested: 0,
                    expected: 1,
                    unacked: 0,
                    confirmed_before: false,
                };
                self.open.insert(id, stream);
                "opened".to_owned()
            }
            Op::Part(id, sequence_id) => self.part(id, sequence_id, true),
            Op::Offer(id, sequence_id) => self.part(id, sequence_id, false),
            Op::KeepAlive(id) => match self.open.get_mut(&id) {
                Some(stream) => {
                    stream.rested = 0;
                    "nothing".to_owned()
                }
                None => self.unknown(id),
            },
            Op::End(id) => match self.open.get(&id).cloned() {
                Some(stream) => {
                    self.end(id, EndReason::Completed);
                    let owing = if stream.unacked > 0 { " owing" } else { "" };
                    format!("ended {}{owing}", stream.expected)
                }
                None => self.unknown(id),
            },
            Op::Acks => {
                let owing = self
                    .open
                    .iter_mut()
                    .filter(|(_, stream)| stream.unacked > 0);
                list(owing.map(|(id, stream)| {
                    stream.unacked = 0;
                    format!("{id} {}", stream.expected)
                }))
            }
            Op::Detach => {
                self.is_detached = true;
                String::new()
            }
            Op::Attach => {
                self.is_detached = false;
                for stream in self.open.values_mut() {
                    stream.confirmed_before = true;
                }
                let untold: Vec<_> = self.ended.iter().filter(|ended| ended.3).copied().collect();
                for ended in &mut self.ended {
                    (ended.2, ended.3) = (true, false);
                }
                list(
                    untold
                        .iter()
                        .map(|ended| format!("{} {:?}", ended.0, ended.1)),
                )
            }
            Op::Wait(steps) => {
                let mut idle = Vec::new();
                for _ in 0..steps {
                    for stream in self.open.values_mut() {
                        stream.rested += 1;
                    }
                    let due: Vec<_> = self
                        .open
                        .iter()
                        .filter(|(_, stream)| stream.rested >= stream.steps)
                        .map(|(id, _)| *id)
                        .collect();
                    for id in due {
                        self.end(id, EndReason::IdleTimeout);
                        idle.push(id);
                    }
                }
                list(idle)
            }
            Op::Restart => {
                self.is_detached = true;
                for stream in self.open.values_mut() {
                    (stream.rested, stream.unacked) = (0, 0);
                    stream.confirmed_before = false;
                }
                for ended in &mut self.ended {
                    ended.2 = ended.3;
                }
                String::new()
            }
        }
    }

    fn part(&mut self, id: char, sequence_id: u64, is_published: bool) -> String {
        let Some(stream) = self.open.get_mut(&id) else {
            return self.unknown(id);
        };
        stream.rested = 0;
        if sequence_id > stream.expected {
            return format!("nack {}", stream.expected);
        }
        if sequence_id == stream.expected && !is_published {
            return format!("publish {sequence_id}");
        }
        stream.unacked += 1;
        if sequence_id < stream.expected {
            return "nothing".to_owned();
        }
        stream.expected += 1;
        if stream.unacked < PARTS_PER_ACK {
            return "published".to_owned();
        }
        stream.unacked = 0;
        format!("published, ack {}", stream.expected)
    }

    fn end(&mut self, id: char, reason: EndReason) {
        self.open.remove(&id);
        let detached = self.is_detached;
        self.ended.push((id, reason, detached, detached));
    }

    fn unknown(&self, id: char) -> String {
        let ended = self.ended.iter().find(|ended| ended.0 == id && ended.2);
        match ended {
            Some(ended) => format!("again {:?}", ended.1),
            None => "not found".to_owned(),
        }
    }
}
