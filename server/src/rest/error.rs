//! Errors as REST callers see them (protocol notes: REST errors).

use std::borrow::Cow;
use std::fmt;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::operation::Aim;
use crate::front::Unauthorized;
use crate::listener::{Reply, reply};

/// An error response. Nothing in it repeats a token.
#[derive(Debug)]
pub(super) struct RestError {
    pub(super) status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    target: Cow<'static, str>,
    /// One more header that the status calls for. Boxed, since errors are rare and results are
    /// not.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

const X_MS_ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// The target of an error that is not about a parameter.
const REQUEST: &str = "Request";

impl RestError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            target: Cow::Borrowed(REQUEST),
            header: None,
        }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self {
            header: Some(Box::new((name, value))),
            ..self
        }
    }

    /// A parameter, or something else about the request, is wrong.
    pub(super) fn bad_request(
        message: impl Into<Cow<'static, str>>,
        target: impl Into<Cow<'static, str>>,
    ) -> Self {
        let target = target.into();
        Self {
            target,
            ..Self::new(StatusCode::BAD_REQUEST, "Error.BadRequest", message)
        }
    }

    /// The body is wrong.
    pub(super) fn bad_body(message: &'static str) -> Self {
        Self::bad_request(message, REQUEST)
    }

    /// Nobody is there. `severity` begins the code for a connection; users and groups have one of
    /// their own.
    pub(super) fn not_existed(severity: Severity, aim: &Aim) -> Self {
        let (code, target, name) = match (aim, severity) {
            (Aim::Connection(id), Severity::Info) => {
                ("Info.Connection.NotExisted", "Connection", id.as_str())
            }
            (Aim::Connection(id), Severity::Error) => {
                ("Error.Connection.NotExisted", "Connection", id.as_str())
            }
            (Aim::User(user), _) => ("Warning.User.NotExisted", "User", user.as_str()),
            (Aim::Group(group), _) => ("Warning.Group.NotExisted", "Group", group.as_str()),
            (Aim::Hub, _) => ("Warning.Hub.NotExisted", "Hub", ""),
        };
        let message = format!("{target} `{name}` is not found.");
        let target = Cow::Borrowed(target);
        Self {
            target,
            ..Self::new(StatusCode::NOT_FOUND, code, message)
        }
    }

    /// The path means nothing.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Error.NotFound",
            "There is nothing at this path.",
        )
    }

    /// The path is known, but only with `allowed` methods.
    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        let message = format!("This path allows {allowed} only.");
        let allowed = HeaderValue::from_static(allowed);
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Error.MethodNotAllowed",
            message,
        )
        .with(ALLOW, allowed)
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

    /// Not built yet.
    pub(super) fn not_implemented(message: &'static str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// The node cannot do it now; nothing was done, or it is unknown whether it was.
    pub(super) fn unavailable(message: &'static str) -> Self {
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
        let error = RestError::not_existed(Severity::Info, &Aim::User("some\"user".to_owned()));
        assert_eq!(
            error.body(),
            r#"{"code":"Warning.User.NotExisted","message":"User `some\"user` is not found.","target":"User","details":null,"innererror":null}"#
        );
    }
}
