//! Tokens for clients, made for application servers that have no key of their own at hand
//! (protocol notes: REST tokens for clients).

use std::borrow::Cow;
use std::time::Duration;

use hubwire_proto::rest::{Fault, TokenParameters};
use hubwire_proto::token::{MAX_TOKEN_LEN, NewToken, sign};
use hyper::StatusCode;
use serde::Serialize;

use super::error::RestError;
use super::{Call, Rest};
use crate::clock::now;
use crate::front::Unauthorized;
use crate::listener::{Reply, reply};

#[derive(Serialize)]
struct Generated {
    token: String,
}

impl Rest {
    pub(super) fn generate_token(&self, call: &Call<'_>) -> Result<Reply, RestError> {
        if !self.settings.allow_token_generation {
            return Err(Unauthorized::AccessKey.into());
        }
        let parameters = TokenParameters::read(&call.query)?;
        let endpoint = self
            .verifier
            .endpoint_named(call.hosts)
            .or(self.verifier.endpoints().first())
            .ok_or_else(|| RestError::unavailable("The server has no public address."))?;
        let issued_at = now();
        let lifetime = Duration::from_secs(u64::from(parameters.minutes) * 60);
        let token = NewToken {
            audience: &endpoint.audience(parameters.client_type, call.hub.key()),
            issued_at,
            expires_at: issued_at.plus(lifetime),
            subject: parameters.user_id.as_deref(),
            roles: &owned(parameters.roles),
            groups: &owned(parameters.groups),
        };
        let token = sign(&token, self.verifier.keys().client_token_key());
        // One that no server would take must not be given out.
        if token.len() > MAX_TOKEN_LEN {
            let text = format!("The token would be longer than {MAX_TOKEN_LEN} bytes.");
            return Err(Fault::of_request(text).into());
        }
        // Strings always serialize.
        let body = serde_json::to_string(&Generated { token }).unwrap_or_default();
        Ok(reply::with_body(StatusCode::OK, reply::JSON, body))
    }
}

fn owned(texts: Vec<Cow<'_, str>>) -> Vec<String> {
    texts.into_iter().map(Cow::into_owned).collect()
}
