//! What a client of a reliable protocol keeps while its transports come and go.

use hubwire_core::Millis;

use super::lease::Lease;
use super::numbers::Numbers;
use super::streams::Due;
use crate::support::client::Client;
use crate::support::world::TOKEN;

/// The reason of a close frame that says that a session is gone.
pub(crate) const NOT_RECOVERED: &str = "The connection could not be recovered.";

#[derive(Debug)]
pub(crate) struct Reliable {
    pub(crate) numbers: Numbers,
    pub(crate) lease: Lease,
    /// The token that comes with the next greeting.
    pub(crate) token: &'static str,
    /// It takes its transport to be alive.
    pub(crate) is_up: bool,
    /// It got its id and a token, without which nobody can come back.
    pub(crate) was_greeted: bool,
    /// Transports that it gave up. What it sent may still arrive.
    pub(crate) ghosts: Vec<Client>,
    /// Publications that reached its session while it was away, as others have seen.
    pub(crate) owed: Vec<usize>,
    /// The same of streams.
    pub(crate) owed_of_streams: Vec<Due>,
}

impl Reliable {
    pub(crate) fn new(window_ms: u64, client: &Client) -> Self {
        Self {
            numbers: Numbers::default(),
            lease: Lease::new(window_ms, client),
            token: TOKEN,
            is_up: true,
            was_greeted: false,
            ghosts: Vec::new(),
            owed: Vec::new(),
            owed_of_streams: Vec::new(),
        }
    }

    /// Whether the session must be there at `now`, unless somebody ended it.
    pub(crate) fn must_be_there(&self, now: Millis) -> bool {
        self.lease.must_until().is_none_or(|until| until > now)
    }

    /// It comes back with another transport and will get another token.
    pub(crate) fn takes_over(&mut self, old: Client, new: &Client, token: &'static str) {
        self.ghosts.push(old);
        self.lease.try_again(new);
        self.numbers.new_transport();
        self.token = token;
        self.is_up = true;
    }
}
