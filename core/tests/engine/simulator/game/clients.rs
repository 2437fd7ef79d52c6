//! What clients do, well behaved and not.

use hubwire_core::session::Protocol;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;

use super::super::actor::{Actor, Sent, Speech};
use super::super::model::{ActorIndex, Aim, Fate, GroupIndex, Picks, Sender};
use super::super::reliable::Reliable;
use super::super::requests::Asked;
use super::super::rights::Right;
use super::{Game, HUBS, USERS, group_name};
use crate::support::client::json;
use crate::support::world::Joining;

impl Game {
    pub(super) fn act(&mut self) {
        let live: Vec<_> = self
            .actors
            .iter()
            .filter(|actor| actor.is_up())
            .map(|actor| actor.index)
            .collect();
        if live.is_empty() || (live.len() < self.plan.actors && self.random.chance(20)) {
            return self.connect();
        }
        let index = self.random.pick(&live);
        if self.has_open_stream(index) && self.random.chance(30) {
            return self.stream(index);
        }
        match self.actors[index].speech {
            Speech::Json => match self.random.below(100) {
                0..16 => self.join(index),
                16..22 => self.leave(index),
                22..34 if !self.actors[index].in_protobuf => self.stream(index),
                34..47 if !self.actors[index].in_protobuf => self.use_group_state(index),
                22..62 => self.publish(index),
                62..78 => self.send_event(index),
                78..81 => self.ping(index),
                81..87 if self.actors[index].reliable.is_some() => self.acknowledge(index),
                87..94 if self.actors[index].reliable.is_some() => self.break_off(index),
                81..84 => self.ping(index),
                _ => self.misbehave(index),
            },
            Speech::SimpleEvents if self.random.chance(85) => self.send_event(index),
            Speech::SimpleGroup { .. } if self.random.chance(85) => self.publish(index),
            _ => self.misbehave(index),
        }
    }

    fn connect(&mut self) {
        let index = self.actors.len();
        let hub = usize::from(self.random.chance(15));
        let user = self
            .random
            .chance(60)
            .then(|| self.random.below(USERS.len()));
        let speech = match self.random.below(100) {
            0..70 => Speech::Json,
            70..80 => Speech::SimpleEvents,
            _ => Speech::SimpleGroup {
                group: self.random.below(self.plan.groups),
                no_echo: self.random.chance(50),
            },
        };
        // Without a draw, so that seeds keep their games.
        let in_protobuf = speech == Speech::Json && index % 4 == 2;
        let is_reliable = speech == Speech::Json && self.random.chance(self.plan.reliable_percent);
        let protocol = match speech {
            Speech::Json => Protocol::PubSub(match (in_protobuf, is_reliable) {
                (false, false) => Subprotocol::Json,
                (false, true) => Subprotocol::JsonReliable,
                (true, false) => Subprotocol::Protobuf,
                (true, true) => Subprotocol::ProtobufReliable,
            }),
            Speech::SimpleEvents => Protocol::Simple(SimpleMode::SendEvent),
            Speech::SimpleGroup { group, no_echo } => Protocol::Simple(SimpleMode::SendToGroup {
                group: group_name(group).into(),
                no_echo,
            }),
        };
        let only = (speech == Speech::Json && self.random.chance(10)).then_some(0);
        let restricted = ["webpubsub.joinLeaveGroup.g0", "webpubsub.sendToGroup.g0"];
        for (_, group) in self.swept_joins.iter().filter(|(swept, _)| *swept == hub) {
            self.model.join_requested(index, *group);
        }
        for (_, group) in self.swept_leaves.iter().filter(|(swept, _)| *swept == hub) {
            self.model.leave_requested(index, *group);
        }
        let mut initial = Vec::new();
        for group in 0..self.plan.groups {
            if self.random.chance(30) {
                initial.push((group, self.model.join_requested(index, group)));
            }
        }
        let names: Vec<_> = initial
            .iter()
            .map(|(group, _)| group_name(*group))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let defaults = Joining::default();
        let room = if self.plan.large {
            1 << 20
        } else {
            self.random.pick(&[16, 64, 500, 10_000, usize::MAX])
        };
        let write_most = if self.plan.large {
            50_000
        } else {
            self.random.pick(&[1, 7, 100, usize::MAX, usize::MAX])
        };
        let client = self.world.connect(&Joining {
            hub: HUBS[hub],
            user: user.map(|user| USERS[user]),
            protocol,
            roles: if only.is_some() {
                &restricted
            } else {
                defaults.roles
            },
            groups: &names,
            room,
            write_most,
            // Some transports hold back what they took, as encrypted ones do.
            owes_most: if index % 3 == 1 { 700 } else { 0 },
            ..defaults
        });
        let id = client.id.text().as_str().to_owned();
        self.model.ids.insert(id, index);
        let window_ms = self.plan.limits.recovery_window_ms;
        let reliable = is_reliable.then(|| Reliable::new(window_ms, &client));
        let mut actor = Actor::new(index, client, hub, user, speech);
        actor.reliable = reliable;
        actor.in_protobuf = in_protobuf;
        actor.only = only;
        actor.initial = initial;
        let unhandled = speech == Speech::SimpleEvents && self.handlers.may_be_off();
        actor.may_end = self.plan.may_end(is_reliable) || self.swept_close || unhandled;
        self.actors.push(actor);
    }

    /// An ack id for the next request, used before in some cases.
    fn ack_id(&mut self, index: ActorIndex, percent: usize) -> Option<u64> {
        if !self.random.chance(percent) {
            return None;
        }
        let requests = &mut self.actors[index].requests;
        if self.random.chance(5)
            && let Some(used) = requests.used_id(&mut self.random)
        {
            return Some(used);
        }
        Some(requests.new_id())
    }

    pub(super) fn send_text(&mut self, index: ActorIndex, text: &str) {
        let fragmented = self.random.chance(10);
        let actor = &mut self.actors[index];
        let (opcode, payload) = actor.put(text);
        if fragmented {
            actor.frame_pings += 1;
            actor.client.fragments(opcode, &payload);
        } else {
            actor.client.frame(opcode, &payload);
        }
    }

    pub(super) fn expect_ack(&mut self, index: ActorIndex, ack_id: Option<u64>, asked: Asked) {
        if let Some(ack_id) = ack_id {
            self.actors[index].requests.expect(ack_id, asked);
        }
    }

    fn join(&mut self, index: ActorIndex) {
        let group = self.random.below(self.plan.groups);
        let ack_id = self.ack_id(index, 85);
        self.send_text(index, &json::join(&group_name(group), ack_id));
        let change = self.model.join_requested(index, group);
        self.expect_ack(index, ack_id, Asked::Join { group, change });
    }

    fn leave(&mut self, index: ActorIndex) {
        let group = self.random.below(self.plan.groups);
        let ack_id = self.ack_id(index, 85);
        self.send_text(index, &json::leave(&group_name(group), ack_id));
        let change = self.model.leave_requested(index, group);
        self.expect_ack(index, ack_id, Asked::Leave { group, change });
    }

    fn publish(&mut self, index: ActorIndex) {
        let actor = &self.actors[index];
        let is_json = actor.speech == Speech::Json;
        let (group, no_echo) = match actor.speech {
            Speech::SimpleGroup { group, no_echo } => (group, no_echo),
            _ => (self.random.below(self.plan.groups), self.random.chance(30)),
        };
        let ack_id = if is_json {
            self.ack_id(index, 70)
        } else {
            None
        };
        let number = self.send_publication(index, group, no_echo, ack_id);
        if is_json {
            let sent = self.model.publications[number].sent;
            // With an ack it is known when that comes.
            if ack_id.is_none() {
                let allowed = self.actors[index].may(Right::Send, group, sent, &self.model);
                self.model.publications[number].fate = match allowed {
                    Some(true) => Fate::Open,
                    Some(false) => Fate::Rejected,
                    None => Fate::Unknown,
                };
            }
            let asked = Asked::Publish {
                group,
                index: number,
            };
            self.expect_ack(index, ack_id, asked);
        }
    }

    /// Sends a publication; returns its number.
    fn send_publication(
        &mut self,
        index: ActorIndex,
        group: GroupIndex,
        no_echo: bool,
        ack_id: Option<u64>,
    ) -> usize {
        let picks = Picks {
            excluded: if no_echo { vec![index] } else { Vec::new() },
            wanted: None,
        };
        let (sender, aim) = (Sender::Client(index), Aim::Group(group));
        let hub = self.actors[index].hub;
        let number = self.model.publish(sender, hub, aim, picks, ack_id);
        let mut text = format!("p{number}.{}", self.padding());
        if self.actors[index].speech == Speech::Json {
            text = json::publish(&group_name(group), &text, no_echo, ack_id);
        }
        self.send_text(index, &text);
        number
    }

    /// Asks again, under the same id, for what may or may not have been carried out.
    pub(super) fn retry(&mut self, actor: ActorIndex, ack_id: u64, mut asked: Asked) {
        let id = Some(ack_id);
        match asked {
            Asked::Join { group, .. } => {
                self.send_text(actor, &json::join(&group_name(group), id));
                self.model.join_requested(actor, group);
            }
            Asked::Leave { group, .. } => {
                self.send_text(actor, &json::leave(&group_name(group), id));
                self.model.leave_requested(actor, group);
            }
            Asked::Publish {
                group,
                index: first,
            } => {
                let no_echo = !self.model.publications[first].picks.excluded.is_empty();
                let number = self.send_publication(actor, group, no_echo, id);
                self.model.publications[number].repeats = Some(first);
                self.model.publications[number].fate = Fate::Unknown;
            }
            Asked::Event { .. } => {
                let index = self.events.len();
                asked = Asked::Event { index };
                self.send_event_as(actor, id);
            }
            Asked::SetState { .. } | Asked::Subscribe { .. } | Asked::Unsubscribe { .. } => {
                asked = self.send_group_state(actor, ack_id, asked);
            }
        }
        self.expect_ack(actor, id, asked);
    }

    pub(super) fn padding(&mut self) -> String {
        let length = match self.random.below(100) {
            0..80 => self.random.below(20),
            80..98 => self.random.below(200),
            _ if self.plan.large => self.random.between(60_000, 140_000),
            _ => 130,
        };
        "x".repeat(length)
    }

    fn send_event(&mut self, index: ActorIndex) {
        let is_json = self.actors[index].speech == Speech::Json;
        let ack_id = if is_json {
            self.ack_id(index, 80)
        } else {
            None
        };
        let asked = Asked::Event {
            index: self.events.len(),
        };
        self.send_event_as(index, ack_id);
        self.expect_ack(index, ack_id, asked);
    }

    fn send_event_as(&mut self, index: ActorIndex, ack_id: Option<u64>) {
        let mut text = format!("e{}.", self.events.len());
        self.events.push(Sent {
            actor: index,
            ack_id,
            decision: None,
            replied: false,
            never: self.handlers.are_off(),
        });
        if self.actors[index].speech == Speech::Json {
            text = json::event(&text, ack_id);
        }
        self.send_text(index, &text);
    }

    fn ping(&mut self, index: ActorIndex) {
        if self.random.chance(50) {
            self.actors[index].pings += 1;
            self.send_text(index, json::PING);
        } else {
            self.actors[index].frame_pings += 1;
            self.actors[index].client.frame(Opcode::Ping, b"");
        }
    }

    fn misbehave(&mut self, index: ActorIndex) {
        let actor = &mut self.actors[index];
        match self.random.below(100) {
            0..45 => actor.reading = !actor.reading,
            45..50 => {
                actor.reading = false;
            }
            50..70 => {
                actor.client.close(1000);
                actor.silent = true;
                actor.may_end = true;
            }
            70..80 if actor.reliable.is_some() => self.break_off(index),
            70..80 => {
                actor.vanished = true;
                actor.may_end = true;
                match self.random.below(3) {
                    0 => actor.client.pipe().reset(),
                    1 => actor.client.pipe().client_finished = true,
                    // Nobody tells the server.
                    _ => {}
                }
            }
            80..90 if actor.speech == Speech::Json => {
                let malformed = [
                    r#"{"type":"joinGroup"}"#,
                    "not json",
                    "",
                    r#"{"type":"no such"}"#,
                    "[]",
                ];
                let (opcode, payload) = actor.put(self.random.pick(&malformed));
                actor.client.frame(opcode, &payload);
                actor.silent = true;
                actor.may_end = true;
            }
            _ => {
                let broken: [&[u8]; 5] = [
                    // Unmasked; reserved bits; reserved opcode; 2^62 bytes; not UTF-8.
                    &[0x81, 0x01, b'x'],
                    &[0xf1, 0x80, 0, 0, 0, 0],
                    &[0x83, 0x80, 0, 0, 0, 0],
                    &[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
                    &[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28],
                ];
                actor.client.raw(self.random.pick(&broken));
                actor.silent = true;
                actor.may_end = true;
            }
        }
    }
}
