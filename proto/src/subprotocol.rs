//! The client protocols we speak, and how one is chosen from what a client offers.
//!
//! What a `connect` event handler answers may override the choice; that is the front door's work.

/// A predefined subprotocol that this server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subprotocol {
    /// JSON messages without recovery.
    Json,
    /// Protobuf messages without recovery.
    Protobuf,
}

impl Subprotocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Json, Self::Protobuf];

    /// The name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json.webpubsub.azure.v1",
            Self::Protobuf => "protobuf.webpubsub.azure.v1",
        }
    }

    /// Finds a subprotocol by name, in any letter case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(name))
    }
}

/// Predefined names that clients may offer but this server does not speak. They are never
/// mistaken for custom names: a client that was told its name was accepted would wait for
/// messages that never come.
const UNSPOKEN: [&str; 2] = [
    "json.reliable.webpubsub.azure.v1",
    "protobuf.reliable.webpubsub.azure.v1",
];

/// How a connection's frames are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientProtocol {
    /// Bare payloads, no envelope.
    Simple,
    /// [`Subprotocol::Json`].
    Json,
    /// [`Subprotocol::Protobuf`].
    Protobuf,
}

impl From<Subprotocol> for ClientProtocol {
    fn from(subprotocol: Subprotocol) -> Self {
        match subprotocol {
            Subprotocol::Json => Self::Json,
            Subprotocol::Protobuf => Self::Protobuf,
        }
    }
}

/// What follows from a client's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// Go on with this protocol.
    Accept {
        /// How frames are read and written.
        protocol: ClientProtocol,
        /// What `Sec-WebSocket-Protocol` answers, in the client's own spelling; `None` leaves the
        /// header out.
        answer: Option<&'a str>,
    },
    /// The client wants a predefined subprotocol that this server does not speak: answer 400
    /// with [`unsupported_text`].
    Unsupported(&'a str),
}

/// Chooses from the names of `Sec-WebSocket-Protocol`, in the client's order: the first predefined
/// one that we speak; else a predefined one that we do not is [`Selection::Unsupported`]; else the
/// first custom name, as a simple client (protocol notes: subprotocol negotiation).
#[must_use]
pub fn select<'a>(offered: &[&'a str]) -> Selection<'a> {
    let spoken = offered
        .iter()
        .find_map(|name| Subprotocol::from_name(name).map(|found| (*name, found)));
    if let Some((name, subprotocol)) = spoken {
        return Selection::Accept {
            protocol: subprotocol.into(),
            answer: Some(name),
        };
    }
    let is_unspoken = |name: &str| {
        UNSPOKEN
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    };
    if let Some(name) = offered.iter().find(|name| is_unspoken(name)) {
        return Selection::Unsupported(name);
    }
    Selection::Accept {
        protocol: ClientProtocol::Simple,
        answer: offered.first().copied(),
    }
}

/// The body of the 400 for [`Selection::Unsupported`].
#[must_use]
pub fn unsupported_text(name: &str) -> String {
    let spoken = Subprotocol::ALL.map(Subprotocol::name).join(", ");
    format!("The subprotocol {name} is not supported. Supported subprotocols: {spoken}.")
}
