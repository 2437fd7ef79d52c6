//! The loop: one thread, one poller, all connections.
//!
//! It opens connections, moves bytes, and stops at the first connection that fails, unless told
//! to count closes instead. When to publish is decided in [`crate::load`] and the scenarios.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::client::{Client, ClientPlan, Identity};
use crate::clock::nanos;
use crate::failure::{Cause, Failure, Stage};
use crate::ledger::Ledger;
use crate::poller::Poller;
use crate::rest::{Rest, RestPlan};
use crate::sequence::Turns;
use crate::socket::{SCRATCH, Socket};

/// The longest wait in one turn while something else than readiness has to be looked at.
pub(crate) const TURN: Duration = Duration::from_millis(1);
/// The bound on waiting for the server to answer the last close frames.
const GOODBYE: Duration = Duration::from_secs(5);
/// Descriptors that are ours besides the connections.
const OTHER_DESCRIPTORS: u64 = 32;

/// How the connections of a run are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialing {
    pub(crate) address: SocketAddr,
    /// Handshakes in progress at once.
    pub(crate) parallel: usize,
    /// The bound on opening all connections of a step.
    pub(crate) timeout: Duration,
    /// Loopback source addresses to use in turn; 1 leaves the choice to the system.
    pub(crate) sources: u8,
    /// The limit on open files, `None` for unlimited.
    pub(crate) descriptors: Option<u64>,
    /// How often a reliable client acknowledges what it has received; zero for never.
    pub(crate) sequence_ack_interval: Duration,
}

/// A connection to open.
#[derive(Debug)]
pub(crate) enum Plan {
    Client(ClientPlan),
    Rest(Box<RestPlan>),
}

/// The loop and all it owns.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) ledger: Ledger,
    poller: Poller,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
    dialing: Dialing,
    sequence_acks: Turns,
    /// Connections that ended, once that is tolerated; until then the first one ends the run.
    ended: Option<Vec<Ended>>,
}

#[derive(Debug)]
enum Connection {
    Client(Client),
    Rest(Rest),
}

/// A connection that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) index: usize,
    pub(crate) cause: Cause,
}

impl Driver {
    pub(crate) fn new(dialing: Dialing) -> io::Result<Self> {
        Ok(Self {
            ledger: Ledger::new(),
            poller: Poller::new()?,
            connections: Vec::new(),
            scratch: vec![0; SCRATCH],
            sequence_acks: Turns::new(dialing.sequence_ack_interval),
            dialing,
            ended: None,
        })
    }

    /// From now on a connection that ends is left out instead of ending the run.
    pub(crate) fn tolerate_closes(&mut self) {
        self.ended.get_or_insert_default();
    }

    /// The connections that ended since the last time, where that is tolerated.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        self.ended.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nanoseconds on the run's clock.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.ledger.clock.now()
    }

    /// Handshakes that may be in progress at once.
    pub(crate) fn parallel(&self) -> usize {
        self.dialing.parallel
    }

    /// The index that the next opened connection gets.
    pub(crate) fn next_index(&self) -> usize {
        self.connections.len()
    }

    /// Opens connections and returns when all are ready, with the time that took.
    ///
    /// # Errors
    /// The first connection that fails, the deadline, or a descriptor limit that is too low.
    pub(crate) fn open(&mut self, plans: Vec<Plan>) -> anyhow::Result<Duration> {
        let first = self.connections.len();
        let last = first + plans.len();
        if let Some(limit) = self.dialing.descriptors {
            ensure!(
                last as u64 + OTHER_DESCRIPTORS <= limit,
                "{last} connections need {} descriptors, and the limit is {limit} (ulimit -n)",
                last as u64 + OTHER_DESCRIPTORS
            );
        }
        let mut waiting = VecDeque::from(plans);
        let started = self.now();
        let deadline = started + nanos(self.dialing.timeout);
        let mut in_progress: Vec<usize> = Vec::with_capacity(self.dialing.parallel);
        loop {
            in_progress.retain(|index| self.stage(*index) < Stage::Ready);
            while in_progress.len() < self.dialing.parallel {
                let Some(plan) = waiting.pop_front() else {
                    break;
                };
                in_progress.push(self.dial(plan)?);
            }
            let Some(oldest) = in_progress.first() else {
                return Ok(Duration::from_nanos(self.now() - started));
            };
            ensure!(
                self.now() < deadline,
                "opening connections took longer than {:?}: {} of {} are ready, the oldest of {} \
                 in progress is at: {}",
                self.dialing.timeout,
                last - first - in_progress.len() - waiting.len(),
                last - first,
                in_progress.len(),
                self.stage(*oldest)
            );
            self.turn(TURN)?;
        }
    }

    /// Waits up to `timeout` for readiness and works on it.
    ///
    /// # Errors
    /// The first connection that failed.
    pub(crate) fn turn(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let connections = self.connections.len();
        let (first, count) = self.sequence_acks.take(self.now(), connections);
        for nth in first..first + count {
            self.acknowledge(nth % connections)?;
        }
        let mut ended = None;
        for event in self.poller.wait(timeout).context("waiting for readiness")? {
            let index = event.token().0;
            let Some(connection) = self.connections.get_mut(index) else {
                continue;
            };
            let result = connection.on_event(event, &mut self.scratch, &mut self.ledger);
            if let Err(cause) = result {
                ended.get_or_insert_with(Vec::new).push((index, cause));
            }
        }
        for (index, cause) in ended.unwrap_or_default() {
            self.end(index, cause)?;
        }
        Ok(())
    }

    /// Publishes `count` messages from a client, stamped with `time`, in one write.
    #[inline]
    pub(crate) fn publish(&mut self, index: usize, time: u64, count: u64) -> anyhow::Result<()> {
        let Some(Connection::Client(client)) = self.connections.get_mut(index) else {
            return Ok(());
        };
        for _ in 0..count {
            client.publish(time);
        }
        match client.socket.flush() {
            Ok(()) => Ok(()),
            Err(error) => self.end(index, error.into()),
        }
    }

    /// Sends a request from each REST connection that waits for no response; returns how many.
    pub(crate) fn publish_by_rest(&mut self) -> anyhow::Result<u64> {
        let mut sent = 0;
        for index in 0..self.connections.len() {
            let Some(Connection::Rest(rest)) = self.connections.get_mut(index) else {
                continue;
            };
            if !rest.is_idle() {
                continue;
            }
            match rest.publish(self.ledger.clock.now()) {
                Ok(()) => sent += 1,
                Err(cause) => self.end(index, cause)?,
            }
        }
        Ok(sent)
    }

    /// Sends a WebSocket ping on each client that is ready; returns how many.
    pub(crate) fn ping_all(&mut self) -> anyhow::Result<u64> {
        let mut sent = 0;
        for index in 0..self.connections.len() {
            let Some(Connection::Client(client)) = self.connections.get_mut(index) else {
                continue;
            };
            if client.stage != Stage::Ready {
                continue;
            }
            match client.ping() {
                Ok(()) => sent += 1,
                Err(error) => self.end(index, error.into())?,
            }
        }
        Ok(sent)
    }

    /// Has each reliable client acknowledge what it has received.
    pub(crate) fn acknowledge_all(&mut self) -> anyhow::Result<()> {
        (0..self.connections.len()).try_for_each(|index| self.acknowledge(index))
    }

    fn acknowledge(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(Connection::Client(client)) = self.connections.get_mut(index) else {
            return Ok(());
        };
        match client.acknowledge() {
            Ok(sent) => self.ledger.counters.sequence_acks += u64::from(sent),
            Err(error) => self.end(index, error.into())?,
        }
        Ok(())
    }

    /// Cuts a client's socket without a word. The client stays, for [`Driver::recover`].
    pub(crate) fn cut(&mut self, index: usize) {
        if let Some(Connection::Client(client)) = self.connections.get_mut(index) {
            client.socket.cut();
            client.stage = Stage::Closed;
        }
    }

    /// Dials again for a client that was cut, with a request that recovers its connection; it is
    /// ready once the message with the number `owed` has arrived.
    pub(crate) fn recover(
        &mut self,
        index: usize,
        request: Vec<u8>,
        owed: u64,
    ) -> Result<(), Failure> {
        let socket = self.connect(index)?;
        let now = self.now();
        if let Some(Connection::Client(client)) = self.connections.get_mut(index) {
            client.recover(socket, request, owed, now);
        }
        Ok(())
    }

    /// What the server knows a reliable client's connection by, once it was connected.
    pub(crate) fn identity(&self, index: usize) -> Option<&Identity> {
        match self.connections.get(index)? {
            Connection::Client(client) => client.identity(),
            Connection::Rest(_) => None,
        }
    }

    /// The highest number that a client has received; 0 for none.
    pub(crate) fn received(&self, index: usize) -> u64 {
        match self.connections.get(index) {
            Some(Connection::Client(client)) => client.received(),
            _ => 0,
        }
    }

    /// Ends the sessions of reliable clients: otherwise the server would keep them for its
    /// recovery window, and they would be members of their groups in the next run too. Returns how
    /// many did not end in time.
    pub(crate) fn end_sessions(&mut self) -> anyhow::Result<usize> {
        self.tolerate_closes();
        let mut open = Vec::new();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if let Connection::Client(client) = connection
                && client.is_reliable()
                && (Stage::Greeting..=Stage::Ready).contains(&client.stage)
                && client.close().is_ok()
            {
                open.push(index);
            }
        }
        let end = self.now() + nanos(GOODBYE);
        loop {
            open.retain(|index| self.stage(*index) != Stage::Closed);
            if open.is_empty() || self.now() >= end {
                return Ok(open.len());
            }
            self.turn(TURN)?;
        }
    }

    pub(crate) fn stage(&self, index: usize) -> Stage {
        self.connections
            .get(index)
            .map_or(Stage::Closed, Connection::stage)
    }

    fn dial(&mut self, plan: Plan) -> Result<usize, Failure> {
        let index = self.connections.len();
        let socket = self.connect(index)?;
        self.connections.push(match plan {
            Plan::Client(plan) => Connection::Client(Client::new(index, socket, plan, self.now())),
            Plan::Rest(plan) => Connection::Rest(Rest::new(socket, plan)),
        });
        Ok(index)
    }

    fn connect(&self, index: usize) -> Result<Socket, Failure> {
        let connected = Socket::connect(self.dialing.address, self.source(index));
        connected
            .and_then(|mut socket| {
                self.poller.add(socket.source(), index)?;
                Ok(socket)
            })
            .map_err(|error| self.failure(index, Stage::Dialing, error.into()))
    }

    /// The loopback address that connection `index` comes from: one address has only some 28,000
    /// ports to give.
    fn source(&self, index: usize) -> Option<Ipv4Addr> {
        match self.dialing.address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && self.dialing.sources > 1 => {
                let nth = u8::try_from(index % usize::from(self.dialing.sources)).unwrap_or(0);
                Some(Ipv4Addr::new(127, 0, 0, nth.saturating_add(1)))
            }
            _ => None,
        }
    }

    /// A connection has ended: opens it again, counts it out, or fails.
    fn end(&mut self, index: usize, cause: Cause) -> anyhow::Result<()> {
        let may_redial = match &self.connections[index] {
            Connection::Rest(rest) => rest.may_redial(&cause),
            Connection::Client(_) => false,
        };
        if may_redial {
            let socket = self.connect(index)?;
            if let Connection::Rest(rest) = &mut self.connections[index] {
                rest.redialed(socket);
                self.ledger.counters.reconnects += 1;
            }
            return Ok(());
        }
        let stage = self.stage(index);
        match &mut self.connections[index] {
            Connection::Client(client) => {
                // A server that closes waits for this end to do the same.
                client.socket.cut();
                client.stage = Stage::Closed;
            }
            Connection::Rest(rest) => rest.stage = Stage::Closed,
        }
        match &mut self.ended {
            Some(ended) => {
                ended.push(Ended { index, cause });
                Ok(())
            }
            None => Err(self.failure(index, stage, cause).into()),
        }
    }

    fn failure(&self, index: usize, stage: Stage, cause: Cause) -> Failure {
        Failure {
            address: self.dialing.address,
            index,
            stage,
            cause,
        }
    }
}

impl Connection {
    fn stage(&self) -> Stage {
        match self {
            Self::Client(client) => client.stage,
            Self::Rest(rest) => rest.stage,
        }
    }

    #[inline]
    fn on_event(
        &mut self,
        event: &mio::event::Event,
        scratch: &mut Vec<u8>,
        ledger: &mut Ledger,
    ) -> Result<(), Cause> {
        if self.stage() == Stage::Closed {
            return Ok(());
        }
        if event.is_writable() {
            match self {
                Self::Client(client) => client.on_writable()?,
                Self::Rest(rest) => rest.on_writable()?,
            }
        }
        if event.is_readable() {
            let closed = event.is_read_closed();
            match self {
                Self::Client(client) => client.on_readable(closed, scratch, ledger)?,
                Self::Rest(rest) => rest.on_readable(closed, scratch, ledger)?,
            }
        }
        Ok(())
    }
}
