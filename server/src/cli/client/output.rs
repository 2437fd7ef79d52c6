//! What a client prints: one line for each thing that happens.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::message::Message;
use crate::cli::output::try_print;
use crate::remote::{json_printable, printable};

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For a person.
    Readable,
    /// As they came; for PubSub clients.
    Raw,
    /// As JSON objects with the members `dataType` and `data`; for simple clients.
    Wrapped,
}

/// Prints to standard output. Every error is that of writing there; a reader that has gone away is
/// one too.
#[derive(Debug)]
pub(super) struct Output(Form);

impl Output {
    pub(super) fn new(form: Form) -> Self {
        Self(form)
    }

    /// A message to a PubSub client, as it came and as it was understood.
    pub(super) fn message(&self, raw: &str, message: &Message) -> io::Result<()> {
        if self.0 != Form::Readable {
            return try_print(&json_printable(raw));
        }
        match message {
            Message::Connected {
                connection_id,
                user_id,
            } => {
                let user = user_id.as_ref().map(|user| format!(" as {user}"));
                let user = user.unwrap_or_default();
                let line = format!("connected{user}, connection {connection_id}");
                try_print(&printable(&line))
            }
            Message::Disconnected(reason) => try_print(&format!("disconnected: {reason}")),
            Message::Data(line) => try_print(line),
            // It is printed with the name of its request.
            Message::Ack(..) => Ok(()),
            Message::Other => try_print(&printable(raw)),
        }
    }

    /// A text message to a simple client.
    pub(super) fn text(&self, text: &str) -> io::Result<()> {
        match self.0 {
            Form::Wrapped => {
                let json = json!({ "dataType": "text", "data": text }).to_string();
                try_print(&json_printable(&json))
            }
            Form::Readable | Form::Raw => try_print(&printable(text)),
        }
    }

    /// A binary message.
    pub(super) fn binary(&self, bytes: &[u8]) -> io::Result<()> {
        let data = STANDARD.encode(bytes);
        match self.0 {
            Form::Wrapped => try_print(&json!({ "dataType": "binary", "data": data }).to_string()),
            Form::Readable | Form::Raw => try_print(&format!("(binary) {data}")),
        }
    }

    /// How a request ended.
    pub(super) fn ack(&self, request: &str, outcome: &Result<(), String>) -> io::Result<()> {
        match (self.0, outcome) {
            (Form::Readable, Ok(())) => try_print(&format!("✓ {request}")),
            (Form::Readable, Err(error)) => try_print(&format!("✗ {request}: {error}")),
            (Form::Raw | Form::Wrapped, _) => Ok(()),
        }
    }
}
