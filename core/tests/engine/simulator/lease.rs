//! How long the session of a reliable client must be there, and may be.

use std::cell::RefCell;
use std::rc::Rc;

use hubwire_core::Millis;

use crate::support::client::Client;
use crate::support::pipe::Pipe;

/// The transports on which a session may live, the oldest first.
#[derive(Debug)]
pub(crate) struct Lease {
    window_ms: u64,
    /// Until when it must be there and may be there, as far as an earlier node decided that.
    restored: Option<(Millis, Millis)>,
    pipes: Vec<Rc<RefCell<Pipe>>>,
}

impl Lease {
    pub(crate) fn new(window_ms: u64, client: &Client) -> Self {
        Self {
            window_ms,
            restored: None,
            pipes: vec![Rc::clone(&client.pipe)],
        }
    }

    /// The client tries to come back with another transport.
    pub(crate) fn try_again(&mut self, client: &Client) {
        self.pipes.push(Rc::clone(&client.pipe));
    }

    /// The session was there on the latest transport.
    pub(crate) fn confirm(&mut self) {
        self.restored = None;
        self.pipes.drain(..self.pipes.len() - 1);
    }

    /// Whether every transport but the latest is gone.
    pub(crate) fn has_one_transport(&self) -> bool {
        let mut earlier = self.pipes.iter().rev().skip(1);
        earlier.all(|pipe| pipe.borrow().server_gone)
    }

    fn end_of(&self, pipe: &Rc<RefCell<Pipe>>) -> Option<Millis> {
        Some(pipe.borrow().gone_at?.plus(self.window_ms))
    }

    /// Until when the session must be there; `None` as long as its transport is.
    pub(crate) fn must_until(&self) -> Option<Millis> {
        match self.restored {
            Some((must, _)) => Some(must),
            None => self.end_of(self.pipes.first().unwrap()),
        }
    }

    /// Until when the session may be there; `None` as long as its transport is.
    pub(crate) fn may_until(&self) -> Option<Millis> {
        let ends = self.pipes.iter().map(|pipe| self.end_of(pipe));
        let latest = ends.collect::<Option<Vec<_>>>()?.into_iter().max();
        latest.max(self.restored.map(|(_, may)| may))
    }

    /// For how many milliseconds the session must be there and may be there, after a node that ends
    /// `now`.
    pub(crate) fn left_ms(&self, now: Millis) -> (u64, u64) {
        let left = |until: Option<Millis>| until.map_or(self.window_ms, |until| until.since(now));
        (left(self.must_until()), left(self.may_until()))
    }

    /// A node began that has to keep the session so many milliseconds, and may.
    pub(crate) fn node_began(&mut self, must_ms: u64, may_ms: u64) {
        self.restored = Some((Millis(must_ms), Millis(may_ms)));
        self.pipes.clear();
    }
}
