//! Group states of the game: what members set, who subscribes, and whether the views agree.

use super::super::model::ActorIndex;
use super::super::requests::Asked;
use super::{Game, group_name};

impl Game {
    /// Sets or clears a state, subscribes or unsubscribes.
    pub(super) fn use_group_state(&mut self, index: ActorIndex) {
        let groups: Vec<_> = (0..self.plan.groups)
            .filter(|group| self.model.is_certain_member(index, *group))
            .collect();
        let group = if groups.is_empty() || self.random.chance(15) {
            self.random.below(self.plan.groups)
        } else {
            self.random.pick(&groups)
        };
        let asked = match self.random.below(100) {
            0..65 => Asked::SetState { group, set: 0 },
            65..92 => Asked::Subscribe { group, at: 0 },
            _ => Asked::Unsubscribe { group },
        };
        let ack_id = self.actors[index].requests.new_id();
        let asked = self.send_group_state(index, ack_id, asked);
        self.expect_ack(index, Some(ack_id), asked);
    }

    /// Asks for something about group states, perhaps again.
    pub(super) fn send_group_state(
        &mut self,
        index: ActorIndex,
        ack_id: u64,
        asked: Asked,
    ) -> Asked {
        let now = self.model.stamp();
        let states = &mut self.model.group_states;
        let (kind, group, rest, asked) = match asked {
            Asked::SetState { group, .. } => {
                let (is_clear, is_large) = (self.random.chance(20), self.random.chance(5));
                let is_too_large = is_large && !is_clear;
                let set = states.set_requested((index, group), now, is_clear, is_too_large);
                let padding = if is_too_large {
                    "x".repeat(self.plan.limits.group_state_bytes)
                } else {
                    String::new()
                };
                let state = if is_clear {
                    String::new()
                } else {
                    format!(r#","state":{{"k":"v{set}.{padding}"}}"#)
                };
                (
                    "setGroupState",
                    group,
                    state,
                    Asked::SetState { group, set },
                )
            }
            Asked::Subscribe { group, .. } => {
                states.subscription_requested((index, group), now);
                let asked = Asked::Subscribe { group, at: now };
                ("subscribeGroupState", group, String::new(), asked)
            }
            Asked::Unsubscribe { group } => {
                states.unsubscribed((index, group));
                ("unsubscribeGroupState", group, String::new(), asked)
            }
            _ => return asked,
        };
        let group = group_name(group);
        let text = format!(r#"{{"type":"{kind}","group":"{group}","ackId":{ack_id}{rest}}}"#);
        self.send_text(index, &text);
        asked
    }

    /// Checks, at a pause, that every subscriber knows how things are.
    pub(super) fn check_group_states(&mut self) {
        let model = &self.model;
        for ((subscriber, group), since) in model.group_states.subscriptions() {
            let place = (subscriber, group);
            let is_one = self.actors[subscriber].is_present()
                && model.was_certainly_member(subscriber, group, since);
            if !is_one {
                continue;
            }
            let hub = self.actors[subscriber].hub;
            let others = self.actors.iter().filter(|actor| actor.hub == hub);
            for owner in others.filter(|actor| !actor.ended) {
                let in_force = model.group_states.in_force((owner.index, group));
                let Some((set_at, value)) = in_force else {
                    continue;
                };
                if owner.is_live() && model.was_certainly_member(owner.index, group, set_at) {
                    assert_eq!(
                        model.group_states.view(place, owner.index),
                        value,
                        "actor {subscriber} is wrong about actor {} in group {group}",
                        owner.index
                    );
                }
            }
            for owner in model.group_states.owners_seen(place) {
                let is_of_hub = self.actors[owner].hub == hub;
                assert!(is_of_hub, "the state of actor {owner} crossed hubs");
                let may_be = !self.actors[owner].ended && model.may_be_member(owner, group);
                assert!(
                    may_be,
                    "actor {subscriber} believes actor {owner} to be in group {group}"
                );
            }
        }
    }
}
