//! What clients send: bytes to frames to messages, and what waits while a session is parked.
//!
//! The bytes lie in the shard's one scratch buffer; nothing borrowed from it outlives the call
//! that filled it.

use hubwire_proto::message::ClientMessage;
use hubwire_proto::ws::{self, DecoderLimits, Event, MessageKind};

use super::connection::{Ending, Link, Phase};
use super::{Shard, TransportKey};
use crate::id::Slot;
use crate::memory::Account;
use crate::response::Response;
use crate::session::{Held, Parked, Session, Unreadable, Waiting};
use crate::transport::{Read, Transport};

impl<T: Transport> Shard<T> {
    /// Reads each transport that has something to read, at most once.
    pub(super) fn read_transports(&mut self) {
        if !self.reads_input() {
            return;
        }
        for _ in 0..self.readable.len().min(self.budget.reads) {
            let Some(key) = self.readable.pop_front() else {
                return;
            };
            if let Some(slot) = self.still(key) {
                self.read(slot);
            }
        }
    }

    fn read(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(link) = &mut connection.link else {
            return;
        };
        link.flags.readable = false;
        if link.flags.paused {
            let hung_up = link.flags.hung_up;
            let parked = connection
                .session
                .as_ref()
                .and_then(|session| session.parked());
            let called =
                parked.is_some_and(|parked| matches!(parked.waiting, Waiting::Call { .. }));
            // What it sent before is lost with it: nobody is left to read the answers. One that
            // waits for room is read on, to its end, when there is some.
            if hung_up && called {
                self.lose_transport(slot);
            }
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        match link.transport.read(&mut self.transports, &mut scratch) {
            Read::Bytes { count, more } => {
                link.heard_at = self.now;
                // Behind the last bytes of a peer that hung up there is still its end.
                let more = more || link.flags.hung_up;
                let discard = link.phase == Phase::Draining || link.ending.is_some();
                self.numbers.bytes_received += count as u64;
                if more {
                    self.mark_readable(slot);
                }
                if !discard {
                    self.feed(slot, &mut scratch[..count]);
                }
                self.settle_transport(slot);
            }
            Read::WouldBlock => {}
            Read::Ended => self.end_in_order(slot, Ending::HungUp),
            Read::Failed => self.lose_transport(slot),
        }
        self.scratch = scratch;
    }

    pub(super) fn mark_readable(&mut self, slot: Slot) {
        let Some(link) = self.link_mut(slot) else {
            return;
        };
        if !std::mem::replace(&mut link.flags.readable, true) {
            let birth = link.birth;
            self.readable.push_back(TransportKey { slot, birth });
        }
    }

    /// Decodes `input` and handles every message in it.
    pub(super) fn feed(&mut self, slot: Slot, input: &mut [u8]) {
        let limits = DecoderLimits {
            max_message_bytes: self.node.limits().message_bytes,
        };
        let Some(link) = self.link_mut(slot) else {
            return;
        };
        // Taken out, so that an event can borrow from it while the shard acts on the event.
        let (birth, mut decoder) = (link.birth, std::mem::take(&mut link.decoder));
        let mut at = 0;
        loop {
            match decoder.step(&mut input[at..], &limits) {
                Ok(step) => {
                    at += step.consumed;
                    let Some(event) = step.event else { break };
                    self.handle_event(slot, event);
                }
                Err(error) => {
                    self.end_in_order(slot, Ending::Broken(error));
                    break;
                }
            }
        }
        decoder.release();
        if let Some(link) = self.link_mut(slot).filter(|link| link.birth == birth) {
            link.decoder = decoder;
            self.recharge_input(slot);
        }
        self.send_stream_acks(slot);
    }

    fn handle_event(&mut self, slot: Slot, event: Event<'_>) {
        let Some(phase) = self.phase(slot) else {
            return;
        };
        match event {
            Event::Close(frame) => {
                self.end_in_order(slot, Ending::Closed(frame.map(|frame| frame.code)));
            }
            Event::Pong(_) => {}
            _ if phase != Phase::Open => {}
            Event::Ping(payload) => self.queue_frames(slot, |out| ws::encode_pong(payload, out)),
            Event::Text(text) => self.receive_message(slot, MessageKind::Text, text.as_bytes()),
            Event::Binary(bytes) => self.receive_message(slot, MessageKind::Binary, bytes),
        }
    }

    /// Handles a message now, or holds it if the session waits.
    fn receive_message(&mut self, slot: Slot, kind: MessageKind, payload: &[u8]) {
        self.numbers.messages_received += 1;
        let limit = self.node.limits().parked_input_bytes;
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(session) = &mut connection.session else {
            return;
        };
        if session.parked().is_none() {
            return self.handle_message(slot, kind, payload);
        }
        // Whatever the session waits for, a ping is answered, and what has arrived is forgotten.
        match session.protocol.decode(kind, payload) {
            Ok(ClientMessage::Ping) => return self.queue_response(slot, &Response::Pong),
            Ok(ClientMessage::SequenceAck { sequence_id }) => {
                return self.acknowledge(slot, sequence_id);
            }
            _ => {}
        }
        let Some(parked) = session.parked_mut() else {
            return;
        };
        let held = Held {
            kind,
            payload: payload.into(),
        };
        parked.held_bytes += held.bytes();
        parked.held.push_back(held);
        if parked.held_bytes >= limit
            && let Some(link) = &mut connection.link
            && !std::mem::replace(&mut link.flags.paused, true)
        {
            self.numbers.reading_paused += 1;
        }
    }

    /// Handles a message of a session that does not wait.
    pub(super) fn handle_message(&mut self, slot: Slot, kind: MessageKind, payload: &[u8]) {
        let Some(session) = self.session(slot) else {
            return;
        };
        // A simple client's message borrows the group's name from its mode, so the protocol is
        // cloned; it is one small allocation for simple publishers and none for the others.
        let protocol = session.protocol.clone();
        match protocol.decode(kind, payload) {
            Ok(message) => self.handle_request(slot, message),
            Err(unreadable) => {
                let Unreadable {
                    code,
                    reason,
                    message,
                } = unreadable;
                self.fail(slot, code, reason, Some(&message));
            }
        }
    }

    /// Brings the node's account of this connection's unfinished and held input, and of its streams,
    /// up to date.
    pub(super) fn recharge_input(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let session = connection.session.as_ref();
        let parked = session.and_then(Session::parked);
        let held = parked.map_or(0, Parked::bytes) + session.map_or(0, Session::stream_bytes);
        let unfinished = connection.link.as_ref().map_or(0, Link::unfinished_bytes);
        let owed = unfinished + held;
        let charged = &mut connection.charged_input;
        self.node
            .memory()
            .recharge(Account::Incoming, charged, owed);
    }
}
