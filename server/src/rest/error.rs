//! Errors as REST callers see them (protocol notes: REST errors).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use hubwire_proto::filter::FilterError;
use hubwire_proto::rest::{Fault, PathError, Target};
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use crate::dispatch::{Missed, TOO_MANY};
use crate::front::Unauthorized;
use crate::listener::{Reply, reply};

/// An error response. Nothing in it repeats a token.
#[derive(Debug)]
pub(super) struct RestError {
    pub(super) status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    target: &'static str,
    /// One more header that the status calls for. Boxed, since errors are rare and results are
    /// not.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

const X_MS_ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

impl RestError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            target: Fault::REQUEST,
            header: None,
        }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self {
            header: Some(Box::new((name, value))),
            ..self
        }
    }

    /// The body is wrong.
    pub(super) fn bad_body(message: &'static str) -> Self {
        Fault::of_request(message).into()
    }

    /// Nobody is there. `severity` begins the code for a connection; users and groups have one of
    /// their own.
    pub(super) fn not_existed(severity: Severity, target: &Target) -> Self {
        let (code, target, name) = match (target, severity) {
            (Target::Connection(id), Severity::Info) => {
                ("Info.Connection.NotExisted", "Connection", id.as_str())
            }
            (Target::Connection(id), Severity::Error) => {
                ("Error.Connection.NotExisted", "Connection", id.as_str())
            }
            (Target::User(user), _) => ("Warning.User.NotExisted", "User", user.as_str()),
            (Target::Group(group), _) => ("Warning.Group.NotExisted", "Group", group.as_str()),
            (Target::Hub, _) => ("Warning.Hub.NotExisted", "Hub", ""),
        };
        let message = format!("{target} `{name}` is not found.");
        Self {
            target,
            ..Self::new(StatusCode::NOT_FOUND, code, message)
        }
    }

    /// A bound of a connection stands against it; nothing was changed.
    pub(super) fn conflict(message: String) -> Self {
        Self {
            target: "Connection",
            ..Self::new(StatusCode::CONFLICT, "Error.Connection.Conflict", message)
        }
    }

    /// The body is larger than `limit` bytes.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("The request body is larger than {limit} bytes.");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Error.PayloadTooLarge",
            message,
        )
    }

    /// The body did not come in time.
    pub(super) fn body_timeout() -> Self {
        let message = "The request body did not arrive in time.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "Error.RequestTimeout", message)
    }

    /// The content type is not one of a message.
    pub(super) fn unsupported_media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Error.UnsupportedMediaType",
            message,
        )
    }

    /// Not built.
    pub(super) fn not_implemented() -> Self {
        let message = "This operation is not supported by this server.";
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// More than a bound allows; nothing was done, and `wait` is how long to wait.
    pub(super) fn too_many_requests(wait: Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Error.TooManyRequests",
            TOO_MANY,
        )
        .with(RETRY_AFTER, HeaderValue::from(whole.max(1)))
    }

    /// The node cannot do it now; nothing was done, or it is unknown whether it was.
    pub(super) fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Error.ServiceUnavailable",
            message,
        )
        .with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The response.
    pub(super) fn into_reply(self) -> Reply {
        let mut reply = reply::with_body(self.status, reply::JSON, self.body());
        let headers = reply.headers_mut();
        headers.insert(X_MS_ERROR_CODE, HeaderValue::from_static(self.code));
        if let Some((name, value)) = self.header.map(|header| *header) {
            headers.insert(name, value);
        }
        reply
    }

    /// The body: compact JSON, in the order of the vendor's service.
    fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            message: &'a str,
            target: &'a str,
            details: (),
            innererror: (),
        }
        let Self {
            code,
            message,
            target,
            ..
        } = self;
        let body = Body {
            code,
            message,
            target,
            details: (),
            innererror: (),
        };
        // Strings and nulls always serialize.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

/// How bad it is that a connection does not exist.
#[derive(Debug, Clone, Copy)]
pub(super) enum Severity {
    /// It was only asked for.
    Info,
    /// Something was to be done to it.
    Error,
}

impl From<Fault> for RestError {
    fn from(fault: Fault) -> Self {
        Self {
            target: fault.target,
            ..Self::new(StatusCode::BAD_REQUEST, "Error.BadRequest", fault.message)
        }
    }
}

impl From<Missed> for RestError {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::TooMany => Self::too_many_requests(Duration::from_secs(1)),
            Missed::NoRoom | Missed::NoAnswer => Self::unavailable(missed.to_string()),
        }
    }
}

impl From<FilterError> for RestError {
    fn from(error: FilterError) -> Self {
        Fault::of_request(error.to_string()).into()
    }
}

impl From<PathError> for RestError {
    fn from(error: PathError) -> Self {
        let message = error.to_string();
        match error {
            PathError::NotUtf8 => Fault::of_request(message).into(),
            PathError::Unknown => Self::new(StatusCode::NOT_FOUND, "Error.NotFound", message),
            PathError::Method(allowed) => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "Error.MethodNotAllowed",
                message,
            )
            .with(ALLOW, HeaderValue::from_static(allowed)),
        }
    }
}

impl From<Unauthorized> for RestError {
    fn from(error: Unauthorized) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Error.Unauthorized",
            error.to_string(),
        )
        .with(WWW_AUTHENTICATE, error.challenge())
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.as_u16(), self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_fields_of_the_vendor_in_its_order() {
        let error = RestError::not_existed(Severity::Info, &Target::User("some\"user".to_owned()));
        assert_eq!(
            error.body(),
            r#"{"code":"Warning.User.NotExisted","message":"User `some\"user` is not found.","target":"User","details":null,"innererror":null}"#
        );
    }
}
