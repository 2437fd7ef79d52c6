//! The messages of `json.webpubsub.azure.v1` and `json.reliable.webpubsub.azure.v1` (protocol
//! notes: client protocol, json).

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use crate::subprotocol::{AckHole, JOIN_ACK_ID, Notice, Template};

pub(crate) fn join_group(group: &str) -> Vec<u8> {
    let group = Value::from(group);
    format!(r#"{{"type":"joinGroup","group":{group},"ackId":{JOIN_ACK_ID}}}"#).into_bytes()
}

pub(crate) fn sequence_ack(sequence_id: u64) -> Vec<u8> {
    format!(r#"{{"type":"sequenceAck","sequenceId":{sequence_id}}}"#).into_bytes()
}

/// `text` must be such that JSON does not escape it.
pub(crate) fn send_to_group(group: &str, text: &str, ack_id: Option<u64>) -> Template {
    let group = Value::from(group);
    let mut message = format!(r#"{{"type":"sendToGroup","group":{group},"noEcho":true"#);
    let ack = ack_id.map(|id| {
        message.push_str(r#","ackId":"#);
        let hole = AckHole::Digits(message.len());
        message.push_str(&id.to_string());
        hole
    });
    message.push_str(r#","dataType":"text","data":""#);
    let text_at = message.len();
    message.push_str(text);
    message.push_str(r#""}"#);
    Template {
        message: message.into_bytes(),
        text_at,
        ack,
    }
}

/// Servers write the number first, where it is read at the price of its digits; anywhere else it
/// is searched for.
#[inline]
pub(crate) fn sequence_id(message: &[u8]) -> Option<u64> {
    const MEMBER: &[u8] = br#""sequenceId":"#;
    let first = message.strip_prefix(b"{").unwrap_or_default();
    let value = match first.strip_prefix(MEMBER) {
        Some(value) => value,
        None => message.get(memmem::find(message, MEMBER)? + MEMBER.len()..)?,
    };
    let mut digits = value.trim_ascii_start().iter();
    let mut number = u64::from(digit(*digits.next()?)?);
    while let Some(digit) = digits.next().copied().and_then(digit) {
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}

pub(crate) fn notice(message: &[u8]) -> Option<Notice<'_>> {
    let message: Message<'_> = serde_json::from_slice(message).ok()?;
    match (&*message.kind, &*message.event) {
        ("ack", _) if message.success => Some(Notice::Ack(Ok(()))),
        ("ack", _) => Some(Notice::Ack(Err(match message.error {
            Some(error) => format!("{}: {}", error.name, error.message),
            None => "no reason given".to_owned(),
        }))),
        ("system", "connected") => Some(Notice::Connected {
            connection_id: message.connection_id,
            reconnection_token: message.reconnection_token,
        }),
        ("system", "disconnected") => {
            Some(Notice::Disconnected(message.message.unwrap_or_default()))
        }
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    connection_id: Cow<'a, str>,
    #[serde(borrow, default)]
    reconnection_token: Cow<'a, str>,
    #[serde(default)]
    success: bool,
    #[serde(borrow)]
    error: Option<AckError<'a>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct AckError<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_wherever_it_stands() {
        fn check(message: &str, expect: Option<u64>) {
            assert_eq!(sequence_id(message.as_bytes()), expect, "{message}");
        }
        check(r#"{"sequenceId":1,"type":"message"}"#, Some(1));
        check(
            r#"{"sequenceId":4503599627370497,"type":"#,
            Some(1 << 52 | 1),
        );
        check(r#"{"type":"message","sequenceId": 70,"data":"#, Some(70));
        check(r#"{"sequenceId":18446744073709551615}"#, Some(u64::MAX));
        check(r#"{"sequenceId":18446744073709551616}"#, None);
        check(r#"{"sequenceId":"7"}"#, None);
        check(r#"{"sequenceId":"#, None);
        check(r#"{"sequenceId":-1}"#, None);
        check(r#"{"type":"message"}"#, None);
        check("", None);
    }

    #[test]
    fn notices_are_told_apart() {
        fn check(message: &str, expect: &Option<Notice<'_>>) {
            assert_eq!(&notice(message.as_bytes()), expect, "{message}");
        }
        let connected = |id, token| Notice::Connected {
            connection_id: Cow::Borrowed(id),
            reconnection_token: Cow::Borrowed(token),
        };
        check(
            r#"{"type":"system","event":"connected","userId":"u","connectionId":"c","reconnectionToken":"t"}"#,
            &Some(connected("c", "t")),
        );
        check(
            r#"{"type":"system","event":"connected","connectionId":"c"}"#,
            &Some(connected("c", "")),
        );
        check(
            r#"{"type":"ack","ackId":7,"success":true}"#,
            &Some(Notice::Ack(Ok(()))),
        );
        check(
            r#"{"type":"ack","ackId":7,"success":false,"error":{"name":"Forbidden","message":"no"}}"#,
            &Some(Notice::Ack(Err("Forbidden: no".to_owned()))),
        );
        check(
            r#"{"type":"system","event":"disconnected","message":"a \"reason\""}"#,
            &Some(Notice::Disconnected("a \"reason\"".into())),
        );
        check(r#"{"type":"pong"}"#, &None);
        check("hello", &None);
    }
}
