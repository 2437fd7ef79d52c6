//! The keys of the running node, and which of them are believed for what.
//!
//! A reload replaces all of them at once. Where they come from is in `config` and
//! `internal_key`; tokens are judged in `front/auth.rs`.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hubwire_proto::token::AccessKey;

use crate::config::{AccessKeys, Config, ConfigError, warn_if_open};
use crate::internal_key::{FILE_NAME, InternalKey, InternalKeyError, Purpose};

/// The keys of a node. Reading takes no lock.
pub struct KeyStore {
    current: ArcSwap<Keys>,
    /// From `data_dir`; without it the keys of issued tokens follow from the access keys.
    stored: Option<InternalKey>,
    cursor_key: AccessKey,
    reconnection_key: AccessKey,
}

/// The keys at one moment. A request uses one such value from its beginning to its end.
pub(crate) struct Keys {
    access: AccessKeys,
    /// Those of client tokens that this server issues; the primary one signs.
    issued: AccessKeys,
}

impl KeyStore {
    /// The keys of `config`, with the internal key from its `data_dir`, created there if it is
    /// missing.
    ///
    /// # Errors
    ///
    /// If the internal key cannot be had.
    pub fn open(config: &Config) -> Result<Self, ConfigError> {
        let stored = config
            .data_dir
            .as_deref()
            .map(InternalKey::open)
            .transpose()
            .map_err(|error| blame_data_dir(config, &error))?;
        if let Some(directory) = &config.data_dir {
            let path = directory.join(FILE_NAME);
            if let Some(warning) = warn_if_open(&config.data_dir_origin, "data_dir", &path) {
                tracing::warn!("{warning}");
            }
        }
        Ok(Self::new(config.access_keys.clone(), stored))
    }

    /// Whether [`Self::open`] could read the internal key, if there is one already.
    ///
    /// # Errors
    ///
    /// If it could not.
    pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
        match &config.data_dir {
            Some(directory) => InternalKey::read(&directory.join(FILE_NAME))
                .map(drop)
                .map_err(|error| blame_data_dir(config, &error)),
            None => Ok(()),
        }
    }

    fn new(access: AccessKeys, stored: Option<InternalKey>) -> Self {
        let internal = stored
            .clone()
            .unwrap_or_else(|| InternalKey::derive(&access.primary));
        Self {
            cursor_key: internal.for_purpose(Purpose::Cursors),
            reconnection_key: internal.for_purpose(Purpose::ReconnectionTokens),
            current: ArcSwap::from_pointee(Keys::new(access, stored.as_ref())),
            stored,
        }
    }

    /// The keys of now.
    pub(crate) fn current(&self) -> Arc<Keys> {
        self.current.load_full()
    }

    /// Seals continuation tokens for as long as the process lives.
    pub(crate) fn cursor_key(&self) -> &AccessKey {
        &self.cursor_key
    }

    /// Signs reconnection tokens. It stays when access keys change, as the connections do.
    pub(crate) fn reconnection_key(&self) -> &AccessKey {
        &self.reconnection_key
    }

    /// Seals the sessions that wait in `data_dir` for the next process; `None` without `data_dir`.
    pub(crate) fn session_key(&self) -> Option<AccessKey> {
        let stored = self.stored.as_ref()?;
        Some(stored.for_purpose(Purpose::SavedSessions))
    }

    /// Takes other access keys from now on. Tokens signed with a key that is not among them are
    /// refused; who is connected stays.
    pub(crate) fn replace(&self, access: AccessKeys) {
        let keys = Keys::new(access, self.stored.as_ref());
        self.current.store(Arc::new(keys));
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").finish_non_exhaustive()
    }
}

impl Keys {
    fn new(access: AccessKeys, stored: Option<&InternalKey>) -> Self {
        let follow = |key| InternalKey::derive(key).for_purpose(Purpose::ClientTokens);
        let issued = match stored {
            Some(internal) => AccessKeys {
                primary: internal.for_purpose(Purpose::ClientTokens),
                secondary: None,
            },
            None => AccessKeys {
                primary: follow(&access.primary),
                secondary: access.secondary.as_ref().map(follow),
            },
        };
        Self { access, issued }
    }

    /// Signs the client tokens that this server issues.
    pub(crate) fn client_token_key(&self) -> &AccessKey {
        &self.issued.primary
    }

    /// The keys that sign tokens for clients.
    pub(crate) fn for_clients(&self) -> Vec<&AccessKey> {
        self.access.iter().chain(self.issued.iter()).collect()
    }

    /// The keys that sign tokens for REST.
    pub(crate) fn for_rest(&self) -> Vec<&AccessKey> {
        self.access.iter().collect()
    }
}

fn blame_data_dir(config: &Config, error: &InternalKeyError) -> ConfigError {
    ConfigError::new(&config.data_dir_origin, "data_dir", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(primary: &str, secondary: Option<&str>) -> AccessKeys {
        let key = |text: &str| AccessKey::new(text).unwrap();
        AccessKeys {
            primary: key(primary),
            secondary: secondary.map(key),
        }
    }

    /// Whether a token issued under `before` is believed under `after`.
    fn check(stored: bool, before: AccessKeys, after: AccessKeys, expect: bool) {
        let directory = tempfile::tempdir().unwrap();
        let stored = stored.then(|| InternalKey::open(directory.path()).unwrap());
        let store = KeyStore::new(before, stored);
        let issued = store.current().client_token_key().clone();
        assert!(store.current().for_clients().contains(&&issued));
        assert!(!store.current().for_rest().contains(&&issued));
        store.replace(after);
        assert_eq!(store.current().for_clients().contains(&&issued), expect);
        assert!(!store.current().for_rest().contains(&&issued));
    }

    #[test]
    fn an_issued_token_lives_as_long_as_the_key_that_it_follows_from() {
        let (a, b) = (access("a", None), access("b", None));
        check(false, a.clone(), a.clone(), true);
        check(false, a.clone(), access("b", Some("a")), true);
        check(false, a.clone(), b.clone(), false);
        check(false, access("a", Some("b")), b.clone(), false);
        check(true, a, b, true);
    }

    #[test]
    fn a_key_for_one_purpose_is_no_key_for_another() {
        let store = KeyStore::new(access("a", None), None);
        let keys = store.current();
        let all = [
            &keys.access.primary,
            keys.client_token_key(),
            store.cursor_key(),
            store.reconnection_key(),
        ];
        for (index, key) in all.iter().enumerate() {
            assert!(!all[..index].contains(key));
            assert!(key.expose().len() == 1 || key.expose().len() == 44);
        }
    }
}
