//! From the front door to the shards: commands with room in every inbox or none, questions with a
//! deadline.

use std::sync::Arc;
use std::time::Duration;

use hubwire_core::ask::{Answer, ReplyTo, TooManyAsks};
use hubwire_core::command::{self, Action, Command, GroupNames, Selection};
use hubwire_core::id::{ConnectionId, ShardSet};
use hubwire_core::inbox::Wake;
use hubwire_core::memory::NodeMemory;
use hubwire_core::node::Node;
use hubwire_proto::rest::Target;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::metrics::Counters;

/// How often a node whose queues are over their bound is looked at again.
const MEMORY_RETRY: Duration = Duration::from_millis(10);

/// Why a command did not get through. The text is for callers of REST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missed {
    /// A shard that is concerned had no room in time; nothing was done.
    #[error("The server has no room for the request now.")]
    NoRoom,
    /// A shard gave no answer in time; it is unknown whether anything was done.
    #[error("The server did not answer the request in time.")]
    NoAnswer,
    /// Too many wait already (`limits.pending_asks`); nothing was done.
    #[error("{TOO_MANY}")]
    TooMany,
}

/// What is said to whoever comes when more wait or come than a bound allows.
pub(crate) const TOO_MANY: &str = "There are more requests than the server takes.";

/// Sends commands to the shards of a node.
pub(crate) struct Dispatch {
    node: Arc<Node>,
    timeout: Duration,
    room: Arc<Room>,
    counters: Arc<Counters>,
}

/// Wakes those who wait for room in an inbox.
#[derive(Default)]
struct Room(Notify);

impl Wake for Room {
    fn wake(&self) {
        self.0.notify_waiters();
    }
}

/// A question that is forgotten when nobody waits for its answer any more.
struct OpenQuestion<'a> {
    node: &'a Node,
    reply_to: ReplyTo,
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        self.node.asks().cancel(self.reply_to);
    }
}

impl Dispatch {
    /// A way to the shards of `node`. A command may take `timeout`, and so may its answer.
    pub(crate) fn new(node: Arc<Node>, timeout: Duration, counters: Arc<Counters>) -> Self {
        let room = Arc::<Room>::default();
        node.set_front_door_waker(Arc::clone(&room) as Arc<dyn Wake>);
        Self {
            node,
            timeout,
            room,
            counters,
        }
    }

    /// The account of queued bytes.
    pub(crate) fn memory(&self) -> &Arc<NodeMemory> {
        self.node.memory()
    }

    /// Waits until the node's queues are within their bound. To be called before a message is
    /// made, which counts towards them.
    ///
    /// # Errors
    ///
    /// [`Missed::NoRoom`] if they were not in time.
    pub(crate) async fn wait_for_memory(&self) -> Result<(), Missed> {
        self.wait_while(NodeMemory::is_full).await
    }

    /// The names of groups for a command of many, once those of others leave room for them.
    ///
    /// # Errors
    ///
    /// [`Missed::NoRoom`] if they did not in time.
    pub(crate) async fn group_names<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Arc<GroupNames>, Missed> {
        self.wait_while(NodeMemory::is_full_for_commands).await?;
        Ok(GroupNames::new(names, self.memory()))
    }

    async fn wait_while(&self, is_full: fn(&NodeMemory) -> bool) -> Result<(), Missed> {
        let deadline = Instant::now() + self.timeout;
        while is_full(self.node.memory()) {
            if Instant::now() >= deadline {
                return Err(self.missed(Missed::NoRoom));
            }
            tokio::time::sleep(MEMORY_RETRY).await;
        }
        Ok(())
    }

    /// Sends a command to all shards that it concerns, or to none.
    ///
    /// # Errors
    ///
    /// [`Missed::NoRoom`].
    pub(crate) async fn send(
        &self,
        hub: &str,
        target: &Target,
        selection: Selection,
        action: Action,
    ) -> Result<(), Missed> {
        let Some(target) = known(target) else {
            return Ok(());
        };
        let to = self.node.route(hub, &target);
        let command = Command {
            hub: hub.into(),
            target,
            selection,
            action,
        };
        self.send_by(&command, to, Instant::now() + self.timeout)
            .await
    }

    /// Sends a command and gathers the answers of all shards that it concerns; none if it
    /// concerns none.
    ///
    /// # Errors
    ///
    /// [`Missed`].
    pub(crate) async fn ask(
        &self,
        hub: &str,
        target: &Target,
        selection: Selection,
        action: impl FnOnce(ReplyTo) -> Action,
    ) -> Result<Vec<Answer>, Missed> {
        match known(target) {
            Some(target) => self.ask_shards(hub, target, selection, action).await,
            None => Ok(Vec::new()),
        }
    }

    /// As [`ask`](Self::ask), about a target as the shards know it.
    ///
    /// # Errors
    ///
    /// [`Missed`].
    pub(crate) async fn ask_shards(
        &self,
        hub: &str,
        target: command::Target,
        selection: Selection,
        action: impl FnOnce(ReplyTo) -> Action,
    ) -> Result<Vec<Answer>, Missed> {
        let to = self.node.route(hub, &target);
        if to.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.timeout;
        let (complete, answers) = oneshot::channel();
        let on_complete = Box::new(move |all| {
            // The asker may have given up.
            let _ = complete.send(all);
        });
        let reply_to = self
            .node
            .asks()
            .open(to.len(), on_complete)
            .map_err(|TooManyAsks| self.missed(Missed::TooMany))?;
        let _question = OpenQuestion {
            node: &self.node,
            reply_to,
        };
        let command = Command {
            hub: hub.into(),
            target,
            selection,
            action: action(reply_to),
        };
        self.send_by(&command, to, deadline).await?;
        match timeout_at(deadline, answers).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(_)) | Err(_) => Err(self.missed(Missed::NoAnswer)),
        }
    }

    async fn send_by(
        &self,
        command: &Command,
        to: ShardSet,
        deadline: Instant,
    ) -> Result<(), Missed> {
        loop {
            // Listening begins before the attempt, so that no wake is missed in between.
            let mut room = std::pin::pin!(self.room.0.notified());
            room.as_mut().enable();
            if self.node.try_send(command, to).is_ok() {
                return Ok(());
            }
            if timeout_at(deadline, room).await.is_err() {
                return Err(self.missed(Missed::NoRoom));
            }
        }
    }

    fn missed(&self, missed: Missed) -> Missed {
        self.counters.ask_missed();
        missed
    }
}

/// A target as the shards know it; `None` for an id that no connection can have.
fn known(target: &Target) -> Option<command::Target> {
    Some(match target {
        Target::Hub => command::Target::All,
        Target::Group(group) => command::Target::Group(Arc::from(group.as_str())),
        Target::User(user) => command::Target::User(Arc::from(user.as_str())),
        Target::Connection(id) => command::Target::Connection(ConnectionId::parse(id)?),
    })
}

#[cfg(test)]
mod tests {
    use hubwire_core::command::Question;
    use hubwire_core::id::{NodeId, ShardId};
    use hubwire_core::settings::{HubTable, Limits};

    use super::*;

    /// A way to one shard that nobody runs, with room for one command.
    fn dispatch(timeout: Duration) -> (Arc<Node>, Dispatch) {
        let limits = Limits {
            node_queued_bytes: 800,
            inbox_commands: 1,
            pending_asks: 1,
            ..Limits::default()
        };
        let node = Node::new(NodeId(0), 1, limits, HubTable::default());
        (
            Arc::clone(&node),
            Dispatch::new(node, timeout, Arc::default()),
        )
    }

    fn leave() -> Action {
        Action::Leave {
            groups: None,
            reply: None,
        }
    }

    async fn send(dispatch: &Dispatch) -> Result<(), Missed> {
        let everybody = Selection::default();
        dispatch
            .send("chat", &Target::Hub, everybody, leave())
            .await
    }

    async fn exists(dispatch: &Dispatch, target: &Target) -> Result<Vec<Answer>, Missed> {
        let ask = |reply| Action::Ask {
            question: Question::Exists,
            reply,
        };
        dispatch
            .ask("chat", target, Selection::default(), ask)
            .await
    }

    #[tokio::test]
    async fn a_shard_without_room_in_time_gets_nothing() {
        let (node, dispatch) = dispatch(Duration::from_millis(20));
        let inbox = node.inbox(ShardId(0));
        let taken = inbox.try_reserve().unwrap();
        let error = send(&dispatch).await.unwrap_err();
        assert_eq!(error, Missed::NoRoom);
        assert!(inbox.is_empty());
        let _ = inbox.give_back(taken);
        send(&dispatch).await.unwrap();
        assert!(!inbox.is_empty());
    }

    #[tokio::test]
    async fn a_sender_goes_on_as_soon_as_there_is_room() {
        let (node, dispatch) = dispatch(Duration::from_secs(60));
        send(&dispatch).await.unwrap();
        let waiting = send(&dispatch);
        let processing = async {
            // Waits until the sender has left its mark.
            let mut taken = std::collections::VecDeque::new();
            node.inbox(ShardId(0)).take(1, &mut taken);
            tokio::task::yield_now().await;
            let waiters = node.inbox(ShardId(0)).processed(1);
            assert_ne!(waiters.0, 0, "the sender waits");
            dispatch.room.wake();
        };
        let (sent, ()) = tokio::join!(waiting, processing);
        sent.unwrap();
    }

    #[tokio::test]
    async fn a_question_without_an_answer_in_time_is_forgotten() {
        let (node, dispatch) = dispatch(Duration::from_millis(20));
        let error = exists(&dispatch, &Target::Hub).await.unwrap_err();
        assert_eq!(error, Missed::NoAnswer);
        assert!(node.asks().is_empty());
        // One that could not be answered anyway is not even asked.
        let nobody = Target::Connection("missing".to_owned());
        assert!(exists(&dispatch, &nobody).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn names_of_groups_wait_for_those_that_are_queued() {
        let (node, dispatch) = dispatch(Duration::from_millis(20));
        let name = "g".repeat(101);
        let groups = dispatch.group_names([name.as_str()]).await.unwrap();
        let join = Action::Join {
            groups,
            reply: None,
        };
        let everybody = Selection::default();
        let queued = dispatch.send("chat", &Target::Hub, everybody, join).await;
        queued.unwrap();
        let error = dispatch.group_names(["g"]).await.unwrap_err();
        assert_eq!(error, Missed::NoRoom);
        dispatch.wait_for_memory().await.unwrap();
        let mut taken = std::collections::VecDeque::new();
        node.inbox(ShardId(0)).take(1, &mut taken);
        drop(taken);
        dispatch.group_names(["g"]).await.unwrap();
    }

    #[tokio::test]
    async fn one_question_too_many_is_not_asked() {
        let (node, dispatch) = dispatch(Duration::from_secs(60));
        let waiting = node.asks().open(1, Box::new(|_| ())).unwrap();
        let error = exists(&dispatch, &Target::Hub).await.unwrap_err();
        assert_eq!(error, Missed::TooMany);
        node.asks().cancel(waiting);
    }
}
