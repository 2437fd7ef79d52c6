//! What befalls reliable clients: transports that end in every way, returns in time and too late,
//! twice, to the wrong hub; acknowledgements sensible and not.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use hubwire_proto::ws::Opcode;

use super::super::model::ActorIndex;
use super::super::reliable::NOT_RECOVERED;
use super::{Game, HUBS};
use crate::support::client::{Client, Seen};
use crate::support::pipe::Pipe;
use crate::support::world::{Joining, NEXT_TOKEN};

impl Game {
    /// Something that happens to reliable clients, if there are any.
    pub(super) fn meet_a_fault(&mut self) {
        let away_only = self.random.chance(60);
        let reliable: Vec<_> = self
            .actors
            .iter()
            .filter(|actor| actor.reliable.is_some() && (!away_only || actor.is_away()))
            .map(|actor| actor.index)
            .collect();
        if reliable.is_empty() {
            return;
        }
        let index = self.random.pick(&reliable);
        if self.actors[index].is_away() {
            self.come_back(index);
            if self.random.chance(10) {
                self.actors[index].lose(&mut self.model);
                self.come_back(index);
            }
        } else if self.actors[index].is_up() && self.random.chance(30) {
            // It takes its transport to be dead, which it is not.
            self.actors[index].lose(&mut self.model);
            self.come_back(index);
        } else if self.random.chance(30) {
            self.try_the_wrong_place(index);
        }
    }

    /// Says what has arrived, or something else.
    pub(super) fn acknowledge(&mut self, index: ActorIndex) {
        let Some(reliable) = &self.actors[index].reliable else {
            return;
        };
        let last = reliable.numbers.last();
        let number = match self.random.below(100) {
            0..65 => last,
            65..85 => self.random.below(usize::try_from(last).unwrap() + 1) as u64,
            85..92 => 0,
            // Never given.
            _ => last + self.random.between(1 << 30, 1 << 40) as u64,
        };
        self.say_arrived(index, number);
    }

    pub(super) fn say_arrived(&mut self, index: ActorIndex, number: u64) {
        let text = format!(r#"{{"type":"sequenceAck","sequenceId":{number}}}"#);
        self.send_text(index, &text);
        if let Some(reliable) = &mut self.actors[index].reliable {
            reliable.numbers.acknowledge(number);
        }
    }

    /// Ends a transport, or lets its client think so.
    pub(super) fn break_off(&mut self, index: ActorIndex) {
        let actor = &mut self.actors[index];
        let in_flight = actor.client.pipe().in_flight.len();
        let kept = self.random.below(in_flight + 1);
        match self.random.below(100) {
            0..25 => {
                let mut pipe = actor.client.pipe();
                pipe.in_flight.truncate(kept);
                pipe.client_finished = true;
            }
            25..40 => actor.client.pipe().reset(),
            // The client finds out by itself.
            40..60 => return actor.client.pipe().reset(),
            // The server finds out by itself, if the client does not come back before.
            60..80 => actor.client.pipe().in_flight.truncate(kept),
            80..85 => actor.client.frame(Opcode::Close, b""),
            _ => {
                let code = self.random.pick(&[1001, 1003, 1008, 1011, 3000, 4999]);
                actor.client.close(code);
            }
        }
        self.actors[index].lose(&mut self.model);
    }

    /// Brings a client back to its session, with what it wants to be sure of in the first bytes.
    pub(super) fn come_back(&mut self, index: ActorIndex) {
        let actor = &mut self.actors[index];
        let Some(reliable) = &actor.reliable else {
            return;
        };
        if !reliable.was_greeted {
            return;
        }
        if self.world.node.place_of(&actor.client.id).is_none() {
            assert!(actor.may_end || !reliable.must_be_there(self.world.now));
            actor.ended = true;
            return;
        }
        let nowhere = Client::new(actor.client.id, Rc::new(RefCell::new(Pipe::default())));
        let old = mem::replace(&mut actor.client, nowhere);
        for (ack_id, asked) in self.actors[index].requests.to_retry() {
            if self.random.chance(70) {
                self.retry(index, ack_id, asked);
            }
        }
        self.resend_streams(index);
        let mut bytes = mem::take(&mut self.actors[index].client.pipe().in_flight);
        let read_before = if self.random.chance(30) {
            self.random.below(bytes.len() + 1)
        } else {
            0
        };
        let joining = {
            let pipe = old.pipe();
            Joining {
                hub: HUBS[self.actors[index].hub],
                unread: bytes.drain(..read_before).collect(),
                room: pipe.room,
                write_most: pipe.write_most,
                owes_most: pipe.owes_most,
                ..Joining::default()
            }
        };
        let client = self.world.recover(&old, &joining);
        client.pipe().in_flight = bytes;
        let actor = &mut self.actors[index];
        if let Some(reliable) = &mut actor.reliable {
            reliable.takes_over(old, &client, NEXT_TOKEN);
        }
        actor.client = client;
        actor.greeted = false;
        actor.goodbye = None;
        actor.drained_at = self.world.now;
    }

    /// Asks for a session where it is not, or that is over.
    fn try_the_wrong_place(&mut self, index: ActorIndex) {
        let actor = &self.actors[index];
        let hub = if actor.ended {
            actor.hub
        } else {
            1 - actor.hub
        };
        if self.world.node.place_of(&actor.client.id).is_some() {
            let joining = Joining {
                hub: HUBS[hub],
                ..Joining::default()
            };
            let stranger = self.world.recover(&actor.client, &joining);
            self.strangers.push(stranger);
        }
    }

    /// Checks that whoever asked for nothing that there is was told so.
    pub(super) fn check_strangers(&mut self) {
        for mut stranger in self.strangers.drain(..) {
            let refusal = Seen::Close(Some(1008), NOT_RECOVERED.to_owned());
            assert_eq!(stranger.receive_all(), [refusal]);
            assert!(stranger.pipe().server_gone);
        }
    }
}
