//! The upgrade to a WebSocket (RFC 6455 §4.1).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Empty, Limited};
use hubwire_proto::ws::handshake::accept_key;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::time::timeout;

use super::connect::{ConnectError, Dialer, Stream};
use super::request::{MAX_HEAD, MAX_HEADERS, PROGRAM, with_cause};
use super::shown;
use super::websocket::WebSocket;

/// How long the answer may take. The server may have to ask an event handler first.
const ANSWER: Duration = Duration::from_secs(30);
/// The most bytes that are read of a refusal.
const MAX_REFUSAL: usize = 64 << 10;

/// What to ask for.
#[derive(Debug)]
pub(crate) struct Upgrade<'a> {
    /// Path and query, escaped, the token included.
    pub(crate) target: &'a str,
    /// The subprotocol to offer.
    pub(crate) subprotocol: Option<&'a str>,
}

/// Why there is no WebSocket. No text repeats the query, since that has the token.
#[derive(Debug, Error)]
pub(crate) enum UpgradeError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{authority}: no answer to the upgrade within {} s", ANSWER.as_secs())]
    Timeout { authority: String },
    #[error("{authority}: {problem}")]
    Http { authority: String, problem: String },
    #[error("{address}: refused with {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Refused {
        address: String,
        status: StatusCode,
        text: String,
    },
    #[error("{address}: {problem}")]
    Accepted {
        address: String,
        problem: &'static str,
    },
}

impl Upgrade<'_> {
    /// Connects and upgrades.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, refuses, or accepts something else than was asked for.
    pub(crate) async fn open(&self, dialer: &Dialer) -> Result<WebSocket, UpgradeError> {
        let stream = dialer.connect().await?;
        let authority = dialer.endpoint().authority();
        let silent = || UpgradeError::Timeout {
            authority: authority.to_owned(),
        };
        timeout(ANSWER, self.negotiate(stream, dialer))
            .await
            .unwrap_or_else(|_| Err(silent()))
    }

    async fn negotiate(&self, stream: Stream, dialer: &Dialer) -> Result<WebSocket, UpgradeError> {
        let authority = dialer.endpoint().authority();
        let problem = |problem: String| UpgradeError::Http {
            authority: authority.to_owned(),
            problem,
        };
        let failed = |error: hyper::Error| problem(with_cause(&error));
        let (mut connection, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        // Its error is also that of the request which it fails.
        tokio::spawn(driver.with_upgrades());
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| problem(error.to_string()))?;
        let key = STANDARD.encode(nonce);
        let request = self
            .request(authority, &key)
            .map_err(|error| problem(error.to_string()))?;
        let response = connection.send_request(request).await.map_err(failed)?;
        let path = self.target.split('?').next().unwrap_or_default();
        let scheme = if dialer.endpoint().is_secure() {
            "wss"
        } else {
            "ws"
        };
        let address = format!("{scheme}://{authority}{path}");
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_REFUSAL);
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            return Err(UpgradeError::Refused {
                address,
                status,
                text: shown(&body.unwrap_or_default()),
            });
        }
        if let Err(problem) = self.check(&response, &key) {
            return Err(UpgradeError::Accepted { address, problem });
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
        Ok(WebSocket::new(TokioIo::new(upgraded)))
    }

    fn request(&self, authority: &str, key: &str) -> hyper::http::Result<Request<Empty<Bytes>>> {
        let mut request = Request::get(self.target)
            .header(HOST, authority)
            .header(USER_AGENT, PROGRAM)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, key);
        if let Some(subprotocol) = self.subprotocol {
            request = request.header(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        request.body(Empty::new())
    }

    /// Whether the server has accepted what was asked for, and nothing else.
    fn check<B>(&self, response: &Response<B>, key: &str) -> Result<(), &'static str> {
        let header = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::trim)
        };
        if header(SEC_WEBSOCKET_ACCEPT) != Some(&accept_key(key)) {
            return Err("the Sec-WebSocket-Accept of the answer does not belong to our key");
        }
        if header(SEC_WEBSOCKET_EXTENSIONS).is_some() {
            return Err("the answer names an extension that was not offered");
        }
        match (self.subprotocol, header(SEC_WEBSOCKET_PROTOCOL)) {
            (Some(offered), Some(chosen)) if chosen.eq_ignore_ascii_case(offered) => Ok(()),
            (None, None) => Ok(()),
            (Some(_), _) => Err("the answer does not name the subprotocol that was offered"),
            (None, Some(_)) => Err("the answer names a subprotocol though none was offered"),
        }
    }
}
