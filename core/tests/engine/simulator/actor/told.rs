//! What clients are told of streams and group states.

use super::super::model::{GroupIndex, Model};
use super::super::rights::Right;
use super::super::streams::Standing;
use super::{Actor, number_in};
use crate::support::client::json;

impl Actor {
    /// Checks a part of a stream, or its end.
    pub(super) fn check_part(
        &self,
        number: usize,
        part: u64,
        is_end: bool,
        group: Option<GroupIndex>,
        model: &mut Model,
    ) {
        let stream = &model.streams.0[number];
        let aim = stream.group;
        assert!(stream.hub == self.hub && group.is_none_or(|group| group == aim));
        assert!(!stream.no_echo || stream.publisher != self.index);
        assert!(
            model.may_have_been_member(self.index, aim, stream.sent),
            "stream {number} reached actor {}",
            self.index
        );
        let is_certain = model.was_certainly_member(self.index, aim, stream.sent);
        model.streams.0[number].seen(self.index, part, is_end, is_certain);
    }

    /// Takes what is said of the states of a group.
    pub(super) fn check_states(&self, kind: &str, text: &str, model: &mut Model) {
        let message: serde_json::Value = serde_json::from_str(text).unwrap();
        let group = message["group"].as_str().unwrap()[1..].parse().unwrap();
        let place = (self.index, group);
        if kind == "groupStateSnapshot" {
            model.group_states.snapshot(place);
        }
        for item in message["items"].as_array().unwrap() {
            let owner = model.ids[item["connectionId"].as_str().unwrap()];
            let value = item["state"]["k"].as_str().map(number_in);
            let updated_at = item["updatedAt"].as_i64().unwrap();
            model.group_states.told(place, owner, updated_at, value);
        }
    }

    /// Checks what a publisher is told of a stream.
    pub(super) fn check_stream_control(&self, kind: &str, text: &str, model: &mut Model) {
        let number: usize = json::string(text, "streamId").unwrap()[1..]
            .parse()
            .unwrap();
        let stream = &model.streams.0[number];
        assert_eq!(stream.publisher, self.index);
        let may_send = self.may(Right::Send, stream.group, stream.sent, model);
        let stream = &mut model.streams.0[number];
        let expected = json::number(text, "expectedSequenceId");
        match (kind, json::string(text, "name")) {
            ("streamAck", None) => stream.acknowledged(expected.unwrap()),
            ("streamNack", Some("InvalidSequenceId")) => stream.refused(expected.unwrap()),
            ("streamClosed", name) => {
                let was_over = stream.standing == Standing::Over;
                let is_due = match name {
                    None => stream.is_ending,
                    Some("IdleTimeout") => stream.may_rest,
                    Some("Forbidden") => may_send != Some(true),
                    Some("BadRequest") => stream.is_invalid || stream.standing == Standing::Started,
                    _ => false,
                };
                let was_unknown = stream.standing == Standing::Unknown;
                let repeats = was_over && name == Some("StreamNotFound");
                assert!(is_due || repeats || was_unknown, "{text} of {stream:?}");
                stream.nacks_due = 0;
                stream.standing = match stream.standing {
                    // Nobody saw anything of it.
                    Standing::Started | Standing::Unknown => Standing::Unknown,
                    Standing::Open | Standing::Over => Standing::Over,
                };
            }
            _ => panic!("{text} of {stream:?}"),
        }
    }
}
