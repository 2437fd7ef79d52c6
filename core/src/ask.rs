//! Questions of the front door that wait for answers from several shards.
//!
//! A question carries a correlation id and knows how many shards will answer. Deadlines are the
//! asker's: it [`cancel`](Asks::cancel)s and a late answer finds nobody.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use crate::id::ConnectionId;

/// The correlation id of an open question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplyTo(u64);

/// One shard's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The whole change was applied to this many connections.
    Applied(usize),
    /// There were connections, and a bound of each refused the change or a part of it.
    Refused,
    /// Whether anybody is there.
    Exists(bool),
    /// Whether anybody is allowed it.
    Allows(bool),
    /// Connections by ascending id.
    Page(Vec<Listed>),
}

/// One connection in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub connection: ConnectionId,
    /// Its user.
    pub user: Option<Arc<str>>,
}

/// Receives all answers of a question at once.
pub type OnComplete = Box<dyn FnOnce(Vec<Answer>) + Send>;

struct Pending {
    missing: usize,
    answers: Vec<Answer>,
    on_complete: OnComplete,
}

/// Too many questions are open (`limits.pending_asks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait for an answer")]
pub struct TooManyAsks;

/// The open questions of a node.
pub struct Asks {
    open: Mutex<HashMap<u64, Pending>>,
    next: AtomicU64,
    limit: usize,
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks")
            .field("open", &self.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Asks {
    /// Room for `limit` open questions.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            open: Mutex::default(),
            next: AtomicU64::new(1),
            limit,
        }
    }

    /// Opens a question that `expected` shards will answer, at least one.
    ///
    /// # Errors
    /// [`TooManyAsks`] at the limit.
    pub fn open(&self, expected: usize, on_complete: OnComplete) -> Result<ReplyTo, TooManyAsks> {
        let mut open = self.lock();
        if open.len() >= self.limit {
            return Err(TooManyAsks);
        }
        let correlation = self.next.fetch_add(1, Ordering::Relaxed);
        open.insert(
            correlation,
            Pending {
                missing: expected,
                answers: Vec::with_capacity(expected),
                on_complete,
            },
        );
        Ok(ReplyTo(correlation))
    }

    /// Delivers one shard's answer; the last one completes the question.
    pub fn answer(&self, to: ReplyTo, answer: Answer) {
        let mut open = self.lock();
        let Some(pending) = open.get_mut(&to.0) else {
            return;
        };
        pending.answers.push(answer);
        pending.missing = pending.missing.saturating_sub(1);
        if pending.missing > 0 {
            return;
        }
        let complete = open.remove(&to.0);
        drop(open);
        if let Some(Pending {
            answers,
            on_complete,
            ..
        }) = complete
        {
            on_complete(answers);
        }
    }

    /// Forgets a question; answers still under way are dropped.
    pub fn cancel(&self, question: ReplyTo) {
        self.lock().remove(&question.0);
    }

    /// Open questions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no question is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Pending>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_question_completes_with_its_last_answer_and_only_once() {
        let asks = Asks::new(10);
        let (send, receive) = mpsc::channel();
        let to = asks
            .open(2, Box::new(move |answers| send.send(answers).unwrap()))
            .unwrap();
        asks.answer(to, Answer::Applied(1));
        assert!(receive.try_recv().is_err());
        asks.answer(to, Answer::Applied(2));
        asks.answer(to, Answer::Applied(3));
        assert_eq!(
            receive.try_recv().unwrap(),
            [Answer::Applied(1), Answer::Applied(2)]
        );
        assert!(asks.is_empty());
    }

    #[test]
    fn a_cancelled_question_is_never_completed_and_makes_room() {
        let asks = Asks::new(1);
        let to = asks.open(1, Box::new(|_| panic!("cancelled"))).unwrap();
        assert_eq!(asks.open(1, Box::new(|_| ())).unwrap_err(), TooManyAsks);
        asks.cancel(to);
        asks.answer(to, Answer::Exists(true));
        assert!(asks.open(1, Box::new(|_| ())).is_ok());
    }
}
