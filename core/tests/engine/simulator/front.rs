//! The front door of the game: application servers that send and ask over REST, each one thing
//! after the other, with deadlines, waiting where there is no room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use hubwire_core::Millis;
use hubwire_core::ask::{Answer, ReplyTo};
use hubwire_core::command::{Action, Command, Selection, Target};
use hubwire_core::node::Node;

use super::model::{ActorIndex, Change, Fate, GroupIndex, Model};
use super::rights::RightChange;

/// What a call is, for the model.
#[derive(Debug)]
pub(crate) enum Call {
    Send {
        index: usize,
    },
    Join {
        changes: Vec<(ActorIndex, GroupIndex, Change)>,
        /// Whoever was concerned is known, so a success is one of all changes.
        certain: bool,
    },
    Leave {
        changes: Vec<(ActorIndex, GroupIndex, Change)>,
    },
    Right(RightChange),
    Other,
}

/// A call that is not finished.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) hub: Arc<str>,
    pub(crate) target: Target,
    pub(crate) selection: Selection,
    /// Its reply is filled in when it is sent.
    pub(crate) action: Action,
    pub(crate) call: Call,
    pub(crate) deadline: Millis,
}

type Completed = Arc<Mutex<Vec<(u64, Vec<Answer>)>>>;

/// All application servers together.
#[derive(Debug)]
pub(crate) struct Front {
    waiting: Vec<VecDeque<Job>>,
    blocked: bool,
    open: HashMap<u64, (ReplyTo, Call, Millis)>,
    next: u64,
    completed: Completed,
}

impl Front {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            waiting: (0..servers).map(|_| VecDeque::new()).collect(),
            blocked: false,
            open: HashMap::new(),
            next: 0,
            completed: Completed::default(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.waiting.iter().all(VecDeque::is_empty)
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{} waiting calls and {} open questions",
            self.waiting.iter().map(VecDeque::len).sum::<usize>(),
            self.open.len()
        )
    }

    pub(crate) fn call(&mut self, server: usize, job: Job) {
        self.waiting[server].push_back(job);
    }

    /// Does what can be done now. Returns whether anything was.
    pub(crate) fn step(
        &mut self,
        node: &Node,
        woken: bool,
        now: Millis,
        model: &mut Model,
    ) -> bool {
        let mut progress = self.collect(model) | self.give_up(node, now, model);
        if woken {
            self.blocked = false;
        }
        if self.blocked {
            return progress;
        }
        for server in 0..self.waiting.len() {
            while let Some(job) = self.waiting[server].pop_front() {
                match self.try_call(node, job) {
                    Ok(Some(index)) => model.publications[index].fate = Fate::Accepted,
                    Ok(None) => {}
                    Err(job) => {
                        self.waiting[server].push_front(*job);
                        self.blocked = true;
                        return progress;
                    }
                }
                progress = true;
            }
        }
        progress | self.collect(model)
    }

    fn try_call(&mut self, node: &Node, mut job: Job) -> Result<Option<usize>, Box<Job>> {
        let to = node.route(&job.hub, &job.target);
        let mut opened = None;
        if let Call::Send { .. } = job.call {
        } else if !to.is_empty() {
            self.next += 1;
            let (number, completed) = (self.next, Arc::clone(&self.completed));
            let on_complete =
                Box::new(move |answers| completed.lock().unwrap().push((number, answers)));
            // Too many questions: for the caller it is as if there was no time left.
            let Ok(to) = node.asks().open(to.len(), on_complete) else {
                return Ok(None);
            };
            opened = Some((number, to));
        }
        let filled = opened.map(|(_, to)| to);
        match &mut job.action {
            Action::Join { reply, .. }
            | Action::Leave { reply, .. }
            | Action::Close { reply, .. }
            | Action::Grant { reply, .. }
            | Action::Revoke { reply, .. } => *reply = filled,
            Action::Ask { reply, .. } => {
                let Some(filled) = filled else {
                    return Ok(None);
                };
                *reply = filled;
            }
            Action::Deliver { .. }
            | Action::TellGroupState { .. }
            | Action::AskGroupStates { .. }
            | Action::GroupStates { .. } => {}
        }
        let command = Command {
            hub: Arc::clone(&job.hub),
            target: job.target.clone(),
            selection: job.selection.clone(),
            action: job.action.clone(),
        };
        if node.try_send(&command, to).is_err() {
            if let Some(to) = filled {
                node.asks().cancel(to);
            }
            return Err(Box::new(job));
        }
        if let Some((number, to)) = opened {
            self.open.insert(number, (to, job.call, job.deadline));
            return Ok(None);
        }
        Ok(match job.call {
            Call::Send { index } => Some(index),
            _ => None,
        })
    }

    /// Ends what has taken too long.
    fn give_up(&mut self, node: &Node, now: Millis, model: &mut Model) -> bool {
        let before = self.open.len();
        self.open.retain(|_, (to, _, deadline)| {
            if *deadline <= now {
                node.asks().cancel(*to);
            }
            *deadline > now
        });
        let mut progress = self.open.len() != before;
        for waiting in &mut self.waiting {
            while waiting.front().is_some_and(|job| job.deadline <= now) {
                if let Some(Job {
                    call: Call::Send { index },
                    ..
                }) = waiting.pop_front()
                {
                    model.publications[index].fate = Fate::Rejected;
                }
                progress = true;
            }
        }
        progress
    }

    fn collect(&mut self, model: &mut Model) -> bool {
        let completed = std::mem::take(&mut *self.completed.lock().unwrap());
        let any = !completed.is_empty();
        for (number, answers) in completed {
            let (_, call, _) = self.open.remove(&number).unwrap();
            match call {
                Call::Join { changes, certain } => {
                    let applied = answers
                        .iter()
                        .any(|answer| matches!(answer, Answer::Applied(1..)));
                    for (actor, group, change) in changes {
                        // For many the answer does not say who was refused.
                        model.join_ended(actor, group, change, certain && applied);
                    }
                }
                Call::Leave { changes } => {
                    for (actor, group, change) in changes {
                        model.leave_ended(actor, group, change);
                    }
                }
                Call::Right(change) => {
                    let [Answer::Applied(applied)] = answers[..] else {
                        panic!("one shard was asked, and there is room: {answers:?}")
                    };
                    model.right_ended(change, applied > 0);
                }
                Call::Send { .. } | Call::Other => {}
            }
        }
        any
    }
}
