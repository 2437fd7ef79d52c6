//! Acks: for which request each is, and whether it may say what it says.

use super::super::model::{ActorIndex, Fate, Model};
use super::super::requests::Asked;
use super::super::rights::Right;
use super::{Actor, Circumstances, Decision, Sent};
use crate::support::client::json;

impl Actor {
    pub(super) fn check_ack(
        &mut self,
        text: &str,
        model: &mut Model,
        events: &mut [Sent],
        circumstances: Circumstances,
    ) {
        let ack_id = json::number(text, "ackId").unwrap();
        let was_pending = format!("{:?}", self.requests);
        let Some(asked) = self.requests.answered(ack_id) else {
            panic!("{text} for actor {} with {was_pending}", self.index)
        };
        let error = json::string(text, "name");
        let was_done = self.requests.has_succeeded(ack_id);
        let is_uncertain = self.requests.is_uncertain(ack_id);
        let expected = if was_done {
            vec![Some("Duplicate")]
        } else {
            self.expected_outcomes(ack_id, asked, model, events, circumstances)
        };
        assert!(
            expected.contains(&error),
            "{text} where one of {expected:?} was expected"
        );
        // An earlier attempt, whose ack was lost, succeeded.
        let is_repeated = is_uncertain && error == Some("Duplicate");
        let succeeded = error.is_none() || is_repeated;
        if succeeded {
            self.requests.succeeded(ack_id);
        }
        match asked {
            Asked::Join { group, change, .. } => {
                model.join_ended(self.index, group, change, succeeded);
            }
            // A refused leave changed nothing, so the membership stays as uncertain as it became.
            Asked::Leave { group, change, .. } if succeeded => {
                model.leave_ended(self.index, group, change);
            }
            Asked::Leave { .. } => {}
            Asked::Publish { .. } if is_uncertain && !succeeded => {}
            Asked::Publish { index, .. } => {
                model.publications[index].fate = if succeeded {
                    Fate::Accepted
                } else {
                    Fate::Rejected
                };
                assert!(
                    succeeded || model.publications[index].received_by.is_empty(),
                    "{index} was refused but sent"
                );
            }
            Asked::Event { .. } if succeeded && (is_uncertain || !was_done) => {
                let no_reply =
                    |sent: &Sent| sent.decision == Some(Decision::Reply) && !sent.replied;
                if attempts(events, self.index, ack_id).any(no_reply) {
                    // The reply was one message too many, and somebody else ended the session first.
                    self.must_end = circumstances.small_replay && self.reliable.is_some();
                    assert!(self.must_end, "a reply comes before its ack");
                }
            }
            Asked::Event { .. } | Asked::Unsubscribe { .. } => {}
            Asked::SetState { group, set } if error.is_none() && !is_uncertain => {
                model.group_states.set_succeeded((self.index, group), set);
            }
            Asked::Subscribe { group, at } if error.is_none() && !is_uncertain => {
                model.group_states.subscribed((self.index, group), at);
            }
            Asked::SetState { .. } | Asked::Subscribe { .. } => {}
        }
    }

    /// The errors, or none, with which a request may be answered now.
    fn expected_outcomes(
        &self,
        ack_id: u64,
        asked: Asked,
        model: &Model,
        events: &[Sent],
        circumstances: Circumstances,
    ) -> Vec<Option<&'static str>> {
        let (right, group, sent) = match asked {
            Asked::Join { group, change } | Asked::Leave { group, change } => {
                (Right::Join, group, change.requested)
            }
            Asked::Publish { group, index } => (Right::Send, group, model.publications[index].sent),
            Asked::Event { index } => {
                return self.expected_of_event(ack_id, index, events, circumstances);
            }
            Asked::SetState { group, set } => {
                (Right::Join, group, model.group_states.sets[set].requested)
            }
            Asked::Subscribe { group, at } => (Right::Join, group, at),
            Asked::Unsubscribe { .. } if self.requests.is_uncertain(ack_id) => {
                return vec![None, Some("Duplicate")];
            }
            Asked::Unsubscribe { .. } => return vec![None],
        };
        let mut expected = match self.may(right, group, sent, model) {
            Some(true) => vec![None],
            Some(false) => vec![Some("Forbidden")],
            None => vec![None, Some("Forbidden")],
        };
        let may_join = expected.contains(&None) && matches!(asked, Asked::Join { .. });
        if may_join && circumstances.few_groups {
            expected.push(Some("BadRequest"));
        }
        let is_of_member = matches!(asked, Asked::SetState { .. } | Asked::Subscribe { .. });
        if is_of_member && !model.was_certainly_member(self.index, group, sent) {
            expected.push(Some("BadRequest"));
        }
        if is_of_member && self.requests.is_uncertain(ack_id) {
            // The ack may be for the attempt before.
            return vec![
                None,
                Some("Duplicate"),
                Some("BadRequest"),
                Some("Forbidden"),
            ];
        }
        if let Asked::SetState { set, .. } = asked
            && model.group_states.sets[set].is_too_large
        {
            expected.retain(Option::is_some);
            expected.push(Some("BadRequest"));
        }
        if self.requests.is_uncertain(ack_id) && expected.contains(&None) {
            expected.push(Some("Duplicate"));
        }
        expected
    }

    fn expected_of_event(
        &self,
        ack_id: u64,
        index: usize,
        events: &[Sent],
        circumstances: Circumstances,
    ) -> Vec<Option<&'static str>> {
        let is_uncertain = self.requests.is_uncertain(ack_id);
        let of = |sent: &Sent| match sent.decision {
            Some(Decision::Reply | Decision::NoReply) if is_uncertain => {
                vec![None, Some("Duplicate")]
            }
            Some(Decision::Reply | Decision::NoReply) => vec![None],
            Some(Decision::Fail) => vec![Some("InternalServerError")],
            // It never came to its handler.
            None if circumstances.no_handler => vec![Some("InternalServerError")],
            None => Vec::new(),
        };
        if is_uncertain {
            let attempts = attempts(events, self.index, ack_id);
            return attempts.flat_map(of).collect();
        }
        of(&events[index])
    }
}

/// Every event that an actor sent under an ack id.
fn attempts(events: &[Sent], actor: ActorIndex, ack_id: u64) -> impl Iterator<Item = &Sent> {
    let of_both = move |sent: &&Sent| sent.actor == actor && sent.ack_id == Some(ack_id);
    events.iter().filter(of_both)
}
