//! How a node stops: nobody new, what was begun is finished, sessions are put away, clients are
//! told, and the process ends. Each step has its time.

use std::future::Future;
use std::time::Duration;

use hubwire_core::inbox::AtShutdown;
use hubwire_core::node::Node;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::clock::now_in_milliseconds;
use crate::config::Limits;
use crate::front::FrontDoor;
use crate::sessions_file::SessionsFile;
use crate::shards::Shards;
use crate::signals::StopRequests;

/// How often the shards are looked at.
const POLL: Duration = Duration::from_millis(5);

/// How long the shards may take to say which sessions they have: many times what they need.
const PACKING_TIMEOUT: Duration = Duration::from_secs(30);

/// A node that is to stop.
pub(crate) struct Shutdown<'a> {
    pub(crate) node: &'a Node,
    pub(crate) shards: &'a Shards,
    pub(crate) front: &'a FrontDoor,
    pub(crate) limits: &'a Limits,
    /// Where sessions are put away; `None`: they end.
    pub(crate) sessions: Option<&'a SessionsFile>,
    /// Tells the listeners to end.
    pub(crate) ending: watch::Sender<bool>,
    /// The listener of the front door.
    pub(crate) serving: JoinHandle<()>,
}

impl Shutdown<'_> {
    /// Stops the node. Whoever asks once more while a step waits cuts that step short.
    pub(crate) async fn run(self, stop: &mut StopRequests) {
        let begin = Instant::now();
        let deadline = begin + self.limits.shutdown_timeout;
        let quiesce_timeout = self
            .limits
            .quiesce_timeout
            .min(self.limits.shutdown_timeout);

        // The listener stays to the end: a refusal makes clients try again, and a new process
        // cannot have the address before there is something to read for it.
        self.front.close();
        // Half of the time: a request that is slow to arrive must not take that of the messages.
        if !in_time(self.front.emptied(), begin + quiesce_timeout / 2, stop).await {
            tracing::warn!("requests were still under way when their time was over");
        }
        self.node.quiesce();
        let quiet = until(|| self.node.is_quiet());
        if !in_time(quiet, begin + quiesce_timeout, stop).await {
            tracing::warn!("messages were still under way when their time was over");
        }

        // From here on sessions that have no socket wait for the next process.
        let saved_at = now_in_milliseconds();
        self.node.shut_down(match self.sessions {
            Some(_) => AtShutdown::SaveSessions,
            None => AtShutdown::EndSessions,
        });
        // Clients may be cut off, but not this: their sessions would be lost.
        let packed_up = timeout(PACKING_TIMEOUT, until(|| self.node.has_packed_up()));
        if packed_up.await.is_err() {
            tracing::error!("a shard does not say what sessions it has; some will be lost");
        }
        // Before clients have answered: whoever supervises this process may lose patience with it.
        if let Some(file) = self.sessions {
            file.save(self.node.take_saved(), saved_at);
        }
        if !in_time(until(|| self.shards.have_ended()), deadline, stop).await {
            let connections = self.node.connections();
            tracing::warn!(connections, "stopped before every client had closed");
        }
        let _ = self.ending.send(true);
        let _ = timeout_at(deadline, self.serving).await;
    }
}

/// Whether `step` was done before its time was over or somebody became impatient.
async fn in_time(step: impl Future<Output = ()>, by: Instant, stop: &mut StopRequests) -> bool {
    tokio::select! {
        done = timeout_at(by, step) => done.is_ok(),
        () = stop.next() => false,
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(POLL).await;
    }
}
