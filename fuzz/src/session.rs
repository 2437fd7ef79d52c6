//! Whole nodes: what clients, application servers, the network and the clock may do to a few
//! sessions, in any order.

mod player;
mod request;
mod script;
mod streams;
mod told;

use std::collections::BTreeMap;

use hubwire_core::command::{Action, Command, GroupNames, Selection, Target};
use hubwire_core::handler::Reply;
use hubwire_core::inbox::AtShutdown;
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_core::snapshot::Snapshot;
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::role::Permission;
use hubwire_proto::ws::Opcode;

use crate::engine::world::{Joining, World, hubs};
use crate::protobuf::schema::{
    Empty, Event, Group, GroupState, Request, SendToGroup, SequenceAck, SetGroupState, StreamData,
    StreamEnd, StreamEndError, StreamStart,
};
use player::{Player, Streams, protocols};
use request::text;
use script::Script;
use streams::{MARK, part_text};

const MOST_PLAYERS: usize = 8;
const MOST_TICKS: usize = 100_000;
const GROUPS: [&str; 2] = ["room", "den"];
const HUB: &str = "chat";
/// No session gets as far as this sequence id.
const NEVER_GIVEN: u64 = u64::MAX - 1;
/// An action with this bit leaves the shards alone, so that several meet in one tick.
const HOLD: u8 = 0x80;

/// Nothing that clients, servers, the network and the clock do panics a node, or keeps it busy for
/// ever. Clients of every kind are greeted first and get valid messages; numbers of reliable ones
/// rise by one from what they acknowledged; publishers and receivers of a stream are told of it in
/// order, and of each end once. When everybody is gone nothing is left.
///
/// The input is read byte by byte: the node, and then one action after the other.
pub fn session(input: &[u8]) {
    let mut script = Script::new(input);
    let mut game = Game::new(&mut script);
    // The first client is there in any case.
    game.connect(&mut script);
    while let Some(action) = script.action() {
        game.act(action & !HOLD, &mut script);
        if action & HOLD == 0 {
            game.let_arrive(usize::MAX);
            game.settle();
        }
    }
    game.end();
}

struct Game {
    world: World,
    limits: Limits,
    budget: TickBudget,
    players: Vec<Player>,
    streams: Streams,
}

impl Game {
    fn new(script: &mut Script<'_>) -> Self {
        let shards = 1 + script.below(3);
        let (tight, slow) = (script.byte(), script.byte());
        let mut limits = Limits::default();
        let bound = |bit: u8, limit: &mut usize, most: usize| {
            if tight & (1 << bit) != 0 {
                *limit = most;
            }
        };
        bound(0, &mut limits.outbound_queue_messages, 8);
        bound(1, &mut limits.replay_messages, 6);
        bound(2, &mut limits.streams_per_connection, 2);
        bound(3, &mut limits.inbox_commands, 1);
        bound(4, &mut limits.parked_input_bytes, 64);
        bound(5, &mut limits.groups_per_connection, 1);
        bound(6, &mut limits.message_bytes, 256);
        bound(7, &mut limits.replay_bytes, 1000);
        let budget = if slow & 1 == 0 {
            TickBudget::default()
        } else {
            TickBudget {
                attachments: 1,
                commands: 1,
                members: 1,
                reads: 1,
                flushes: 1,
                bytes_sent: 64,
            }
        };
        if slow & 2 != 0 {
            limits.node_queued_bytes = 4096;
        }
        Self {
            world: World::new(shards, limits.clone(), &budget),
            limits,
            budget,
            players: Vec::new(),
            streams: Streams::new(),
        }
    }

    fn act(&mut self, action: u8, script: &mut Script<'_>) {
        let who = script.below(self.players.len());
        let player = &mut self.players[who];
        match action % 32 {
            0 => self.connect(script),
            1 => player.client.pipe().reset(),
            2 => player.client.pipe().client_finished = true,
            3 => self.come_back(who),
            4 => player.receive(usize::from(script.byte()), &mut self.streams),
            5 => self.receive_all(),
            6 => self.let_arrive(usize::from(script.byte())),
            7 => {
                let shard = who % self.world.shards();
                self.world.tick(shard, || script.byte() & 1 == 0);
            }
            8 => {
                let most = [1, 10, 100, 1000, 5000, 20_000, 30_000, 60_000, 300_000];
                self.pass(script.pick(&most));
            }
            9 => self.answer_handler(script),
            10 => self.command(who, script),
            11 => self.restart(script),
            12 => {
                player.is_odd = true;
                player.misses_nothing = false;
                player.client.raw(&script.raw());
            }
            13 => {
                player.is_odd = true;
                player.misses_nothing = false;
                let opcode = script.pick(&[Opcode::Text, Opcode::Binary, Opcode::Ping]);
                let raw = script.raw();
                if opcode == Opcode::Ping {
                    player.client.frame(opcode, &raw);
                } else {
                    player.client.fragments(opcode, &raw);
                }
            }
            14 => player.client.close(1000 + u16::from(script.byte() % 16)),
            15 => {
                let has_handler = script.byte() & 1 == 0;
                self.world.node.replace_hubs(hubs(has_handler, 20_000));
            }
            template => self.request(who, template - 16, script),
        }
    }

    fn connect(&mut self, script: &mut Script<'_>) {
        let protocols = protocols();
        let protocol = protocols[script.below(protocols.len())].clone();
        let how = script.byte();
        if self.players.len() == MOST_PLAYERS {
            return;
        }
        let has = |bit: u8| how & (1 << bit) != 0;
        let joining = Joining {
            hub: HUB,
            protocol,
            user: has(0).then_some("ann"),
            groups: if has(1) { &[] } else { &["room"] },
            roles: if has(2) {
                &["webpubsub.joinLeaveGroup.room"]
            } else {
                Joining::default().roles
            },
            room: if has(3) { 300 } else { usize::MAX },
            write_most: if has(4) { 7 } else { usize::MAX },
            owes_most: if has(5) { 50 } else { 0 },
            ..Joining::default()
        };
        let client = self.world.connect(&joining);
        self.players.push(Player::new(client, joining));
    }

    fn come_back(&mut self, who: usize) {
        let player = &mut self.players[who];
        let is_known = self.world.node.place_of(&player.client.id).is_some();
        if !player.is_reliable() || !is_known {
            return;
        }
        player.receive(usize::MAX, &mut self.streams);
        let client = self.world.recover(&player.client, &player.joining);
        player.come_back(client);
        let own = stream_prefix(who);
        for (id, published) in &mut self.streams {
            if id.starts_with(&own) {
                published.may_be_over();
            }
        }
    }

    fn receive_all(&mut self) {
        for player in &mut self.players {
            player.receive(usize::MAX, &mut self.streams);
        }
    }

    fn let_arrive(&mut self, most: usize) {
        for player in &self.players {
            player.client.pipe().arrive(most);
        }
    }

    /// Ticks every shard until none has a reason to go on.
    fn settle(&mut self) {
        for _ in 0..MOST_TICKS {
            let mut shards = 0..self.world.shards();
            let Some(shard) = shards.find(|shard| self.world.is_runnable(*shard)) else {
                return;
            };
            self.world.tick(shard, || true);
        }
        panic!("the shards never come to rest");
    }

    /// Lets time pass with every timer in between, and nothing new from clients.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.world.now.plus(milliseconds);
        self.settle();
        while let Some(at) = self.world.next_timer().filter(|at| *at <= end) {
            self.world.now = at.max(self.world.now);
            self.settle();
        }
        self.world.now = end;
        self.settle();
    }

    fn answer_handler(&mut self, script: &mut Script<'_>) {
        let mut calls = self.world.calls.borrow_mut();
        if calls.is_empty() {
            return;
        }
        let which = script.below(calls.len());
        let call = calls.remove(which);
        drop(calls);
        let data_type = match script.byte() % 4 {
            0 => return call.ticket.answer(Ok(None)),
            1 => return drop(call),
            2 => DataType::Text,
            _ => DataType::Binary,
        };
        let reply = Reply {
            data_type,
            bytes: call.data,
            metadata: call.metadata,
        };
        call.ticket.answer(Ok(Some(reply)));
    }

    /// What an application server may ask for.
    fn command(&mut self, who: usize, script: &mut Script<'_>) {
        let group = script.pick(&GROUPS);
        let target = match script.byte() % 4 {
            0 => Target::Connection(self.players[who].client.id),
            1 => Target::Group(group.into()),
            2 => Target::User("ann".into()),
            _ => Target::All,
        };
        let reply = None;
        let groups = GroupNames::new([group], self.world.node.memory());
        let permission = script.pick(&[Permission::SendToGroup, Permission::JoinLeaveGroup]);
        let action = match script.byte() % 8 {
            0 | 1 => Action::Deliver {
                publication: self.publication(&target),
            },
            2 => Action::Join { groups, reply },
            3 | 4 => {
                for player in &mut self.players {
                    player.misses_nothing = false;
                }
                let groups = (script.byte() & 1 == 0).then_some(groups);
                Action::Leave { groups, reply }
            }
            5 => Action::Close {
                reason: Some("enough".into()),
                reply,
            },
            6 => Action::Grant {
                permission,
                group: Some(group.into()),
                reply,
            },
            _ => Action::Revoke {
                permission,
                group: (script.byte() & 1 == 0).then(|| group.into()),
                reply,
            },
        };
        let to = self.world.node.route(HUB, &target);
        let command = Command {
            hub: HUB.into(),
            target,
            selection: Selection::default(),
            action,
        };
        // Without room nothing is done, which is for the server to tell.
        let _ = self.world.node.try_send(&command, to);
    }

    fn publication(&self, target: &Target) -> std::sync::Arc<Publication> {
        let origin = match target {
            Target::Group(group) => Origin::Group {
                group: group.clone(),
                from_user: None,
            },
            _ => Origin::Server,
        };
        let (memory, bytes) = (self.world.node.memory(), b"rest".as_slice().into());
        let metadata = Metadata::default();
        Publication::with_metadata(origin, DataType::Text, bytes, memory, None, metadata)
    }

    /// A request that can be read, though not all make sense.
    fn request(&mut self, who: usize, template: u8, script: &mut Script<'_>) {
        let player = &mut self.players[who];
        let details = script.byte();
        let group = GROUPS[usize::from(details & 1)].to_owned();
        let ack_id = (details & 2 != 0).then_some(u64::from(details >> 4));
        let no_echo = (details & 4 != 0).then_some(true);
        let in_group = Group {
            group: group.clone(),
            ack_id,
        };
        let letter = ["a", "b", "c"][usize::from(details >> 3) % 3];
        let stream_id = stream_prefix(who) + letter;
        let published = self.streams.entry(stream_id.clone()).or_default();
        let request = match template {
            0 => Request::JoinGroup(in_group),
            1 => {
                player.misses_nothing = false;
                Request::LeaveGroup(in_group)
            }
            2 => Request::SendToGroup(SendToGroup {
                group,
                ack_id,
                no_echo,
                data: text("x".repeat(usize::from(script.byte()))),
                ..SendToGroup::default()
            }),
            3 => Request::Event(Event {
                event: "e".to_owned(),
                data: text("x"),
                ack_id,
                ..Event::default()
            }),
            4 | 5 => {
                let around = player.last_number.saturating_sub(3) + u64::from(details % 6);
                let sequence_id = match (template, details) {
                    (4, _) => player.last_number,
                    (_, 255) => NEVER_GIVEN,
                    _ => around,
                };
                if sequence_id != NEVER_GIVEN {
                    player.acknowledged = player.acknowledged.max(sequence_id);
                    player.misses_nothing &= sequence_id <= player.last_number;
                }
                Request::SequenceAck(SequenceAck { sequence_id })
            }
            6 | 7 => {
                if !player.is_simple() {
                    published.start_sent();
                }
                let idle = [300_000, 1, 1000, 40_000, u32::MAX];
                let idle_timeout_ms = (template == 7).then(|| script.pick(&idle));
                Request::SendToGroup(SendToGroup {
                    group,
                    ack_id,
                    no_echo,
                    stream: Some(StreamStart {
                        stream_id,
                        idle_timeout_ms,
                    }),
                    ..SendToGroup::default()
                })
            }
            8 | 9 => {
                let next = published.next();
                let place = if template == 8 {
                    next
                } else {
                    match script.byte() % 8 {
                        0 => next + 1,
                        1 => 0,
                        2 => u64::MAX,
                        back => next.saturating_sub(u64::from(back) - 2),
                    }
                };
                published.part_sent(place);
                let data = part_text(&stream_id, published.starts, place);
                Request::StreamData(StreamData {
                    stream_id,
                    stream_sequence_id: Some(place),
                    data: text(data),
                })
            }
            10 => Request::StreamData(StreamData {
                stream_id,
                // Some, but not all, is no request of a stream.
                stream_sequence_id: no_echo.map(|_| 1),
                data: None,
            }),
            11 => Request::StreamEnd(StreamEnd {
                stream_id,
                error: no_echo.map(|_| StreamEndError {
                    message: Some("m".to_owned()),
                    user_error_code: None,
                }),
            }),
            12 => Request::SetGroupState(SetGroupState {
                group,
                ack_id,
                state: no_echo.map(|_| GroupState {
                    entries: BTreeMap::from([("k".to_owned(), details.to_string())]),
                }),
            }),
            13 => Request::SubscribeGroupState(in_group),
            14 => Request::UnsubscribeGroupState(in_group),
            _ => Request::Ping(Empty {}),
        };
        player.send(request);
    }

    /// Ends the node; the next one takes its reliable sessions over.
    fn restart(&mut self, script: &mut Script<'_>) {
        let shards = 1 + script.below(3);
        let away_ms = script.pick(&[0, 1000, 29_000, 60_000]);
        self.settle();
        self.world.node.quiesce();
        self.come_to_rest();
        self.world.node.shut_down(AtShutdown::SaveSessions);
        self.settle();
        self.receive_all();
        self.pass(self.limits.close_timeout_ms + 1000);
        self.receive_all();
        let stored = serde_json::to_vec(&self.world.node.take_saved()).expect("plain data");
        self.world.assert_empty();
        let snapshot: Snapshot = serde_json::from_slice(&stored).expect("what was written");
        let births = self.world.births;
        let (limits, budget) = (self.limits.clone(), &self.budget);
        self.world = World::restarted(shards, limits, budget, snapshot, away_ms);
        self.world.births = births;
    }

    /// Waits for handlers, other shards, and clients that are closed.
    fn come_to_rest(&mut self) {
        for _ in 0..100 {
            self.world.calls.borrow_mut().clear();
            self.receive_all();
            self.settle();
            if self.world.node.is_quiet() {
                return;
            }
            self.pass(1000);
        }
        panic!("the node does not come to rest");
    }

    /// Everybody goes, and what was kept for them.
    fn end(mut self) {
        self.settle();
        self.receive_all();
        for player in &self.players {
            player.client.pipe().reset();
        }
        for _ in 0..4 {
            self.pass(self.limits.recovery_window_ms + self.limits.close_timeout_ms);
            self.world.calls.borrow_mut().clear();
        }
        self.settle();
        self.world.assert_empty();
    }
}

/// Begins the ids of a client's streams.
fn stream_prefix(who: usize) -> String {
    format!("{MARK}{who}")
}
