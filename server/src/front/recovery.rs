//! Coming back to an earlier connection (protocol notes: recovery).
//!
//! Whoever asks is let in with a 101 in any case: only a refusal inside WebSocket, by 1008, makes
//! clients give up and start afresh. Where the server merely cannot tell, it drops the socket, and
//! clients try again.

use std::sync::Arc;
use std::time::Duration;

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, Question, Selection, Target};
use hubwire_core::id::ConnectionId;
use hubwire_core::shard::{DoorwayFull, NOT_RECOVERED, Recovery};
use hubwire_proto::name::HubName;
use hubwire_proto::reconnection;
use hubwire_proto::subprotocol::{Selection as Offer, Subprotocol};
use hubwire_proto::ws::{self, CloseCode};

use super::Inner;
use super::gate::Pass;
use crate::clock::now;
use crate::dispatch::{Dispatch, Missed};
use crate::keys::KeyStore;
use crate::listener::{Query, Stream, Upgrade, say_last};
use crate::metrics::RecoveryOutcome;
use crate::shards::Doorway;

/// The query parameter that asks for an earlier connection.
const CONNECTION_ID: &str = "awps_connection_id";

/// The query parameter that shows the right to it.
const RECONNECTION_TOKEN: &str = "awps_reconnection_token";

/// How long a reconnection token is good: the week that the original promises.
const TOKEN_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the client has to answer the close frame.
const LINGER: Duration = Duration::from_secs(2);

/// The subprotocol that the 101 names, and what follows it.
pub(super) type Decision<'a> = (Option<&'a str>, Upgrade);

/// A connection that a client may have back, if it is still there.
struct Claim {
    connection: ConnectionId,
    hub: Arc<str>,
    subprotocol: Subprotocol,
    /// The token for the next time.
    token: Box<str>,
}

/// Whether a request asks for an earlier connection.
pub(super) fn is_asked_for(query: &Query<'_>) -> bool {
    query.has(CONNECTION_ID)
}

/// The token for a new connection, if it can be recovered.
pub(super) fn issue(
    keys: &KeyStore,
    connection: ConnectionId,
    hub: &HubName,
    subprotocol: Option<Subprotocol>,
) -> Option<Box<str>> {
    let subprotocol = subprotocol.filter(|subprotocol| subprotocol.is_reliable())?;
    Some(token(keys, connection, hub.key(), subprotocol))
}

fn token(
    keys: &KeyStore,
    connection: ConnectionId,
    hub: &str,
    subprotocol: Subprotocol,
) -> Box<str> {
    let id = connection.text();
    reconnection::issue(
        keys.reconnection_key(),
        id.as_str(),
        hub,
        subprotocol,
        now(),
    )
    .into()
}

impl Inner {
    /// Decides about a request for an earlier connection of `hub`. Whatever it carries besides, an
    /// access token above all, is not looked at: clients repeat the URL of their first connection.
    pub(super) fn recover<'a>(
        &self,
        query: &Query<'_>,
        hub: &HubName,
        offered: &[&'a str],
        offer: Offer<'a>,
        pass: Pass,
    ) -> Decision<'a> {
        match self.claim(query, hub) {
            Some(claim) => {
                let answer = spelled(claim.subprotocol, offered);
                (Some(answer), self.ask_and_hand_over(claim, pass))
            }
            None => {
                self.counters.recovery(RecoveryOutcome::Token);
                tracing::debug!(%hub, "recovery refused: the token is not for this connection");
                (offer.answer, Box::new(|stream, _| Box::pin(refuse(stream))))
            }
        }
    }

    fn claim(&self, query: &Query<'_>, hub: &HubName) -> Option<Claim> {
        let id = query.first_filled(CONNECTION_ID)?;
        let shown = query.first_filled(RECONNECTION_TOKEN)?;
        let connection = ConnectionId::parse(&id)?;
        let keys = self.verifier.key_store();
        let key = keys.reconnection_key();
        // By the id as we spell it, which is the one that the token was made for.
        let subprotocol = reconnection::verify(
            key,
            &shown,
            connection.text().as_str(),
            hub.key(),
            now(),
            TOKEN_LIFETIME,
        )
        .ok()?;
        Some(Claim {
            connection,
            hub: hub.key().into(),
            subprotocol,
            token: token(keys, connection, hub.key(), subprotocol),
        })
    }

    /// Hands the socket to the shard of the connection, if it says that there is one. Until then
    /// the socket counts as an HTTP connection.
    fn ask_and_hand_over(&self, claim: Claim, pass: Pass) -> Upgrade {
        let dispatch = Arc::clone(&self.dispatch);
        let counters = Arc::clone(&self.counters);
        let place = self.node.place_of(&claim.connection);
        let doorway = place.and_then(|place| self.doorways.get(place.shard.index()));
        let doorway = doorway.map(Arc::clone);
        Box::new(move |stream, unread| {
            Box::pin(async move {
                let (connection, hub) = (claim.connection.text(), Arc::clone(&claim.hub));
                let (outcome, refused) = match (ask(&dispatch, &claim).await, doorway) {
                    (Ok(true), Some(doorway)) => (hand_over(claim, &doorway, stream, unread), None),
                    (Ok(_), _) => (RecoveryOutcome::NotFound, Some(stream)),
                    // Dropped without a close frame, the socket is tried again.
                    (Err(_), _) => (RecoveryOutcome::NoAnswer, None),
                };
                counters.recovery(outcome);
                let (connection, result) = (connection.as_str(), outcome.name());
                tracing::debug!(%hub, connection, result, "recovery");
                drop(pass);
                if let Some(stream) = refused {
                    refuse(stream).await;
                }
            })
        })
    }
}

/// Whether the connection is there and may be had.
async fn ask(dispatch: &Dispatch, claim: &Claim) -> Result<bool, Missed> {
    let question = Question::Recoverable;
    let target = Target::Connection(claim.connection);
    let action = |reply| Action::Ask { question, reply };
    let answers = dispatch
        .ask_shards(&claim.hub, target, Selection::default(), action)
        .await?;
    Ok(answers.contains(&Answer::Exists(true)))
}

fn hand_over(
    claim: Claim,
    doorway: &Doorway,
    stream: Stream,
    mut unread: Vec<u8>,
) -> RecoveryOutcome {
    let Ok((transport, decrypted)) = stream.into_socket() else {
        return RecoveryOutcome::Broken;
    };
    unread.extend(decrypted);
    let recovery = Recovery {
        connection: claim.connection,
        hub: claim.hub,
        transport,
        unread,
        reconnection_token: claim.token,
    };
    match doorway.recover(recovery) {
        Ok(()) => RecoveryOutcome::HandedOver,
        Err(DoorwayFull) => RecoveryOutcome::Full,
    }
}

/// Closes a socket that has just been upgraded.
async fn refuse(stream: Stream) {
    let mut frame = Vec::new();
    ws::encode_close(CloseCode::POLICY_VIOLATION, NOT_RECOVERED, &mut frame);
    let _ = tokio::time::timeout(LINGER, say_last(stream, &frame)).await;
}

/// The name of a subprotocol, as the client spells it if it offers it.
fn spelled<'a>(subprotocol: Subprotocol, offered: &[&'a str]) -> &'a str {
    let name = subprotocol.name();
    let same = |offer: &&&str| offer.eq_ignore_ascii_case(name);
    offered.iter().find(same).copied().unwrap_or(name)
}
