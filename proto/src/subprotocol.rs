//! The client protocols we speak, and how one is chosen from what a client offers.
//!
//! What a `connect` event handler answers may override the choice; that is the front door's work.

/// A predefined subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subprotocol {
    /// JSON messages without recovery.
    Json,
    /// JSON messages, numbered, with recovery.
    JsonReliable,
    /// Protobuf messages without recovery.
    Protobuf,
    /// Protobuf messages, numbered, with recovery.
    ProtobufReliable,
}

impl Subprotocol {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Json,
        Self::JsonReliable,
        Self::Protobuf,
        Self::ProtobufReliable,
    ];

    /// The name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json.webpubsub.azure.v1",
            Self::JsonReliable => "json.reliable.webpubsub.azure.v1",
            Self::Protobuf => "protobuf.webpubsub.azure.v1",
            Self::ProtobufReliable => "protobuf.reliable.webpubsub.azure.v1",
        }
    }

    /// Finds a subprotocol by name, in any letter case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// Whether its messages are numbered and a lost socket may be replaced.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::JsonReliable | Self::ProtobufReliable)
    }
}

/// What follows from a client's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection<'a> {
    /// How frames are read and written; `None` for bare payloads.
    pub subprotocol: Option<Subprotocol>,
    /// What `Sec-WebSocket-Protocol` answers, in the client's own spelling; `None` leaves the
    /// header out.
    pub answer: Option<&'a str>,
}

/// Chooses from the names of `Sec-WebSocket-Protocol`, in the client's order: the first predefined
/// one, else the first custom name, as a simple client (protocol notes: subprotocol negotiation).
#[must_use]
pub fn select<'a>(offered: &[&'a str]) -> Selection<'a> {
    let predefined = offered
        .iter()
        .find_map(|name| Subprotocol::from_name(name).map(|found| (*name, found)));
    match predefined {
        Some((name, subprotocol)) => Selection {
            subprotocol: Some(subprotocol),
            answer: Some(name),
        },
        None => Selection {
            subprotocol: None,
            answer: offered.first().copied(),
        },
    }
}
