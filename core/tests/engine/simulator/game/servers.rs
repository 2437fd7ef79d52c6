//! What application servers ask for over REST.

use hubwire_core::ask::{Asks, ReplyTo};
use hubwire_core::command::{Action, Excluded, Question, Target};
use hubwire_core::publication::{Origin, Publication};
use hubwire_proto::message::DataType;

use super::super::actor::Actor;
use super::super::front::{Call, Job};
use super::super::model::{ActorIndex, Aim, Sender};
use super::{Game, HUBS, SERVERS, USERS, group_name};

impl Game {
    pub(super) fn call_over_rest(&mut self) {
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
        // Only a table gives names to questions; this one is not the node's, which may be full.
        let asks = Asks::new(1);
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
}
