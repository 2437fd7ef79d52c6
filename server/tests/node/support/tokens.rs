//! Tokens, good and bad.

use std::time::{SystemTime, UNIX_EPOCH};

use hubwire_proto::token::{AccessKey, NewToken, UnixSeconds, sign};

use super::{PRIMARY_KEY, Server};

/// A token to be made.
#[derive(Clone)]
pub(crate) struct Token {
    audience: String,
    key: String,
    user: Option<String>,
    roles: Vec<String>,
    groups: Vec<String>,
    /// Seconds from now.
    expires_in: i64,
}

impl Token {
    /// For an audience, with the primary key, good for an hour.
    pub(crate) fn new(audience: &str) -> Self {
        Self {
            audience: audience.to_owned(),
            key: PRIMARY_KEY.to_owned(),
            user: None,
            roles: Vec::new(),
            groups: Vec::new(),
            expires_in: 3600,
        }
    }

    /// For a client of `hub`.
    pub(crate) fn client(server: &Server, hub: &str) -> Self {
        Self::new(&format!("http://{}/client/hubs/{hub}", server.authority()))
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = key.to_owned();
        self
    }

    pub(crate) fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    pub(crate) fn role(mut self, role: &str) -> Self {
        self.roles.push(role.to_owned());
        self
    }

    pub(crate) fn group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }

    pub(crate) fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in = seconds;
        self
    }

    pub(crate) fn sign(&self) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let now = i64::try_from(now).unwrap();
        let token = NewToken {
            audience: &self.audience,
            issued_at: UnixSeconds(now),
            expires_at: UnixSeconds(now + self.expires_in),
            subject: self.user.as_deref(),
            roles: &self.roles,
            groups: &self.groups,
        };
        sign(&token, &AccessKey::new(self.key.clone()).unwrap())
    }
}
