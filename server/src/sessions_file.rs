//! The file that carries the sessions of reliable clients from a process that stops to the next
//! one (docs/reliable.md).
//!
//! It decides who may come back to what, so it is sealed with a key of this server's own, is read
//! once, and is set aside whenever anything about it is wrong: then its clients start afresh. What
//! a session consists of is in [`hubwire_core::snapshot`]; how a record is written, in `body`.

mod body;

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hubwire_core::Millis;
use hubwire_core::id::NodeId;
use hubwire_core::node::{Node, Seat};
use hubwire_core::snapshot::{RestoredMessages, SessionRecord, Snapshot};
use hubwire_proto::token::AccessKey;

use crate::clock::now_in_milliseconds;
use crate::config::Config;
use crate::keys::KeyStore;
use crate::sealed::{SealedReader, SealedWriter, Unsealed, sealed_len};
use crate::{private_file, regular_file};

use body::{Malformed, Written};

/// Its name in `data_dir`.
const FILE_NAME: &str = "sessions";

/// What it is called while it is read, so that nobody reads it again.
const READING: &str = "sessions.reading";

/// How many files that were set aside are kept; the last of them is replaced by the next.
const SET_ASIDE: u32 = 9;

/// What every such file begins with.
const MAGIC: [u8; 16] = *b"hubwire sessions";

/// Grows with every change of what follows, that of a record in the engine included; the tests of
/// `body` notice one.
const VERSION: u16 = 1;

const HEADER_BYTES: usize = MAGIC.len() + 2 + 2 + 8;

/// Where sessions wait for the next process.
pub(crate) struct SessionsFile {
    path: PathBuf,
    key: AccessKey,
    node: NodeId,
    /// Bytes of its content.
    most: u64,
    /// How long a session waits for its client.
    window: Duration,
}

/// What the process before had saved.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// Sessions, those whose time is over last, and messages.
    snapshot: Snapshot,
    /// How many sessions still wait for their clients.
    waiting: usize,
    /// For how many the time is over, those included that are not in the snapshot any more.
    expired: usize,
    /// How long ago the process before ended.
    elapsed: Duration,
}

/// Saved sessions on their way to the shards.
pub(crate) struct Returning {
    /// Sessions with their seats.
    pub(crate) sessions: Vec<(Seat, SessionRecord)>,
    /// Their messages.
    pub(crate) messages: RestoredMessages,
}

/// What became of saved sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// They wait for their clients.
    pub(crate) waiting: u64,
    /// Their time was over.
    pub(crate) expired: u64,
    /// The node has no room for them.
    pub(crate) no_room: u64,
}

impl Saved {
    /// Seats on `node`, in whose life it is `now`, for as many as it has room for.
    pub(crate) fn seat(self, node: &Arc<Node>, now: Millis) -> (Returning, Restored) {
        let Snapshot { sessions, messages } = self.snapshot;
        let elapsed = milliseconds(self.elapsed);
        let messages = RestoredMessages::new(messages, elapsed, now, node.memory());
        let ids: Vec<_> = sessions.iter().map(|session| session.connection).collect();
        let mut by_id: HashMap<_, _> = sessions
            .into_iter()
            .map(|session| (session.connection, session))
            .collect();
        let seats = node.reserve_seats_again(ids).into_iter();
        let sessions: Vec<_> = seats
            .filter_map(|seat| {
                let session = by_id.remove(&seat.connection())?;
                Some((seat, session))
            })
            .collect();
        let is_waiting = |(_, session): &&(Seat, SessionRecord)| session.window_ms > elapsed;
        let waiting = sessions.iter().filter(is_waiting).count();
        let restored = Restored {
            waiting: waiting as u64,
            expired: self.expired as u64,
            no_room: (self.waiting - waiting) as u64,
        };
        if restored != Restored::default() {
            let Restored {
                waiting,
                expired,
                no_room,
            } = restored;
            tracing::info!(waiting, expired, no_room, "sessions taken over");
        }
        (Returning { sessions, messages }, restored)
    }
}

/// Why a file is set aside.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    #[error("it is larger than limits.snapshot_bytes allows")]
    TooLarge,
    #[error("it does not hold sessions")]
    Foreign,
    #[error("it has format {0}, and this version knows format {VERSION} only")]
    Version(u16),
    #[error("it is of node {}", .0.0)]
    Node(NodeId),
    #[error(transparent)]
    Unsealed(Unsealed),
    #[error(transparent)]
    Malformed(Malformed),
    #[error("an earlier start ended while it was read")]
    Interrupted,
}

impl From<io::Error> for Rejected {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(unsealed) => Self::Unsealed(*unsealed),
            None if error.kind() == ErrorKind::UnexpectedEof => Self::Unsealed(Unsealed::Broken),
            None => Self::Io(error),
        }
    }
}

impl From<Malformed> for Rejected {
    fn from(error: Malformed) -> Self {
        match error {
            Malformed::Io(error) => error.into(),
            other => Self::Malformed(other),
        }
    }
}

/// The first bytes of a file.
struct Header {
    node: NodeId,
    /// In milliseconds since 1970.
    saved_at: i64,
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.node.0.to_le_bytes());
        bytes.extend(self.saved_at.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Rejected> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(Rejected::Foreign)?;
        let (version, rest) = rest.split_first_chunk().ok_or(Rejected::Foreign)?;
        let (node, rest) = rest.split_first_chunk().ok_or(Rejected::Foreign)?;
        let saved_at = rest.first_chunk().ok_or(Rejected::Foreign)?;
        match u16::from_le_bytes(*version) {
            VERSION => Ok(Self {
                node: NodeId(u16::from_le_bytes(*node)),
                saved_at: i64::from_le_bytes(*saved_at),
            }),
            other => Err(Rejected::Version(other)),
        }
    }
}

impl SessionsFile {
    /// The file of `node` in the `data_dir` of `config`; `None` if sessions are not kept.
    pub(crate) fn new(config: &Config, keys: &KeyStore, node: NodeId) -> Option<Self> {
        let folder = config.data_dir.as_deref()?;
        let key = keys.session_key()?;
        config.keep_sessions.then(|| Self {
            path: folder.join(FILE_NAME),
            key,
            node,
            most: config.limits.snapshot_bytes as u64,
            window: config.limits.recovery_window,
        })
    }

    /// Writes the sessions of `snapshot`, packed up at `saved_at` in milliseconds since 1970, as
    /// many as the file has room for. What goes wrong is logged.
    pub(crate) fn save(&self, snapshot: Snapshot, saved_at: i64) {
        let count = snapshot.sessions.len();
        if count == 0 {
            return;
        }
        match self.write(snapshot, saved_at) {
            Ok(Written {
                sessions,
                left_out: 0,
                bytes,
            }) => tracing::info!(sessions, bytes, "sessions saved"),
            Ok(Written {
                sessions,
                left_out,
                bytes,
            }) => tracing::warn!(
                sessions,
                left_out,
                bytes,
                "sessions saved; the largest did not fit into limits.snapshot_bytes"
            ),
            Err(error) => {
                let path = self.path.display();
                tracing::error!(%path, %error, sessions = count, "sessions could not be saved");
            }
        }
    }

    fn write(&self, snapshot: Snapshot, saved_at: i64) -> io::Result<Written> {
        let node = self.node;
        let header = Header { node, saved_at };
        let mut written = Written::default();
        private_file::replace_with(&self.path, |file| {
            let file = BufWriter::new(file);
            let mut sealed = SealedWriter::begin(file, self.key.clone(), &header.bytes())?;
            written = body::write(&mut sealed, snapshot, self.most)?;
            sealed.finish()?.flush()
        })?;
        Ok(written)
    }

    /// Takes the sessions that the process before has written, if there are any. Whatever happens,
    /// they can be taken only once.
    pub(crate) fn take(&self) -> Saved {
        private_file::remove_drafts(&self.path);
        let reading = self.path.with_file_name(READING);
        if reading.exists() {
            self.set_aside(&reading, &Rejected::Interrupted);
        }
        match private_file::rename(&self.path, &reading) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Saved::default(),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "sessions are not taken over");
                return Saved::default();
            }
            Ok(()) => {}
        }
        match self.read(&reading, now_in_milliseconds()) {
            Ok(saved) => {
                let _ = fs::remove_file(&reading);
                saved
            }
            Err(rejected) => {
                self.set_aside(&reading, &rejected);
                Saved::default()
            }
        }
    }

    fn read(&self, path: &Path, now: i64) -> Result<Saved, Rejected> {
        let file = regular_file::open(path)?;
        if file.metadata()?.len() > sealed_len(HEADER_BYTES, self.most) {
            return Err(Rejected::TooLarge);
        }
        let mut file = BufReader::new(file);
        let mut header_bytes = [0; HEADER_BYTES];
        file.read_exact(&mut header_bytes)?;
        let header = Header::parse(&header_bytes)?;
        if header.node != self.node {
            return Err(Rejected::Node(header.node));
        }
        let mut sealed = SealedReader::begin(file, self.key.clone(), &header_bytes)?;
        let mut snapshot = body::read(&mut sealed, self.most)?;
        sealed.finish()?;
        let elapsed = elapsed(header.saved_at, now);
        let (all, elapsed_ms) = (snapshot.sessions.len(), milliseconds(elapsed));
        let waits = |session: &SessionRecord| session.window_ms > elapsed_ms;
        snapshot.sessions.retain_mut(|session| {
            // A shorter window than that of the process before holds for its sessions too.
            session.window_ms = session.window_ms.min(milliseconds(self.window));
            waits(session) || session.owes_farewells()
        });
        snapshot.sessions.sort_by_key(|session| !waits(session));
        let waiting = snapshot.sessions.partition_point(waits);
        Ok(Saved {
            snapshot,
            waiting,
            expired: all - waiting,
            elapsed,
        })
    }

    /// Keeps a file for whoever wants to know, out of the way of the next one.
    fn set_aside(&self, path: &Path, why: &Rejected) {
        let aside = (1..=SET_ASIDE)
            .map(|number| self.path.with_added_extension(format!("rejected-{number}")))
            // A link that leads nowhere is there too.
            .find(|aside| aside.symlink_metadata().is_err());
        let aside = aside.unwrap_or_else(|| {
            let last = format!("rejected-{SET_ASIDE}");
            self.path.with_added_extension(last)
        });
        let reason = why.to_string();
        match private_file::rename(path, &aside) {
            Ok(()) => tracing::warn!(
                file = %aside.display(),
                reason,
                "saved sessions were set aside; their clients start afresh"
            ),
            Err(error) => tracing::warn!(
                file = %path.display(),
                reason,
                %error,
                "saved sessions can neither be used nor set aside"
            ),
        }
    }
}

/// The time between two moments; none if the clock was set back.
fn elapsed(from: i64, to: i64) -> Duration {
    let elapsed = to.saturating_sub(from);
    Duration::from_millis(u64::try_from(elapsed).unwrap_or_default())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
