//! The game itself: random steps, rests at which everything must be in order, and an end after
//! which nothing may be left.

use std::sync::Arc;

use hubwire_core::Millis;
use hubwire_core::ask::{Answer, ReplyTo};
use hubwire_core::command::{Action, Command, Excluded, Question, Target};
use hubwire_core::handler::Reply;
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::session::Protocol;
use hubwire_proto::message::DataType;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::ws::Opcode;

use super::actor::{Actor, Asked, Decision, Sent, Speech};
use super::front::{Call, Front, Job};
use super::model::{ActorIndex, Aim, Fate, GroupIndex, Model, Sender};
use super::plan::Plan;
use super::random::Random;
use crate::support::client::json;
use crate::support::world::{Joining, World};

const HUBS: [&str; 2] = ["chat", "den"];
const USERS: [&str; 3] = ["ann", "bob", "cy"];
const SERVERS: usize = 2;

pub(crate) struct Game {
    random: Random,
    plan: Plan,
    world: World,
    model: Model,
    actors: Vec<Actor>,
    events: Vec<Sent>,
    front: Front,
    // Calls for many since the last rest, which may reach newcomers too.
    swept_joins: Vec<(usize, GroupIndex)>,
    swept_leaves: Vec<(usize, GroupIndex)>,
    swept_close: bool,
}

fn group_name(group: GroupIndex) -> String {
    format!("g{group}")
}

impl Game {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let world = World::new(plan.shards, plan.limits.clone(), &plan.budget);
        Self {
            random: Random::new(seed),
            plan,
            world,
            model: Model::default(),
            actors: Vec::new(),
            events: Vec::new(),
            front: Front::new(SERVERS),
            swept_joins: Vec::new(),
            swept_leaves: Vec::new(),
            swept_close: false,
        }
    }

    pub(crate) fn play(mut self) {
        for _ in 0..self.plan.rests {
            for _ in 0..self.plan.steps {
                self.step();
            }
            self.rest();
        }
        self.end();
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..35 => self.tick_some_shard(),
            35..60 => self.move_network(),
            60..84 => self.act(),
            84..90 => self.answer_some_call(),
            90..98 => self.call_over_rest(),
            _ => self.world.now = self.world.now.plus(self.random.below(20) as u64),
        }
    }

    fn tick_some_shard(&mut self) {
        let runnable: Vec<_> = (0..self.world.shards())
            .filter(|shard| self.world.is_runnable(*shard))
            .collect();
        if !runnable.is_empty() {
            let shard = self.random.pick(&runnable);
            let random = &mut self.random;
            self.world.tick(shard, || random.chance(80));
        }
    }

    fn move_network(&mut self) {
        if self.actors.is_empty() {
            return;
        }
        let index = self.random.below(self.actors.len());
        let (most_in, most_out) = (
            self.random.pick(&[1, 10, 60, 1000, 1 << 20]),
            self.random.pick(&[1, 30, 500, 1 << 20]),
        );
        self.actors[index].client.pipe().arrive(most_in);
        if self.actors[index].reading {
            self.receive(index, most_out);
        }
    }

    fn receive(&mut self, index: ActorIndex, most: usize) -> bool {
        self.actors[index].receive(
            most,
            &mut self.model,
            &mut self.events,
            self.plan.few_groups,
        )
    }

    // What clients do.

    fn act(&mut self) {
        let live: Vec<_> = self
            .actors
            .iter()
            .filter(|actor| actor.is_live())
            .map(|actor| actor.index)
            .collect();
        if live.is_empty() || (live.len() < self.plan.actors && self.random.chance(20)) {
            return self.connect();
        }
        let index = self.random.pick(&live);
        match self.actors[index].speech {
            Speech::Json => match self.random.below(100) {
                0..16 => self.join(index),
                16..22 => self.leave(index),
                22..62 => self.publish(index),
                62..78 => self.send_event(index),
                78..84 => self.ping(index),
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
        let protocol = match speech {
            Speech::Json => Protocol::Json,
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
            ..defaults
        });
        let mut actor = Actor::new(index, client, hub, user, speech);
        actor.only = only;
        actor.initial = initial;
        actor.may_end = self.plan.slow || self.plan.short_of_memory || self.swept_close;
        self.actors.push(actor);
    }

    /// An ack id for the next request, used before in some cases.
    fn ack_id(&mut self, index: ActorIndex, percent: usize) -> Option<u64> {
        let actor = &mut self.actors[index];
        if !self.random.chance(percent) {
            return None;
        }
        if self.random.chance(5) {
            return Some(1 + self.random.below(usize::try_from(actor.next_ack).unwrap()) as u64);
        }
        actor.next_ack += 1;
        Some(actor.next_ack - 1)
    }

    fn send_text(&mut self, index: ActorIndex, text: &str) {
        let fragmented = self.random.chance(10);
        let actor = &mut self.actors[index];
        if fragmented {
            actor.frame_pings += 1;
            actor.client.fragments(Opcode::Text, text.as_bytes());
        } else {
            actor.client.text(text);
        }
    }

    fn expect_ack(&mut self, index: ActorIndex, ack_id: Option<u64>, asked: Asked) {
        if let Some(ack_id) = ack_id {
            self.actors[index].pending.push_back((ack_id, asked));
        }
    }

    fn join(&mut self, index: ActorIndex) {
        let group = self.random.below(self.plan.groups);
        let ack_id = self.ack_id(index, 85);
        self.send_text(index, &json::join(&group_name(group), ack_id));
        let change = self.model.join_requested(index, group);
        let allowed = self.actors[index].may_use(group);
        self.expect_ack(
            index,
            ack_id,
            Asked::Join {
                group,
                change,
                allowed,
            },
        );
    }

    fn leave(&mut self, index: ActorIndex) {
        let group = self.random.below(self.plan.groups);
        let ack_id = self.ack_id(index, 85);
        self.send_text(index, &json::leave(&group_name(group), ack_id));
        let change = self.model.leave_requested(index, group);
        let allowed = self.actors[index].may_use(group);
        self.expect_ack(
            index,
            ack_id,
            Asked::Leave {
                group,
                change,
                allowed,
            },
        );
    }

    fn publish(&mut self, index: ActorIndex) {
        let actor = &self.actors[index];
        let is_json = actor.speech == Speech::Json;
        let hub = actor.hub;
        let (group, no_echo) = match actor.speech {
            Speech::SimpleGroup { group, no_echo } => (group, no_echo),
            _ => (self.random.below(self.plan.groups), self.random.chance(30)),
        };
        let ack_id = if is_json {
            self.ack_id(index, 70)
        } else {
            None
        };
        let excluded = if no_echo { vec![index] } else { Vec::new() };
        let number = self.model.publish(
            Sender::Client(index),
            hub,
            Aim::Group(group),
            excluded,
            ack_id.is_some(),
        );
        let allowed = self.actors[index].may_use(group);
        let text = format!("p{number}.{}", self.padding());
        if is_json {
            if !allowed && ack_id.is_none() {
                self.model.publications[number].fate = Fate::Rejected;
            }
            self.send_text(
                index,
                &json::publish(&group_name(group), &text, no_echo, ack_id),
            );
            self.expect_ack(
                index,
                ack_id,
                Asked::Publish {
                    index: number,
                    allowed,
                },
            );
        } else {
            self.send_text(index, &text);
        }
    }

    fn padding(&mut self) -> String {
        let length = match self.random.below(100) {
            0..80 => self.random.below(20),
            80..98 => self.random.below(200),
            _ if self.plan.large => self.random.between(60_000, 140_000),
            _ => 130,
        };
        "x".repeat(length)
    }

    fn send_event(&mut self, index: ActorIndex) {
        let number = self.events.len();
        self.events.push(Sent {
            actor: index,
            decision: None,
            replied: false,
        });
        let text = format!("e{number}.");
        if self.actors[index].speech == Speech::Json {
            let ack_id = self.ack_id(index, 80);
            self.send_text(index, &json::event(&text, ack_id));
            self.expect_ack(index, ack_id, Asked::Event { index: number });
        } else {
            self.send_text(index, &text);
        }
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
                actor.client.text(self.random.pick(&malformed));
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

    // What event handlers do.

    fn answer_some_call(&mut self) {
        let waiting = self.world.calls.borrow().len();
        if waiting == 0 {
            return;
        }
        let call = self
            .world
            .calls
            .borrow_mut()
            .swap_remove(self.random.below(waiting));
        let text = String::from_utf8(call.data.into_vec()).unwrap();
        let index: usize = text[1..].trim_end_matches('.').parse().unwrap();
        let actor = &mut self.actors[self.events[index].actor];
        assert!(
            self.events[index].decision.is_none(),
            "event {index} was handed out twice"
        );
        assert!(
            actor.last_call < Some(index),
            "events of a client come in order"
        );
        assert_eq!(call.ticket.connection(), actor.client.id);
        actor.last_call = Some(index);
        let decision = match self.random.below(10) {
            0..6 => Decision::Reply,
            6..9 => Decision::NoReply,
            _ => Decision::Fail,
        };
        self.events[index].decision = Some(decision);
        match decision {
            Decision::Reply => {
                call.ticket.answer(Ok(Some(Reply {
                    data_type: DataType::Text,
                    bytes: text.into_bytes().into(),
                })));
            }
            Decision::NoReply => call.ticket.answer(Ok(None)),
            Decision::Fail => {
                actor.may_end |= actor.speech != Speech::Json;
                drop(call.ticket);
            }
        }
    }

    // What application servers do.

    fn call_over_rest(&mut self) {
        let woken = self.world.front_door.take();
        if self.random.chance(70) {
            let server = self.random.below(SERVERS);
            if let Some(job) = self.random_job(server) {
                self.front.call(server, job);
            }
        }
        self.front
            .step(&self.world.node, woken, self.world.now, &mut self.model);
    }

    fn random_job(&mut self, server: usize) -> Option<Job> {
        if self.actors.is_empty() {
            return None;
        }
        let hub = usize::from(self.random.chance(15));
        let aim = match self.random.below(10) {
            0..2 => Aim::All,
            2..6 => Aim::Group(self.random.below(self.plan.groups)),
            6..8 => Aim::User(self.random.below(USERS.len())),
            _ => Aim::Actor(self.random.below(self.actors.len())),
        };
        let hub = if let Aim::Actor(actor) = aim {
            self.actors[actor].hub
        } else {
            hub
        };
        let concerned: Vec<_> = self
            .actors
            .iter()
            .filter(|actor| actor.hub == hub && self.may_concern(aim, actor))
            .collect();
        let concerned: Vec<ActorIndex> = concerned.into_iter().map(|actor| actor.index).collect();
        let deadline = self.world.now.plus(if self.random.chance(15) {
            self.random.below(100) as u64
        } else {
            1 << 40
        });
        let group = self.random.below(self.plan.groups);
        let reply = None;
        let (action, call) = match self.random.below(100) {
            0..55 => {
                let excluded: Vec<_> = (0..self.random.below(3))
                    .map(|_| self.random.below(self.actors.len()))
                    .collect();
                let ids = excluded
                    .iter()
                    .map(|actor| self.actors[*actor].client.id)
                    .collect();
                let index = self
                    .model
                    .publish(Sender::Rest(server), hub, aim, excluded, false);
                let payload = format!("p{index}.{}", self.padding());
                let origin = match aim {
                    Aim::Group(group) => Origin::Group {
                        group: group_name(group).into(),
                        from_user: None,
                    },
                    _ => Origin::Server,
                };
                let memory = self.world.node.memory();
                let publication =
                    Publication::new(origin, DataType::Text, payload.into_bytes().into(), memory);
                (
                    Action::Deliver {
                        publication,
                        excluded: Excluded::from_ids(ids),
                    },
                    Call::Send { index },
                )
            }
            55..68 => {
                self.swept_joins.push((hub, group));
                let changes = concerned
                    .iter()
                    .map(|actor| (*actor, group, self.model.join_requested(*actor, group)));
                let call = Call::Join {
                    changes: changes.collect(),
                    by_id: matches!(aim, Aim::Actor(_)),
                };
                (
                    Action::Join {
                        group: group_name(group).into(),
                        reply,
                    },
                    call,
                )
            }
            68..76 => {
                let every = self.random.chance(30);
                let groups = if every {
                    0..self.plan.groups
                } else {
                    group..group + 1
                };
                self.swept_leaves
                    .extend(groups.clone().map(|group| (hub, group)));
                let mut changes = Vec::new();
                for actor in concerned {
                    changes.extend(
                        groups
                            .clone()
                            .map(|group| (actor, group, self.model.leave_requested(actor, group))),
                    );
                }
                // Of a group's members only those of the group itself are known to be concerned.
                if let Aim::Group(aim) = aim {
                    changes.retain(|(_, group, _)| *group == aim);
                }
                let group = (!every).then(|| group_name(group).into());
                (Action::Leave { group, reply }, Call::Leave { changes })
            }
            76..82 => {
                let excluded: Vec<_> = (0..self.random.below(3))
                    .map(|_| self.random.below(self.actors.len()))
                    .collect();
                self.swept_close = true;
                for actor in concerned {
                    self.actors[actor].may_end |= !excluded.contains(&actor);
                }
                let ids = excluded
                    .iter()
                    .map(|actor| self.actors[*actor].client.id)
                    .collect();
                let reason = self.random.chance(50).then(|| "enough".into());
                (
                    Action::Close {
                        reason,
                        excluded: Excluded::from_ids(ids),
                        reply,
                    },
                    Call::Other,
                )
            }
            _ => {
                let question = if self.random.chance(50) {
                    Question::Exists
                } else {
                    Question::List {
                        after: None,
                        limit: self.random.between(1, 4),
                    }
                };
                // A reply of its own is put in when it is sent.
                (
                    Action::Ask {
                        question,
                        reply: self.placeholder(),
                    },
                    Call::Other,
                )
            }
        };
        Some(Job {
            hub: HUBS[hub].into(),
            target: self.target(aim),
            action,
            call,
            deadline,
        })
    }

    fn placeholder(&self) -> ReplyTo {
        // The table may be full; a question that is cancelled at once still has a name.
        let asks = hubwire_core::ask::Asks::new(1);
        asks.open(1, Box::new(|_| ())).unwrap()
    }

    /// Whether a command for `aim` that is sent now or later may reach the actor.
    fn may_concern(&self, aim: Aim, actor: &Actor) -> bool {
        match aim {
            // Who joins until the command is carried out is concerned too.
            Aim::All | Aim::Group(_) => true,
            Aim::User(user) => actor.user == Some(user),
            Aim::Actor(index) => actor.index == index,
        }
    }

    fn target(&self, aim: Aim) -> Target {
        match aim {
            Aim::All => Target::All,
            Aim::Group(group) => Target::Group(group_name(group).into()),
            Aim::User(user) => Target::User(USERS[user].into()),
            Aim::Actor(actor) => Target::Connection(self.actors[actor].client.id),
        }
    }

    // Rests.

    /// Lets everything under way come to its end, then checks that it did.
    fn rest(&mut self) {
        for actor in &mut self.actors {
            actor.reading = true;
        }
        for _ in 0..4 {
            self.settle();
            self.world.now = self.world.now.plus(20);
        }
        self.settle();
        self.check_requests();
        self.check_publications();
        self.check_lists();
        self.model.at_rest();
        self.swept_joins.clear();
        self.swept_leaves.clear();
        self.swept_close = false;
        self.world.now = self.world.now.plus(self.random.below(20_000) as u64);
        self.settle();
    }

    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 200_000, "the node never comes to rest");
            let mut progress = false;
            for index in 0..self.actors.len() {
                self.actors[index].client.pipe().arrive(usize::MAX);
                progress |= self.receive(index, usize::MAX);
            }
            for shard in 0..self.world.shards() {
                if self.world.is_runnable(shard) {
                    self.world.tick(shard, || true);
                    progress = true;
                }
            }
            if !self.world.calls.borrow().is_empty() {
                self.answer_some_call();
                progress = true;
            }
            let woken = self.world.front_door.take();
            progress |= self
                .front
                .step(&self.world.node, woken, self.world.now, &mut self.model);
            if !progress {
                return;
            }
        }
    }

    fn check_requests(&mut self) {
        assert!(
            self.front.is_idle(),
            "the front door was forgotten: {}",
            self.front.describe()
        );
        let numbers = self.world.node.numbers();
        assert_eq!(numbers.parked_connections, 0, "sessions still wait");
        assert!(
            self.plan.slow || numbers.closed_slow_clients == 0,
            "nobody was slow"
        );
        assert!(
            self.plan.short_of_memory || numbers.closed_for_memory == 0,
            "there was memory"
        );
        for actor in &mut self.actors {
            if !actor.is_live() {
                continue;
            }
            assert!(
                actor.pending.is_empty(),
                "actor {} waits for acks: {:?}",
                actor.index,
                actor.pending
            );
            assert_eq!(
                (actor.pings, actor.frame_pings),
                (0, 0),
                "actor {} waits for pongs",
                actor.index
            );
            actor.connected.get_or_insert_with(|| self.model.stamp());
            for (group, change) in std::mem::take(&mut actor.initial) {
                self.model
                    .join_ended(actor.index, group, change, !self.plan.few_groups);
            }
        }
    }

    fn check_publications(&mut self) {
        for publication in &mut self.model.publications {
            if publication.fate != Fate::Open {
                continue;
            }
            let Sender::Client(sender) = publication.sender else {
                panic!("the front door is idle")
            };
            let known = self.actors[sender].is_live() && !publication.has_ack;
            publication.fate = if known { Fate::Accepted } else { Fate::Unknown };
        }
        for actor in self.actors.iter().filter(|actor| actor.is_live()) {
            self.model.assert_complete(actor.index, actor.whereabouts());
        }
        // What is complete need not be looked at again.
        for publication in &mut self.model.publications {
            if publication.fate == Fate::Accepted {
                publication.fate = Fate::Unknown;
            }
        }
    }

    fn check_lists(&mut self) {
        let group = self.random.below(self.plan.groups);
        for (aim, target) in [
            (Aim::All, Target::All),
            (Aim::Group(group), Target::Group(group_name(group).into())),
        ] {
            let listed = self.list(&target);
            for actor in self.actors.iter().filter(|actor| actor.hub == 0) {
                let id = actor.client.id.text();
                let (must, may) = match aim {
                    Aim::Group(group) => {
                        let must =
                            actor.is_live() && self.model.is_certain_member(actor.index, group);
                        (
                            must,
                            !actor.ended && self.model.may_be_member(actor.index, group),
                        )
                    }
                    _ => (actor.is_live(), !actor.ended),
                };
                let is = listed.iter().any(|listed| listed == id.as_str());
                assert!(
                    is || !must,
                    "actor {} is missing in the list for {target:?}: {actor:?} {}",
                    actor.index,
                    self.model.describe(actor.index)
                );
                assert!(
                    may || !is,
                    "actor {} must not be in the list for {target:?}: {actor:?} {}",
                    actor.index,
                    self.model.describe(actor.index)
                );
            }
        }
    }

    /// Pages through a list as a REST call does.
    fn list(&mut self, target: &Target) -> Vec<String> {
        let limit = self.random.between(1, 5);
        let mut listed: Vec<String> = Vec::new();
        let mut after = None;
        loop {
            let to = self.world.node.route(HUBS[0], target);
            let completed = Arc::new(std::sync::Mutex::new(None));
            if to.is_empty() {
                return listed;
            }
            let result = Arc::clone(&completed);
            let on_complete =
                Box::new(move |answers: Vec<Answer>| *result.lock().unwrap() = Some(answers));
            let reply = self.world.node.asks().open(to.len(), on_complete).unwrap();
            let action = Action::Ask {
                question: Question::List { after, limit },
                reply,
            };
            let command = Command {
                hub: HUBS[0].into(),
                target: target.clone(),
                action,
            };
            self.world.node.try_send(&command, to).unwrap();
            self.settle();
            let answers = completed.lock().unwrap().take().unwrap();
            let mut page = Vec::new();
            for answer in answers {
                let Answer::Page(part) = answer else {
                    panic!("a page was asked for: {answer:?}")
                };
                assert!(part.len() <= limit);
                assert!(part.is_sorted_by_key(|listed| listed.connection.text()));
                page.extend(part.into_iter().map(|listed| listed.connection.text()));
            }
            page.sort_unstable();
            page.truncate(limit);
            assert!(after.is_none_or(|after| page.first().is_none_or(|first| *first > after)));
            listed.extend(page.iter().map(|id| id.as_str().to_owned()));
            match page.last() {
                Some(last) => after = Some(*last),
                None => return listed,
            }
        }
    }

    // The end.

    fn end(mut self) {
        for actor in &mut self.actors {
            actor.may_end = true;
        }
        let shut_down = self.random.chance(40);
        if shut_down {
            self.world.node.shut_down();
        }
        for index in 0..self.actors.len() {
            let way = self.random.below(4);
            let actor = &mut self.actors[index];
            if shut_down || !actor.is_live() {
                continue;
            }
            match way {
                0 => actor.client.close(1000),
                1 => actor.client.pipe().reset(),
                2 => actor.client.pipe().client_finished = true,
                // The server finds out by itself.
                _ => actor.vanished = true,
            }
            actor.silent = true;
        }
        self.settle();
        if shut_down {
            let late = self.actors.iter().find(|actor| actor.is_live());
            assert!(
                late.is_none(),
                "{:?} was not told of the shutdown",
                late.map(|actor| actor.index)
            );
        }
        // Four silent intervals and a closing handshake without an answer.
        for _ in 0..9 {
            self.world.now = self.world.now.plus(10_000);
            self.settle();
        }
        assert!(self.world.now > Millis(0));
        self.world.assert_empty();
    }
}
