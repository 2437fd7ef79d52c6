//! Responses with a body of known length.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// A response.
pub(crate) type Reply = Response<Full<Bytes>>;

/// The content type of JSON bodies.
pub(crate) const JSON: &str = "application/json; charset=utf-8";
/// The content type of texts for people.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// A response without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    // No length belongs to a 1xx or a 204 (RFC 9110 §8.6).
    if !status.is_informational() && status != StatusCode::NO_CONTENT {
        reply
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    reply
}

/// A response with a body. To a HEAD, the body is left out and its length kept.
pub(crate) fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Reply {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.headers_mut().insert(CONTENT_LENGTH, length);
    reply
}

/// `text` as a header's value, without what a header cannot hold.
pub(crate) fn header_text(text: &str) -> HeaderValue {
    let plain: String = text.chars().filter(|c| (' '..='~').contains(c)).collect();
    HeaderValue::from_str(&plain).unwrap_or(HeaderValue::from_static(""))
}
