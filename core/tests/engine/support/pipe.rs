//! A socket in memory: two buffers with a network in between, readiness reported on edges only,
//! and the faults that sockets have.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use hubwire_core::Millis;
use hubwire_core::shard::{Readiness, TransportKey};
use hubwire_core::transport::{Read, Transport, Written};

/// Both ends of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Sent by the client, not yet arrived.
    pub(crate) in_flight: VecDeque<u8>,
    /// Arrived, not yet read by the server.
    arrived: VecDeque<u8>,
    /// Written by the server, not yet taken by the client.
    pub(crate) written: VecDeque<u8>,
    /// Most bytes of `written` before the server's writes block.
    pub(crate) room: usize,
    /// Most bytes that one write takes.
    pub(crate) write_most: usize,
    /// Most bytes that a write takes although there is no room for them: as much as an encrypted
    /// transport owes.
    pub(crate) owes_most: usize,
    /// Writes since the server's end was made.
    pub(crate) writes: usize,
    /// The client sends no more once `in_flight` is through.
    pub(crate) client_finished: bool,
    /// Reads and writes fail.
    pub(crate) broken: bool,
    /// The server said that it writes no more.
    pub(crate) server_finished: bool,
    /// The server dropped its end.
    pub(crate) server_gone: bool,
    /// When it did, on the clock of its node.
    pub(crate) gone_at: Option<Millis>,
    /// Where readiness is reported, once registered.
    pub(crate) key: Option<TransportKey>,
    edge: Readiness,
    end_told: bool,
    blocked: bool,
    /// Taken from the shard, not yet written.
    owed: VecDeque<u8>,
}

impl Pipe {
    /// A fresh connection whose client side holds `room` bytes and takes `write_most` at once, and
    /// whose server side holds back up to `owes_most`.
    pub(crate) fn new(room: usize, write_most: usize, owes_most: usize) -> Self {
        Self {
            room,
            write_most,
            owes_most,
            ..Self::default()
        }
    }

    /// Lets up to `most` bytes of the client arrive, and its end behind the last of them.
    pub(crate) fn arrive(&mut self, most: usize) {
        let count = most.min(self.in_flight.len());
        if count > 0 {
            self.arrived.extend(self.in_flight.drain(..count));
            self.edge.readable = true;
        }
        if self.client_finished && self.in_flight.is_empty() && !self.end_told {
            self.end_told = true;
            self.edge.readable = true;
            self.edge.hung_up = true;
        }
    }

    /// Takes up to `most` bytes that the server wrote.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.written.len());
        let taken = self.written.drain(..count).collect();
        if self.blocked && self.written.len() < self.room {
            self.blocked = false;
            self.edge.writable = true;
        }
        taken
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        self.broken = true;
        self.edge = Readiness {
            readable: true,
            writable: true,
            hung_up: true,
        };
    }

    /// Whether all that the server's end took was taken by the client.
    pub(crate) fn is_drained(&self) -> bool {
        self.written.is_empty() && self.owed.is_empty()
    }

    /// Whether there is readiness that the shard was not told of.
    pub(crate) fn has_news(&self) -> bool {
        let Readiness {
            readable,
            writable,
            hung_up,
        } = self.edge;
        self.key.is_some() && !self.server_gone && (readable || writable || hung_up)
    }

    /// The readiness to report. Each change is reported once.
    pub(crate) fn take_news(&mut self) -> Readiness {
        std::mem::take(&mut self.edge)
    }
}

/// The server's end of a [`Pipe`].
#[derive(Debug)]
pub(crate) struct ServerEnd(pub(crate) Rc<RefCell<Pipe>>);

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.borrow_mut().server_gone = true;
    }
}

impl Transport for ServerEnd {
    type Shared = ();

    fn register(&mut self, (): &mut Self::Shared, key: TransportKey) -> bool {
        self.0.borrow_mut().key = Some(key);
        true
    }

    fn read(&mut self, (): &mut Self::Shared, buffer: &mut [u8]) -> Read {
        let mut pipe = self.0.borrow_mut();
        if pipe.broken {
            return Read::Failed;
        }
        if pipe.arrived.is_empty() {
            return if pipe.end_told {
                Read::Ended
            } else {
                Read::WouldBlock
            };
        }
        let count = buffer.len().min(pipe.arrived.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.arrived.drain(..count)) {
            *place = byte;
        }
        let more = count == buffer.len();
        Read::Bytes { count, more }
    }

    fn write(&mut self, (): &mut Self::Shared, slices: &[IoSlice<'_>]) -> Written {
        let mut pipe = self.0.borrow_mut();
        assert!(!pipe.server_finished, "a write after the end of the stream");
        assert!(
            !pipe.owed.is_empty() || slices.iter().any(|slice| !slice.is_empty()),
            "a write of nothing"
        );
        pipe.writes += 1;
        if pipe.broken {
            return Written::Failed;
        }
        let room = pipe
            .room
            .saturating_sub(pipe.written.len())
            .min(pipe.write_most);
        if !pipe.owed.is_empty() {
            let count = room.min(pipe.owed.len());
            let leaving: Vec<u8> = pipe.owed.drain(..count).collect();
            pipe.written.extend(leaving);
            if pipe.owed.is_empty() {
                return Written::Bytes(0);
            }
            pipe.blocked = true;
            return Written::Blocked(0);
        }
        let mut left = room;
        let mut owes_left = pipe.owes_most;
        for slice in slices {
            let count = left.min(slice.len());
            pipe.written.extend(&slice[..count]);
            left -= count;
            let owed = owes_left.min(slice.len() - count);
            pipe.owed.extend(&slice[count..count + owed]);
            owes_left -= owed;
        }
        let taken = room - left + (pipe.owes_most - owes_left);
        if room == 0 || !pipe.owed.is_empty() {
            pipe.blocked = true;
            return Written::Blocked(taken);
        }
        Written::Bytes(taken)
    }

    fn finish(&mut self) {
        let mut pipe = self.0.borrow_mut();
        assert!(pipe.owed.is_empty(), "an end before what is owed");
        pipe.server_finished = true;
    }

    fn owed_bytes(&self) -> usize {
        self.0.borrow().owed.len()
    }
}
