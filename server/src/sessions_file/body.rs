//! What the sessions file holds: items, each with its length. A session comes behind the messages
//! that it has not acknowledged, of which each is written once.
//!
//! Reading takes no more memory than the items need, whatever they claim.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};

use hubwire_core::snapshot::{MessageRecord, NumberingRecord, SessionRecord, Snapshot};

/// The first byte of an item.
const MESSAGE: u8 = b'm';
const SESSION: u8 = b's';

/// Bytes in front of an item: its kind and its length.
const ITEM_HEAD: usize = 5;

/// The most bytes of a message's item in front of the message.
const MESSAGE_HEAD: usize = 12;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sessions: usize,
    /// Sessions for which there was no room.
    pub(super) left_out: usize,
    pub(super) bytes: u64,
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it holds more than limits.snapshot_bytes allows")]
    TooLarge,
    #[error("it holds something of an unknown kind")]
    Kind,
    #[error("it holds a message that cannot be read")]
    Message,
    #[error("it holds a session that cannot be read")]
    Session,
    #[error("it holds a session twice")]
    Twice,
    #[error("it holds a session without its messages")]
    Dangling,
}

/// Writes `snapshot`, without the largest sessions if need be, so that it takes no more than `most`
/// bytes.
pub(super) fn write(out: &mut impl Write, snapshot: Snapshot, most: u64) -> io::Result<Written> {
    let Snapshot {
        mut sessions,
        messages,
    } = snapshot;
    let len = |place: u32| at(&messages, place).map_or(0, |message| message.payload.most_bytes());
    sessions.sort_by_cached_key(|session| -> usize {
        let records = session.unacknowledged.iter();
        records.map(|record| len(record.message)).sum()
    });
    let mut written = Written::default();
    // The places of messages in the snapshot, and what they are in the file.
    let mut places = HashMap::new();
    for mut session in sessions {
        let mut fresh = Vec::new();
        for record in &mut session.unacknowledged {
            let next = u32::try_from(places.len()).map_err(io::Error::other)?;
            record.message = *places.entry(record.message).or_insert_with_key(|place| {
                fresh.push(*place);
                next
            });
        }
        let content = postcard::to_allocvec(&session).map_err(io::Error::other)?;
        let items: Option<Vec<_>> = fresh.iter().map(|place| at(&messages, *place)).collect();
        let bytes = items.as_ref().map_or(u64::MAX, |items| {
            let messages: usize = items.iter().map(|message| message_bound(message)).sum();
            (messages + ITEM_HEAD + content.len()) as u64
        });
        if bytes > most - written.bytes {
            written.left_out += 1;
            for place in &fresh {
                places.remove(place);
            }
            continue;
        }
        for message in items.into_iter().flatten() {
            let head = postcard::to_allocvec(&(message.numbering, message.expires_in_ms));
            let head = head.map_err(io::Error::other)?;
            write_item(out, MESSAGE, &[&head, &message.payload.bytes()])?;
        }
        write_item(out, SESSION, &[&content])?;
        written.sessions += 1;
        written.bytes += bytes;
    }
    Ok(written)
}

fn at(messages: &[MessageRecord], place: u32) -> Option<&MessageRecord> {
    messages.get(usize::try_from(place).ok()?)
}

/// The most bytes that a message takes in the file.
fn message_bound(message: &MessageRecord) -> usize {
    ITEM_HEAD + MESSAGE_HEAD + message.payload.most_bytes()
}

fn write_item(out: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let len = u32::try_from(len).map_err(io::Error::other)?;
    out.write_all(&[kind])?;
    out.write_all(&len.to_le_bytes())?;
    parts.iter().try_for_each(|part| out.write_all(part))
}

/// Reads what [`write`] has written, `most` bytes of it at the most.
pub(super) fn read(from: &mut impl Read, most: u64) -> Result<Snapshot, Malformed> {
    let mut items = Items {
        from,
        left: most,
        content: Vec::new(),
    };
    let (mut snapshot, mut seen) = (Snapshot::default(), HashSet::new());
    while let Some(kind) = items.next()? {
        match kind {
            MESSAGE => snapshot.messages.push(message(&items.content)?),
            SESSION => {
                let session = session(&items.content, snapshot.messages.len())?;
                if !seen.insert(session.connection) {
                    return Err(Malformed::Twice);
                }
                snapshot.sessions.push(session);
            }
            _ => return Err(Malformed::Kind),
        }
    }
    Ok(snapshot)
}

struct Items<'r, R> {
    from: &'r mut R,
    /// Bytes that there may still be.
    left: u64,
    content: Vec<u8>,
}

impl<R: Read> Items<'_, R> {
    /// The kind of the next item, whose content is in `content` then; `None` at the end.
    fn next(&mut self) -> Result<Option<u8>, Malformed> {
        let mut kind = [0];
        if self.from.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut len = [0; 4];
        self.from.read_exact(&mut len)?;
        let len = u64::from(u32::from_le_bytes(len));
        self.left = self
            .left
            .checked_sub(ITEM_HEAD as u64 + len)
            .ok_or(Malformed::TooLarge)?;
        self.content.clear();
        // Memory is taken as bytes come, not as they are announced.
        let read = self
            .from
            .by_ref()
            .take(len)
            .read_to_end(&mut self.content)?;
        if u64::try_from(read).is_ok_and(|read| read < len) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Some(kind[0]))
    }
}

fn message(content: &[u8]) -> Result<MessageRecord, Malformed> {
    let (head, payload): ((NumberingRecord, Option<u64>), _) =
        postcard::take_from_bytes(content).map_err(|_| Malformed::Message)?;
    let (numbering, expires_in_ms) = head;
    Ok(MessageRecord {
        payload: payload.to_vec().into(),
        numbering,
        expires_in_ms,
    })
}

fn session(content: &[u8], messages: usize) -> Result<SessionRecord, Malformed> {
    let (session, rest): (SessionRecord, _) =
        postcard::take_from_bytes(content).map_err(|_| Malformed::Session)?;
    let mut last = 0;
    for record in &session.unacknowledged {
        if usize::try_from(record.message).is_ok_and(|place| place >= messages) {
            return Err(Malformed::Dangling);
        }
        if record.sequence_id <= last || record.sequence_id > session.last_sequence_id {
            return Err(Malformed::Session);
        }
        last = record.sequence_id;
    }
    if rest.is_empty() {
        Ok(session)
    } else {
        Err(Malformed::Session)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hubwire_core::id::{ConnectionId, NodeId, ShardId, Slot};
    use hubwire_core::snapshot::{ProtocolRecord, UnacknowledgedRecord};
    use hubwire_proto::role::Permissions;
    use hubwire_proto::token::AccessKey;
    use proptest::prelude::*;

    use super::*;

    const ROOM: u64 = 1 << 20;

    /// A session that has not acknowledged the messages at `places`.
    fn session(number: u8, places: &[u32]) -> SessionRecord {
        let (permissions, _) =
            Permissions::from_roles(["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup.a"]);
        SessionRecord {
            connection: ConnectionId::new([number; 16], NodeId(0), ShardId(1), Slot(7)),
            hub: "chat".into(),
            user: number.is_multiple_of(2).then(|| "ann".into()),
            protocol: ProtocolRecord::Json,
            permissions,
            groups: vec!["room".into(), "a/ä".into()],
            acks: serde_json::from_str("[[1,9],[12,12]]").unwrap(),
            last_sequence_id: 40 + places.len() as u64,
            unacknowledged: (41..)
                .zip(places)
                .map(|(sequence_id, message)| UnacknowledgedRecord {
                    sequence_id,
                    message: *message,
                })
                .collect(),
            window_ms: 30_000,
            group_states: None,
            streams: None,
        }
    }

    /// A session with something in every field.
    fn full_session() -> SessionRecord {
        let group_states = r#"{"last_update":9,"groups":[{"group":"room","is_subscriber":true,
            "state":{"state":{"mood":"good"},"updated_at":8}}]}"#;
        let streams = r#"{"open":[{"stream_id":"s","group":"room","no_echo":true,"expected":3,
            "idle_timeout_ms":1000}],"ended":[{"stream_id":"t","reason":"IdleTimeout",
            "untold":true}]}"#;
        SessionRecord {
            protocol: ProtocolRecord::ProtobufTextData,
            group_states: serde_json::from_str(group_states).unwrap(),
            streams: serde_json::from_str(streams).unwrap(),
            ..session(4, &[0])
        }
    }

    fn message(len: usize) -> MessageRecord {
        MessageRecord {
            payload: vec![b'x'; len].into(),
            numbering: NumberingRecord::ProtobufData,
            expires_in_ms: Some(u64::MAX),
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            sessions: vec![
                session(1, &[]),
                full_session(),
                session(2, &[0, 1]),
                session(3, &[1, 2]),
            ],
            messages: vec![message(1), message(1000), message(10)],
        }
    }

    fn written(snapshot: Snapshot, most: u64) -> (Vec<u8>, Written) {
        let mut bytes = Vec::new();
        let written = write(&mut bytes, snapshot, most).unwrap();
        assert!(bytes.len() as u64 <= written.bytes && written.bytes <= most);
        (bytes, written)
    }

    #[test]
    fn what_was_written_is_read_with_every_message_once() {
        let (bytes, report) = written(snapshot(), ROOM);
        assert_eq!((report.sessions, report.left_out), (4, 0));
        assert!(bytes.len() < 2000, "{}", bytes.len());
        let read = read(&mut &*bytes, ROOM).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", snapshot()));
    }

    /// The next version of the server reads what this one writes, or knows that it cannot. When
    /// this fails, `VERSION` has to grow.
    #[test]
    fn the_format_is_what_it_was() {
        let (bytes, _) = written(snapshot(), ROOM);
        let digest = AccessKey::new("format").unwrap().sign(&bytes);
        let known = "lZuxcZu7ZXG9GD3C8sfXNqZ76bOJyS6Pu1Woh-Z8gqQ";
        assert_eq!(URL_SAFE_NO_PAD.encode(digest), known);
    }

    #[test]
    fn the_largest_sessions_are_left_out_with_messages_of_theirs_alone() {
        let check = |most: u64, expect: &[u8], messages: usize| {
            let snapshot = Snapshot {
                sessions: vec![session(3, &[2]), session(1, &[0]), session(2, &[0, 1])],
                messages: vec![message(10), message(1000), message(50_000)],
            };
            let (bytes, report) = written(snapshot, most);
            assert_eq!(report.left_out, 3 - expect.len(), "{most}");
            let read = read(&mut &*bytes, most).unwrap();
            let sessions = read.sessions.iter().map(|session| session.connection);
            let expect = expect.iter().map(|number| session(*number, &[]).connection);
            assert!(sessions.eq(expect), "{most}");
            assert_eq!(read.messages.len(), messages, "{most}");
        };
        check(100_000, &[1, 2, 3], 3);
        check(50_000, &[1, 2], 2);
        check(1000, &[1], 1);
        check(100, &[], 0);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let check = |sessions: Vec<SessionRecord>, expect: &str| {
            let mut bytes = Vec::new();
            for session in &sessions {
                let content = postcard::to_allocvec(session).unwrap();
                write_item(&mut bytes, SESSION, &[&content]).unwrap();
            }
            let error = read(&mut &*bytes, ROOM).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        let cannot = "it holds a session that cannot be read";
        check(
            vec![session(1, &[]), session(1, &[])],
            "it holds a session twice",
        );
        check(
            vec![session(1, &[0])],
            "it holds a session without its messages",
        );
        let below = SessionRecord {
            last_sequence_id: 40,
            ..session(1, &[0])
        };
        let mut bytes = Vec::new();
        write_item(&mut bytes, MESSAGE, &[&[1, 0, b'x']]).unwrap();
        let content = postcard::to_allocvec(&below).unwrap();
        write_item(&mut bytes, SESSION, &[&content]).unwrap();
        assert_eq!(read(&mut &*bytes, ROOM).unwrap_err().to_string(), cannot);
        assert!(matches!(
            read(&mut &b"x\0\0\0\0"[..], ROOM),
            Err(Malformed::Kind)
        ));
        // Nothing is taken on trust: an item that claims much more than there is.
        let claim = [b"m".as_slice(), &u32::MAX.to_le_bytes()].concat();
        assert!(matches!(read(&mut &*claim, ROOM), Err(Malformed::TooLarge)));
        assert!(matches!(
            read(&mut &*claim, u64::MAX),
            Err(Malformed::Io(_))
        ));
    }

    proptest! {
        /// Whatever it holds, it is read or refused, with no more memory than it has bytes, some
        /// fixed amount aside.
        #[test]
        fn no_file_does_any_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let (mut bytes, _) = written(snapshot(), ROOM);
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Ok(read) = read(&mut &*bytes, ROOM) {
                let payloads = read.messages.iter().map(|message| message.payload.most_bytes());
                prop_assert!(payloads.sum::<usize>() <= bytes.len());
            }
        }

        #[test]
        fn no_item_does_any_harm(kind in prop::sample::select(vec![MESSAGE, SESSION]), content: Vec<u8>) {
            let mut bytes = Vec::new();
            write_item(&mut bytes, kind, &[&content]).unwrap();
            let _ = read(&mut &*bytes, ROOM);
        }
    }
}
