//! One connection's states and subscriptions in a session that is saved over a restart.

use std::sync::Arc;

use hubwire_proto::group_state::GroupState;
use serde::{Deserialize, Serialize};

use super::GroupStates;
use crate::hub::GroupIndex;

/// What a connection tells its groups, and what it is told of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStateRecord {
    /// The newest time of a change, in milliseconds since 1970.
    pub last_update: i64,
    /// What the connection has in each group, each of them one that it is a member of.
    pub groups: Vec<InGroupRecord>,
}

/// What a connection has in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InGroupRecord {
    /// The group's name.
    pub group: Box<str>,
    /// What the connection tells the group.
    pub state: Option<StateRecord>,
    /// Whether it is told the states of the group.
    pub is_subscriber: bool,
}

/// A state and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The state.
    pub state: GroupState,
    /// When it was set, in milliseconds since 1970.
    pub updated_at: i64,
}

impl GroupStates {
    /// What has to be saved, if anything; `name` tells the names of the groups. A snapshot that is
    /// being gathered is not saved.
    #[must_use]
    pub fn export(
        &self,
        name: impl Fn(GroupIndex) -> Option<Arc<str>>,
    ) -> Option<GroupStateRecord> {
        let groups = self.iter().filter_map(|entry| {
            Some(InGroupRecord {
                group: (&*name(entry.group)?).into(),
                state: entry.state.as_ref().and_then(|item| {
                    Some(StateRecord {
                        state: item.state()?.clone(),
                        updated_at: item.updated_at(),
                    })
                }),
                is_subscriber: entry.subscription.is_some(),
            })
        });
        (!self.is_unused()).then(|| GroupStateRecord {
            last_update: self.last_update(),
            groups: groups.collect(),
        })
    }
}
