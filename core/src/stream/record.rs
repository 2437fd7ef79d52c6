//! A session's streams as they outlive the process.

use serde::{Deserialize, Serialize};

use super::EndReason;

/// The streams of a session as they outlive the process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamsRecord {
    pub(super) open: Vec<StreamRecord>,
    pub(super) ended: Vec<EndedRecord>,
}

impl StreamsRecord {
    /// Open streams.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamRecord {
    pub(super) stream_id: Box<str>,
    pub(super) group: Box<str>,
    pub(super) no_echo: bool,
    pub(super) expected: u64,
    pub(super) idle_timeout_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EndedRecord {
    pub(super) stream_id: Box<str>,
    pub(super) reason: EndReason,
    pub(super) untold: bool,
}
