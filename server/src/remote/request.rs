//! REST requests with a token for each, as the vendor's libraries make them (protocol notes: REST
//! tokens).

use std::fmt;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hubwire_proto::token::{AccessKey, NewToken, sign};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use thiserror::Error;
use tokio::time::timeout;

use super::connect::{ConnectError, Dialer, Stream};
use super::{printable, shown};
use crate::clock::now;

/// The most bytes of a response's body. A page of the longest list is far below it.
const MAX_BODY: usize = 16 << 20;
/// The most bytes of a response's head.
pub(super) const MAX_HEAD: usize = 64 << 10;
/// The most headers of a response.
pub(super) const MAX_HEADERS: usize = 100;
/// How long a token is good for. One is signed for each request, so this only covers clocks that
/// differ.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// Names this program in the logs of servers.
pub(super) const PROGRAM: &str = concat!("hubwire/", env!("CARGO_PKG_VERSION"));

/// Sends requests to one server, one after another, on one connection as long as that stands.
pub(crate) struct Requester {
    dialer: Dialer,
    access_key: AccessKey,
    timeout: Duration,
    connection: Option<Connection>,
}

type Connection = SendRequest<Full<Bytes>>;

/// A request.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, escaped, the base path of the endpoint included.
    pub(crate) path: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
}

/// Why a request has failed.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{authority}: no answer within {} s", .after.as_secs())]
    Timeout { authority: String, after: Duration },
    #[error("{authority}: {problem}")]
    Http { authority: String, problem: String },
    #[error(transparent)]
    Refused(Box<Refusal>),
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// Method and path of the request.
    request: String,
    /// Code and message of the answer; empty if it has neither.
    text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.request, self.status)?;
        match self.text.as_str() {
            "" => Ok(()),
            text => write!(f, ": {text}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Requester {
    /// Requests signed with `access_key`, each of which takes at most `timeout`.
    pub(crate) fn new(dialer: Dialer, access_key: AccessKey, timeout: Duration) -> Self {
        Self {
            dialer,
            access_key,
            timeout,
            connection: None,
        }
    }

    /// Sends a request and gives the body of its answer, or `None` where that is 404.
    ///
    /// # Errors
    ///
    /// If there is no answer, or it is no success.
    pub(crate) async fn ask(&mut self, call: Call) -> Result<Option<Bytes>, RequestError> {
        match self.call(call).await {
            Ok(body) => Ok(Some(body)),
            Err(RequestError::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a request and gives the body of its answer.
    ///
    /// # Errors
    ///
    /// If there is no answer, or it is no success.
    pub(crate) async fn call(&mut self, call: Call) -> Result<Bytes, RequestError> {
        let after = self.timeout;
        let authority = self.authority();
        timeout(after, self.exchange(call))
            .await
            .unwrap_or(Err(RequestError::Timeout { authority, after }))
    }

    async fn exchange(&mut self, call: Call) -> Result<Bytes, RequestError> {
        let name = format!("{} {}", call.method, printable(&call.path));
        let request = self.request(call)?;
        let (connection, response) = match self.on_kept_connection(&request).await {
            Some(answered) => answered,
            None => {
                let connection = open(self.dialer.connect().await?).await;
                let connection = connection.map_err(|error| self.failed(&error))?;
                let answered = send(connection, request).await;
                answered.map_err(|error| self.failed(&error))?
            }
        };
        let (head, body) = response.into_parts();
        let body = read(body).await.map_err(|problem| self.problem(problem))?;
        self.connection = Some(connection);
        if head.status.is_success() {
            return Ok(body);
        }
        let text = reason(&Response::from_parts(head.clone(), body));
        Err(RequestError::Refused(Box::new(Refusal {
            status: head.status,
            request: name,
            text,
        })))
    }

    /// Sends a request on the connection of the one before. `None`, and the connection is given up,
    /// if there is none or it fails: a server may close a connection at any time, and what may be
    /// repeated is to be sent again on a new one (RFC 9110 §9.2.2).
    async fn on_kept_connection(
        &mut self,
        request: &Request<Full<Bytes>>,
    ) -> Option<(Connection, Response<Incoming>)> {
        let connection = self.connection.take()?;
        if !request.method().is_idempotent() {
            return None;
        }
        send(connection, request.clone()).await.ok()
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, RequestError> {
        let endpoint = self.dialer.endpoint();
        let scheme = if endpoint.is_secure() {
            "https"
        } else {
            "http"
        };
        let authority = endpoint.authority();
        let now = now();
        let token = sign(
            &NewToken {
                audience: &format!("{scheme}://{authority}{}", call.path),
                issued_at: now,
                expires_at: now.plus(TOKEN_LIFETIME),
                subject: None,
                roles: &[],
                groups: &[],
            },
            &self.access_key,
        );
        let mut request = Request::builder()
            .method(&call.method)
            .uri(&call.path)
            .header(HOST, authority)
            .header(USER_AGENT, PROGRAM)
            .header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(content_type) = call.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        // Some servers want a length even where there is no body.
        if call.method == Method::POST || call.method == Method::PUT {
            request = request.header(CONTENT_LENGTH, call.body.len());
        }
        request
            .body(Full::new(call.body))
            .map_err(|error| self.problem(error.to_string()))
    }

    fn failed(&self, error: &hyper::Error) -> RequestError {
        self.problem(with_cause(error))
    }

    fn problem(&self, problem: String) -> RequestError {
        RequestError::Http {
            authority: self.authority(),
            problem,
        }
    }

    fn authority(&self) -> String {
        self.dialer.endpoint().authority().to_owned()
    }
}

async fn open(stream: Stream) -> hyper::Result<Connection> {
    let (connection, driver) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    // Its error is also that of the request which it fails.
    tokio::spawn(driver);
    Ok(connection)
}

async fn send(
    mut connection: Connection,
    request: Request<Full<Bytes>>,
) -> hyper::Result<(Connection, Response<Incoming>)> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    Ok((connection, response))
}

async fn read(body: Incoming) -> Result<Bytes, String> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let body = Limited::new(body, MAX_BODY).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => with_cause(&error),
            Err(_) => too_large(),
        })
}

fn too_large() -> String {
    format!("the answer is larger than {MAX_BODY} bytes")
}

/// An error of hyper with what lies below it, which its own text leaves out.
pub(super) fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What an answer says about its failure: code and message of the body (protocol notes: REST
/// errors), the code of the header where there is no body, or what it says about the token.
fn reason(response: &Response<Bytes>) -> String {
    #[derive(Deserialize)]
    struct Fault {
        code: String,
        message: Option<String>,
    }
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(shown(value.as_bytes()))
    };
    if let Ok(Fault { code, message }) = serde_json::from_slice(response.body()) {
        let message = message.unwrap_or_default();
        return shown(format!("{code}: {message}").as_bytes());
    }
    if !response.body().is_empty() {
        return shown(response.body());
    }
    header("x-ms-error-code")
        .or_else(|| header(WWW_AUTHENTICATE.as_str()))
        .unwrap_or_default()
}
