//! The secret that no operator chooses: what this server signs for itself alone.
//!
//! It is kept in `data_dir`, or follows from an access key where there is none. Which keys are
//! believed for which request is in [`crate::keys`].

use std::io::{self, ErrorKind};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hubwire_proto::token::AccessKey;

use crate::{private_file, regular_file};

/// Its file in `data_dir`.
pub(crate) const FILE_NAME: &str = "internal.key";

/// 256 bits: as many as a signature has.
const KEY_BYTES: usize = 32;

/// A file is read no further: enough to see that it holds something else.
const MAX_FILE_BYTES: u64 = 1024;

/// What separates a key that follows from an access key from everything else that the access key
/// does.
const DERIVED: &str = "hubwire internal key 1";

/// The secret. What is signed with it is signed with a key for that [`Purpose`].
#[derive(Clone)]
pub(crate) struct InternalKey(AccessKey);

/// What a key is for. Keys for two purposes have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Tokens for clients that the server issues on request.
    ClientTokens,
    /// Where the next page of a list begins.
    Cursors,
    /// What a client needs to come back to its connection.
    ReconnectionTokens,
    /// The file that carries sessions over a restart.
    SavedSessions,
}

/// Why the key cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InternalKeyError {
    /// The file or its directory cannot be used.
    #[error("cannot {verb} {path}: {error}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{0} is no internal key; restore it, or delete it to get a new one, which ends the client \
         tokens that this server has issued"
    )]
    Content(String),
    /// The system gives no random bytes.
    #[error("no randomness for an internal key: {0}")]
    Random(getrandom::Error),
}

impl InternalKey {
    /// The key in `directory`; directory and key are created if they are not there. Neither can
    /// then be read by other users of the machine, and a key appears there whole or not at all.
    ///
    /// # Errors
    ///
    /// [`InternalKeyError`].
    pub(crate) fn open(directory: &Path) -> Result<Self, InternalKeyError> {
        let path = directory.join(FILE_NAME);
        if let Some(key) = Self::read(&path)? {
            return Ok(key);
        }
        private_file::create_folder(directory).map_err(failed("create", directory))?;
        create(&path)?;
        Self::read(&path)?.ok_or_else(|| failed("read", &path)(ErrorKind::NotFound.into()))
    }

    /// The key that follows from an access key, for a node without a directory.
    pub(crate) fn derive(access_key: &AccessKey) -> Self {
        Self(access_key.derive(DERIVED))
    }

    /// The key for one purpose.
    pub(crate) fn for_purpose(&self, purpose: Purpose) -> AccessKey {
        self.0.derive(match purpose {
            Purpose::ClientTokens => "hubwire client tokens 1",
            Purpose::Cursors => "hubwire continuation tokens 1",
            Purpose::ReconnectionTokens => "hubwire reconnection tokens 1",
            Purpose::SavedSessions => "hubwire saved sessions 1",
        })
    }

    /// The key in the file at `path`; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// [`InternalKeyError`] if it cannot be read or holds something else.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, InternalKeyError> {
        let text = match regular_file::read_text(path, MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Whatever is no text of that length is no key either.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidData | ErrorKind::FileTooLarge
                ) =>
            {
                String::new()
            }
            Err(error) => return Err(failed("read", path)(error)),
        };
        let text = text.trim_end();
        let is_key = STANDARD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == KEY_BYTES);
        match AccessKey::new(text) {
            Ok(key) if is_key => Ok(Some(Self(key))),
            _ => Err(InternalKeyError::Content(path.display().to_string())),
        }
    }
}

/// Puts a fresh key at `path` unless another process was faster.
fn create(path: &Path) -> Result<(), InternalKeyError> {
    let mut secret = [0; KEY_BYTES];
    getrandom::fill(&mut secret).map_err(InternalKeyError::Random)?;
    match private_file::create(path, &format!("{}\n", STANDARD.encode(secret))) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created.map_err(failed("create", path)),
    }
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InternalKeyError {
    let path = path.display().to_string();
    move |error| InternalKeyError::Io { verb, path, error }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file_names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_key_is_made_once_and_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        // However many begin at once, they agree.
        let keys: Vec<_> = std::thread::scope(|scope| {
            let open = || InternalKey::open(&directory).unwrap().0;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(file_names(&directory), [FILE_NAME]);
        #[cfg(unix)]
        for (path, mode) in [
            (directory.clone(), 0o700),
            (directory.join(FILE_NAME), 0o600),
        ] {
            use std::os::unix::fs::PermissionsExt as _;
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
        let other = tempfile::tempdir().unwrap();
        assert!(InternalKey::open(other.path()).unwrap().0 != keys[0]);
    }

    #[test]
    fn what_is_no_key_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let check = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            let error = InternalKey::open(directory.path()).err().unwrap();
            assert!(matches!(error, InternalKeyError::Content(_)), "{content:?}");
            assert_eq!(fs::read(&path).unwrap(), content);
        };
        check(b"");
        check(b"\n");
        check(b"\xff\xfe");
        check(b"c2hvcnQ=\n");
        check(&[b'A'; 4096]);
        fs::write(&path, STANDARD.encode([7; KEY_BYTES])).unwrap();
        assert!(InternalKey::open(directory.path()).is_ok());
    }
}
