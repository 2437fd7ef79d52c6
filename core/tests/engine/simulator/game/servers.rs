//! What application servers ask for over REST.

use std::sync::Arc;

use hubwire_core::Millis;
use hubwire_core::ask::{Asks, ReplyTo};
use hubwire_core::command::{Action, Excluded, GroupNames, Question, Selection, Target};
use hubwire_core::publication::{Origin, Publication};
use hubwire_proto::filter::Filter;
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::role::Permission;

use super::super::actor::{Actor, Speech};
use super::super::front::{Call, Job};
use super::super::model::{ActorIndex, Aim, GroupIndex, Picks, Sender, Wanted};
use super::super::rights::Right;
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
        let picks = self.picks();
        let concerned: Vec<ActorIndex> = self
            .actors
            .iter()
            .filter(|actor| actor.hub == hub && self.may_concern(aim, actor))
            .filter(|actor| picks.judge(actor.index, actor.whereabouts()) != Some(false))
            .map(|actor| actor.index)
            .collect();
        let deadline = self.world.now.plus(if self.random.chance(15) {
            self.random.below(100) as u64
        } else {
            1 << 40
        });
        let selection = self.selection(&picks);
        let (action, call) = match self.random.below(100) {
            0..50 => self.send(server, hub, aim, picks),
            50..63 => self.join_many(hub, aim, &picks, &concerned),
            63..71 => self.leave_many(hub, aim, &picks, &concerned),
            71..77 => {
                self.swept_close = true;
                for actor in concerned {
                    self.actors[actor].may_end = true;
                }
                let reason = self.random.chance(50).then(|| "enough".into());
                let reply = None;
                (Action::Close { reason, reply }, Call::Other)
            }
            77..90 => return self.change_right(deadline),
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
                let reply = self.placeholder();
                (Action::Ask { question, reply }, Call::Other)
            }
        };
        Some(Job {
            hub: HUBS[hub].into(),
            target: self.target(aim),
            selection,
            action,
            call,
            deadline,
        })
    }

    fn send(&mut self, server: usize, hub: usize, aim: Aim, picks: Picks) -> (Action, Call) {
        let index = self
            .model
            .publish(Sender::Rest(server), hub, aim, picks, None);
        let payload = format!("p{index}.{}", self.padding()).into_bytes().into();
        let origin = match aim {
            Aim::Group(group) => Origin::Group {
                group: group_name(group).into(),
                from_user: None,
            },
            _ => Origin::Server,
        };
        let memory = self.world.node.memory();
        let expires_at = self
            .random
            .chance(25)
            .then(|| self.world.now.plus(self.random.below(300) as u64));
        self.model.publications[index].expires_at = expires_at;
        let publication = Publication::with_metadata(
            origin,
            DataType::Text,
            payload,
            memory,
            expires_at,
            Metadata::default(),
        );
        (Action::Deliver { publication }, Call::Send { index })
    }

    fn join_many(
        &mut self,
        hub: usize,
        aim: Aim,
        picks: &Picks,
        concerned: &[ActorIndex],
    ) -> (Action, Call) {
        let groups = self.some_groups();
        let mut changes = Vec::new();
        for group in &groups {
            self.swept_joins.push((hub, *group));
            for actor in concerned {
                let change = self.model.join_requested(*actor, *group);
                changes.push((*actor, *group, change));
            }
        }
        let call = Call::Join {
            changes,
            certain: matches!(aim, Aim::Actor(_)) && picks.wanted.is_none(),
        };
        let groups = self.group_names(&groups);
        let reply = None;
        (Action::Join { groups, reply }, call)
    }

    fn leave_many(
        &mut self,
        hub: usize,
        aim: Aim,
        picks: &Picks,
        concerned: &[ActorIndex],
    ) -> (Action, Call) {
        let every = self.random.chance(30);
        let groups = if every {
            (0..self.plan.groups).collect()
        } else {
            self.some_groups()
        };
        let mut changes = Vec::new();
        for group in &groups {
            self.swept_leaves.push((hub, *group));
            for actor in concerned {
                let change = self.model.leave_requested(*actor, *group);
                changes.push((*actor, *group, change));
            }
        }
        // Whoever's groups decide is not known to be concerned, and of a group's members only
        // those of the group itself.
        match (picks.wanted, aim) {
            (Some(Wanted::Member(_) | Wanted::Stranger(_)), _) => changes.clear(),
            (_, Aim::Group(aim)) => changes.retain(|(_, group, _)| *group == aim),
            _ => {}
        }
        let groups = (!every).then(|| self.group_names(&groups));
        let reply = None;
        (Action::Leave { groups, reply }, Call::Leave { changes })
    }

    /// Grants a client something, or revokes it.
    fn change_right(&mut self, deadline: Millis) -> Option<Job> {
        let actor = self.random.below(self.actors.len());
        if self.actors[actor].speech != Speech::Json {
            return None;
        }
        let (right, permission) = self.random.pick(&[
            (Right::Join, Permission::JoinLeaveGroup),
            (Right::Send, Permission::SendToGroup),
        ]);
        let index = self.random.below(self.plan.groups);
        let group = Some(group_name(index).into());
        let granted = self.random.chance(50);
        let reply = None;
        let action = if granted {
            Action::Grant {
                permission,
                group,
                reply,
            }
        } else {
            Action::Revoke {
                permission,
                group,
                reply,
            }
        };
        let change = self.model.right_requested(actor, right, index, granted);
        Some(Job {
            hub: HUBS[self.actors[actor].hub].into(),
            target: self.target(Aim::Actor(actor)),
            selection: Selection::default(),
            action,
            call: Call::Right(change),
            deadline,
        })
    }

    fn some_groups(&mut self) -> Vec<GroupIndex> {
        let count = if self.random.chance(70) {
            1
        } else {
            self.random.between(2, 5)
        };
        (0..count)
            .map(|_| self.random.below(self.plan.groups))
            .collect()
    }

    fn group_names(&self, groups: &[GroupIndex]) -> Arc<GroupNames> {
        let names: Vec<_> = groups.iter().map(|group| group_name(*group)).collect();
        let names = names.iter().map(String::as_str);
        GroupNames::new(names, self.world.node.memory())
    }

    fn picks(&mut self) -> Picks {
        let excluded = (0..self.random.below(3))
            .map(|_| self.random.below(self.actors.len()))
            .collect();
        let wanted = self.random.chance(30).then(|| match self.random.below(6) {
            0 => Wanted::User(None),
            1 => Wanted::User(Some(self.random.below(USERS.len()))),
            2 => Wanted::HasSubprotocol(self.random.chance(50)),
            3 => Wanted::Actor(self.random.below(self.actors.len())),
            4 => Wanted::NotActor(self.random.below(self.actors.len())),
            _ if self.random.chance(50) => Wanted::Member(self.random.below(self.plan.groups)),
            _ => Wanted::Stranger(self.random.below(self.plan.groups)),
        });
        Picks { excluded, wanted }
    }

    /// What the node is told for `picks`.
    fn selection(&self, picks: &Picks) -> Selection {
        let id = |actor: ActorIndex| self.actors[actor].client.id;
        let excluded = picks.excluded.iter().map(|actor| id(*actor)).collect();
        let filter = picks.wanted.map(|wanted| match wanted {
            Wanted::User(None) => "userId eq null".to_owned(),
            Wanted::User(Some(user)) => format!("userId eq '{}'", USERS[user]),
            Wanted::HasSubprotocol(true) => "protocol ne null".to_owned(),
            Wanted::HasSubprotocol(false) => "protocol eq null".to_owned(),
            Wanted::Actor(actor) => format!("connectionId eq '{}'", id(actor)),
            Wanted::NotActor(actor) => format!("connectionId ne '{}'", id(actor)),
            Wanted::Member(group) => format!("'{}' in groups", group_name(group)),
            Wanted::Stranger(group) => format!("not ('{}' in groups)", group_name(group)),
        });
        Selection {
            excluded: Excluded::from_ids(excluded),
            filter: filter.map(|text| Filter::parse(&text).unwrap()),
        }
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
