//! Pauses: everything under way comes to its end, and then everything must be in order. The last
//! one is the end.

use std::sync::{Arc, Mutex};

use hubwire_core::Millis;
use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, Command, Question, Selection, Target};
use hubwire_core::inbox::AtShutdown;
use hubwire_core::metrics::ShardNumbers;
use hubwire_core::wheel::GRANULARITY_MS;
use hubwire_proto::role::Permission;

use super::super::actor::Actor;
use super::super::model::{ActorIndex, Aim, Fate, Sender};
use super::super::rights::Right;
use super::{Game, HUBS, group_name};

impl Game {
    /// Lets everything under way come to its end, then checks that it did.
    pub(super) fn pause(&mut self) {
        for actor in &mut self.actors {
            actor.reading = true;
        }
        self.call_back();
        // Sessions that wait for memory look again after a while, each at its own time.
        for round in 0..500 {
            self.settle();
            self.world.now = self.world.now.plus(20);
            if round > 4 && self.world.node.numbers().parked_connections == 0 {
                break;
            }
        }
        self.settle();
        self.end_windows();
        self.check_strangers();
        self.check_sessions();
        self.check_requests();
        self.check_publications();
        self.check_streams();
        self.check_group_states();
        self.check_lists();
        self.check_rights();
        self.model.at_pause();
        self.handlers.settle();
        self.swept_joins.clear();
        self.swept_leaves.clear();
        self.swept_close = false;
        self.world.now = self.world.now.plus(self.random.below(20_000) as u64);
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 200_000, "the node never comes to rest");
            let mut progress = false;
            for index in 0..self.actors.len() {
                self.actors[index].client.pipe().arrive(usize::MAX);
                if let Some(reliable) = &self.actors[index].reliable {
                    for ghost in &reliable.ghosts {
                        ghost.pipe().arrive(usize::MAX);
                    }
                }
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

    /// Brings most of those back that are away.
    fn call_back(&mut self) {
        for index in 0..self.actors.len() {
            if self.actors[index].is_away() && self.random.chance(85) {
                self.come_back(index);
            }
        }
    }

    /// Timers may be a little late: lets those fire whose time has come.
    fn end_windows(&mut self) {
        let is_ending = |actor: &Actor, now: Millis| {
            let reliable = actor.reliable.as_ref().filter(|_| !actor.ended);
            let until = reliable.and_then(|reliable| reliable.lease.may_until());
            until.is_some_and(|until| until <= now && now < until.plus(GRANULARITY_MS))
        };
        while self
            .actors
            .iter()
            .any(|actor| is_ending(actor, self.world.now))
        {
            self.world.now = self.world.now.plus(GRANULARITY_MS);
            self.settle();
        }
    }

    /// Checks that the sessions of reliable clients are there or not, as they must be.
    fn check_sessions(&mut self) {
        for index in 0..self.actors.len() {
            let actor = &self.actors[index];
            if actor.reliable.is_none() || actor.ended {
                continue;
            }
            let target = Target::Connection(actor.client.id);
            let answers = self.ask(actor.hub, &target, Question::Recoverable);
            let is_there = matches!(answers[..], [Answer::Exists(true)]);
            let now = self.world.now;
            let actor = &mut self.actors[index];
            let Some(reliable) = &actor.reliable else {
                continue;
            };
            let must = actor.is_live() && !actor.may_end && reliable.must_be_there(now);
            assert!(
                is_there || !must,
                "the session of {actor:?} is gone at {now:?}"
            );
            let until = reliable.lease.may_until();
            let may = until.is_none_or(|until| until > now);
            assert!(
                may || !is_there,
                "the session of {actor:?} is still there at {now:?}"
            );
            actor.ended |= !is_there;
            if actor.is_live() {
                actor.may_end = self.plan.may_end(true);
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
        assert!(
            self.plan.small_replay || numbers.closed_replay_full == 0,
            "there was room for unacknowledged messages"
        );
        for actor in &mut self.actors {
            if !actor.is_present() {
                continue;
            }
            assert_eq!(
                actor.requests.pending().next().map(|(id, _)| id),
                None,
                "actor {} waits for acks: {:?}",
                actor.index,
                actor.requests
            );
            assert!(!actor.must_end, "actor {} missed a reply", actor.index);
            actor.requests.at_rest();
            if let Some(reliable) = &mut actor.reliable {
                reliable.numbers.at_rest();
                assert!(
                    reliable.lease.has_one_transport(),
                    "an earlier transport of actor {} is still there",
                    actor.index
                );
                reliable.ghosts.clear();
            }
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
            let known = self.actors[sender].is_present() && publication.ack_id.is_none();
            publication.fate = if known { Fate::Accepted } else { Fate::Unknown };
        }
        let now = self.world.now;
        for actor in &mut self.actors {
            if !actor.is_live() {
                continue;
            }
            let missing = self.model.missing(actor.index, actor.whereabouts(), now);
            if !actor.is_present() {
                // It gets them when it comes back.
                let owed = actor.reliable.as_mut().map(|reliable| &mut reliable.owed);
                owed.unwrap().extend(missing);
                continue;
            }
            let owed = actor
                .reliable
                .iter_mut()
                .flat_map(|found| found.owed.drain(..));
            let (model, of) = (&self.model, actor.index);
            let missed = owed.filter(|index| !model.is_settled(*index, of, now));
            let missing: Vec<usize> = missing.into_iter().chain(missed).collect();
            assert!(
                missing.is_empty(),
                "publications never reached actor {of}: {missing:?}, the first {:?}",
                self.model.publications[missing[0]]
            );
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
            // Some may be ended for memory while the list is made.
            let had_ended: Vec<bool> = self.actors.iter().map(|actor| actor.ended).collect();
            let listed = self.list(&target);
            for actor in self.actors.iter().filter(|actor| actor.hub == 0) {
                let id = actor.client.id.text();
                let (must, may) = (actor.is_present(), !had_ended[actor.index]);
                let (must, may) = match aim {
                    Aim::Group(group) => (
                        must && self.model.is_certain_member(actor.index, group),
                        may && self.model.may_be_member(actor.index, group),
                    ),
                    _ => (must, may),
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
            let mut page = Vec::new();
            for answer in self.ask(0, target, Question::List { after, limit }) {
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

    /// Asks as a REST call does; nobody answers for nobody.
    fn ask(&mut self, hub: usize, target: &Target, question: Question) -> Vec<Answer> {
        let to = self.world.node.route(HUBS[hub], target);
        if to.is_empty() {
            return Vec::new();
        }
        let completed = Arc::new(Mutex::new(None));
        let result = Arc::clone(&completed);
        let on_complete =
            Box::new(move |answers: Vec<Answer>| *result.lock().unwrap() = Some(answers));
        let reply = self.world.node.asks().open(to.len(), on_complete).unwrap();
        let command = Command {
            hub: HUBS[hub].into(),
            target: target.clone(),
            selection: Selection::default(),
            action: Action::Ask { question, reply },
        };
        self.world.node.try_send(&command, to).unwrap();
        self.settle();
        completed.lock().unwrap().take().unwrap()
    }

    /// Compares every right that is certain with what the node says, and learns the others.
    fn check_rights(&mut self) {
        let live: Vec<ActorIndex> = self
            .actors
            .iter()
            .filter(|actor| actor.is_present())
            .map(|actor| actor.index)
            .collect();
        for index in live {
            for (right, permission) in [
                (Right::Join, Permission::JoinLeaveGroup),
                (Right::Send, Permission::SendToGroup),
            ] {
                let group = self.random.below(self.plan.groups);
                let now = self.model.stamp();
                let expected = self.actors[index].may(right, group, now, &self.model);
                let question = Question::Allows {
                    permission,
                    group: Some(group_name(group).into()),
                };
                let target = Target::Connection(self.actors[index].client.id);
                let answers = self.ask(self.actors[index].hub, &target, question);
                let [Answer::Allows(allowed)] = answers[..] else {
                    panic!("one shard was asked: {answers:?}")
                };
                // The node may have been short of memory meanwhile.
                if !self.actors[index].is_present() {
                    break;
                }
                assert!(
                    expected.is_none_or(|expected| expected == allowed),
                    "actor {index} {right:?} {group}: {allowed}, not {expected:?}"
                );
                let now = self.model.stamp();
                self.model.rights.found((index, right, group), allowed, now);
            }
        }
    }

    pub(super) fn end(mut self) -> ShardNumbers {
        for actor in &mut self.actors {
            actor.may_end = true;
        }
        let shut_down = self.random.chance(40);
        if shut_down {
            self.world.node.shut_down(AtShutdown::EndSessions);
        }
        for index in 0..self.actors.len() {
            let way = self.random.below(4);
            let actor = &mut self.actors[index];
            if shut_down || !actor.is_up() {
                actor.vanished |= !shut_down;
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
            let late = self.actors.iter().find(|actor| actor.is_present());
            assert!(
                late.is_none(),
                "{:?} was not told of the shutdown",
                late.map(|actor| actor.index)
            );
        }
        // Five silent intervals of the longest kind and a closing handshake without an answer.
        for _ in 0..16 + self.plan.limits.recovery_window_ms / 10_000 + 1 {
            self.world.now = self.world.now.plus(10_000);
            self.settle();
        }
        self.world.assert_empty();
        self.counted.add(&self.world.node.numbers());
        self.counted
    }
}
