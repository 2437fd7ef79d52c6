//! What a connection may do, granted, checked and revoked while it is connected (protocol notes:
//! REST permissions).

use std::sync::Arc;

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, Question, Selection};
use hubwire_proto::rest::{PermissionVerb, Target, target_name};
use hubwire_proto::role::{Permission, TooManyLiterals};
use hyper::StatusCode;

use super::error::{RestError, Severity};
use super::{Applied, Call, Rest, applied};
use crate::listener::{Reply, reply};

impl Rest {
    pub(super) async fn permission(
        &self,
        call: &Call<'_>,
        verb: PermissionVerb,
        permission: Permission,
        connection: &str,
    ) -> Result<Reply, RestError> {
        let group: Option<Arc<str>> = target_name(&call.query)?.map(Arc::from);
        let target = Target::Connection(connection.to_owned());
        let not_existed = || RestError::not_existed(Severity::Info, &target);
        if verb == PermissionVerb::Check {
            let question = Question::Allows { permission, group };
            let answers = self.question(call, &target, question).await?;
            return if answers.contains(&Answer::Allows(true)) {
                Ok(reply::empty(StatusCode::OK))
            } else {
                Err(not_existed())
            };
        }
        let grants = verb == PermissionVerb::Grant;
        let change = |reply| {
            let reply = Some(reply);
            if grants {
                Action::Grant {
                    permission,
                    group,
                    reply,
                }
            } else {
                Action::Revoke {
                    permission,
                    group,
                    reply,
                }
            }
        };
        let answers = self
            .dispatch
            .ask(call.hub.key(), &target, Selection::default(), change)
            .await?;
        match applied(&answers) {
            Some(Applied::Refused) => {
                let text = TooManyLiterals { permission }.text(connection);
                Err(RestError::conflict(text))
            }
            Some(Applied::ToSome) if grants => Ok(reply::empty(StatusCode::OK)),
            None if grants => Err(not_existed()),
            Some(Applied::ToSome) | None => Ok(reply::empty(StatusCode::NO_CONTENT)),
        }
    }
}
