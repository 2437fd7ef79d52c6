//! The one table of configuration keys: it drives unknown-key and range checks and the reference.
//!
//! What a value means is decided where it is read, in `config.rs`, `hub.rs` and `secret.rs`.

use super::limits;

/// One key of a table of the configuration.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) default: Default,
    pub(super) doc: &'static str,
    /// What happens at the bound; empty for keys that are not limits.
    pub(super) at_bound: &'static str,
    /// The command-line flag that sets it, if there is one.
    pub(super) flag: Option<&'static str>,
}

/// What may stand behind a key.
pub(super) enum Shape {
    Text,
    /// A text or a list of texts.
    Texts,
    /// A whole number from `min` to `max`, counted in `unit`.
    Integer {
        min: u64,
        max: u64,
        unit: &'static str,
    },
    /// One of these words, upper or lower case.
    Choice(&'static [&'static str]),
    /// A text, `{ env = "…" }` or `{ file = "…" }`.
    Secret,
    Table(&'static [Key]),
    /// A list of tables.
    Tables(&'static [Key]),
    /// Tables under names that the operator chooses.
    Named(&'static [Key]),
}

/// What a key that is not given stands for.
pub(super) enum Default {
    Nothing,
    Integer(u64),
    /// The value is worked out at start; this says how.
    Derived(&'static str),
}

impl Key {
    const fn new(name: &'static str, shape: Shape, default: Default, doc: &'static str) -> Self {
        Self {
            name,
            shape,
            default,
            doc,
            at_bound: "",
            flag: None,
        }
    }

    pub(super) const fn limit(
        name: &'static str,
        shape: Shape,
        default: Default,
        doc: &'static str,
        at_bound: &'static str,
    ) -> Self {
        Self {
            name,
            shape,
            default,
            doc,
            at_bound,
            flag: None,
        }
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }
}

/// More shards than this never help one node: beyond it the inboxes cost more than a core gives.
pub(super) const MAX_SHARDS: u64 = 63;

/// The keys of the root table.
pub(super) const ROOT: &[Key] = &[
    Key::new(
        "listen",
        Shape::Text,
        Default::Derived("`127.0.0.1:8080`"),
        "Address for clients, REST and health: an IP address or `localhost`, and a port. \
         Port 0 lets the system choose one.",
    )
    .flag("--listen"),
    Key::new(
        "endpoint",
        Shape::Texts,
        Default::Derived("`http://localhost:PORT`"),
        "Public `http` or `https` address, or a list of them: accepted token audiences; \
         the first one appears in connection strings and client URLs.",
    )
    .flag("--endpoint"),
    Key::new(
        "data_dir",
        Shape::Text,
        Default::Nothing,
        "Directory for state that survives a restart. Nothing is stored in this version.",
    )
    .flag("--data-dir"),
    Key::new(
        "admin_listen",
        Shape::Text,
        Default::Derived("off"),
        "Address of the admin listener, which serves `/metrics`. It has no authentication.",
    )
    .flag("--admin-listen"),
    Key::new(
        "shards",
        Shape::Integer {
            min: 1,
            max: MAX_SHARDS,
            unit: "threads",
        },
        Default::Derived("one per core, at most 63"),
        "Threads that own client sockets.",
    )
    .flag("--shards"),
    Key::new("log", Shape::Table(LOG), Default::Nothing, ""),
    Key::new(
        "access_keys",
        Shape::Table(ACCESS_KEYS),
        Default::Nothing,
        "",
    ),
    Key::new("limits", Shape::Table(limits::KEYS), Default::Nothing, ""),
    Key::new("hub_defaults", Shape::Table(HUB), Default::Nothing, ""),
    Key::new("hubs", Shape::Named(HUB), Default::Nothing, ""),
];

const LOG: &[Key] = &[
    Key::new(
        "level",
        Shape::Text,
        Default::Derived("`info`"),
        "`off`, `error`, `warn`, `info`, `debug` or `trace`; or a comma list such as \
         `info,hubwire::front=debug`.",
    )
    .flag("--log-level"),
    Key::new(
        "format",
        Shape::Choice(&["text", "json"]),
        Default::Derived("`text`"),
        "Form of the log on standard error.",
    )
    .flag("--log-format"),
];

const ACCESS_KEYS: &[Key] = &[
    Key::new(
        "primary",
        Shape::Secret,
        Default::Derived("the public development key, on loopback only"),
        "Key that signs and verifies tokens: a text of at least 32 bytes, `{ env = \"NAME\" }` or \
         `{ file = \"PATH\" }`. No `;`, no control characters, no blanks at the ends.",
    )
    .flag("--access-key-file"),
    Key::new(
        "secondary",
        Shape::Secret,
        Default::Nothing,
        "Second key, accepted beside the primary one so that keys can be exchanged without a gap.",
    ),
];

/// The keys of `[hub_defaults]` and `[hubs.NAME]`.
pub(super) const HUB: &[Key] = &[
    Key::new(
        "anonymous_connect_policy",
        Shape::Choice(&["allow", "deny"]),
        Default::Derived("`deny`"),
        "Whether a client may connect without a token.",
    ),
    Key::new(
        "web_socket_keep_alive_interval_in_seconds",
        Shape::Integer {
            min: 1,
            max: 120,
            unit: "seconds",
        },
        Default::Integer(20),
        "A client that was silent for this long is pinged.",
    ),
    Key::new(
        "event_handlers",
        Shape::Tables(EVENT_HANDLER),
        Default::Derived("none; without a file: `builtin:echo` for every event"),
        "Ordered list; the first handler that matches an event gets it.",
    ),
];

const EVENT_HANDLER: &[Key] = &[
    Key::new(
        "url_template",
        Shape::Text,
        Default::Derived("required"),
        "`builtin:echo`, which answers every event with its own data.",
    ),
    Key::new(
        "user_event_pattern",
        Shape::Text,
        Default::Derived("no user event"),
        "`*` for all user events, one event name, or a comma list of names; case is ignored.",
    ),
    Key::new(
        "system_events",
        Shape::Texts,
        Default::Derived("none"),
        "Any of `connect`, `connected`, `disconnected`.",
    ),
];

/// The key among `keys` that `written` was most likely meant to be.
pub(super) fn nearest(keys: &[Key], written: &str) -> Option<&'static str> {
    let far = (written.len() / 3).max(1);
    keys.iter()
        .map(|key| {
            (
                strsim::osa_distance(key.name, &snake_case(written)),
                key.name,
            )
        })
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, name)| name)
}

/// `messageBytes` as `message_bytes`; a name without capitals comes back as it was.
pub(super) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
