//! The game itself: random steps, pauses at which everything must be in order, and an end after
//! which nothing may be left.

mod clients;
mod faults;
mod group_states;
mod pauses;
mod reload;
mod restart;
mod servers;
mod streams;

use hubwire_core::handler::Reply;
use hubwire_core::metrics::ShardNumbers;
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;

use super::actor::{Actor, Circumstances, Decision, Sent, Speech};
use super::front::Front;
use super::model::{ActorIndex, Executed, GroupIndex, Model};
use super::plan::Plan;
use super::random::Random;
use crate::support::client::Client;
use crate::support::world::World;
use reload::Handlers;

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
    handlers: Handlers,
    /// Clients that asked for a session where there is none.
    strangers: Vec<Client>,
    /// The node ends, to be continued by another one.
    node_stops: bool,
    /// What earlier nodes counted.
    counted: ShardNumbers,
    // Calls for many since the last pause, which may reach newcomers too.
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
            handlers: Handlers::default(),
            strangers: Vec::new(),
            node_stops: false,
            counted: ShardNumbers::default(),
            swept_joins: Vec::new(),
            swept_leaves: Vec::new(),
            swept_close: false,
        }
    }

    /// Plays to the end; returns what the node counted.
    pub(crate) fn play(mut self) -> ShardNumbers {
        for _ in 0..self.plan.pauses {
            for _ in 0..self.plan.steps {
                self.step();
            }
            if self.random.chance(self.plan.restart_percent) {
                self.restart();
            }
            self.pause();
        }
        self.end()
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..35 => self.tick_some_shard(),
            35..56 => self.move_network(),
            56..60 => self.meet_a_fault(),
            60..84 => self.act(),
            84..90 => self.answer_some_call(),
            90..98 => self.call_over_rest(),
            _ if self.random.chance(20) => self.reload(),
            _ => {
                // Seldom long enough for timers.
                let most = if self.random.chance(10) { 2000 } else { 20 };
                self.world.now = self.world.now.plus(self.random.below(most) as u64);
            }
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
        if let Some(reliable) = &mut self.actors[index].reliable {
            for ghost in &reliable.ghosts {
                ghost.pipe().arrive(self.random.below(most_in + 1));
            }
        }
        if self.actors[index].reading {
            self.receive(index, most_out);
        }
    }

    fn receive(&mut self, index: ActorIndex, most: usize) -> bool {
        let circumstances = Circumstances {
            now: self.world.now,
            few_groups: self.plan.few_groups,
            no_handler: self.handlers.may_be_off(),
            small_replay: self.plan.small_replay,
            node_stops: self.node_stops,
        };
        self.actors[index].receive(most, &mut self.model, &mut self.events, circumstances)
    }

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
        assert!(!self.events[index].never, "event {index} has no handler");
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
        if let Some(ack_id) = self.events[index].ack_id
            && decision != Decision::Fail
        {
            let actor = self.events[index].actor;
            self.model.executed(actor, ack_id, Executed::Event(index));
        }
        match decision {
            Decision::Reply => {
                call.ticket.answer(Ok(Some(Reply {
                    data_type: DataType::Text,
                    bytes: text.into_bytes().into(),
                    metadata: Metadata::default(),
                })));
            }
            Decision::NoReply => call.ticket.answer(Ok(None)),
            Decision::Fail => {
                actor.may_end |= actor.speech != Speech::Json;
                drop(call.ticket);
            }
        }
    }
}
