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
    /// `true` or `false`.
    Boolean,
    /// One of these words, upper or lower case.
    Choice(&'static [&'static str]),
    /// A text, `{ env = "…" }` or `{ file = "…" }`.
    Secret,
    Table(&'static [Key]),
    /// A list of tables.
    Tables(&'static [Key]),
    /// What the original has and this version has not; only an empty list or table may stand here.
    /// The text says so.
    Absent(&'static str),
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

    const fn absent(name: &'static str, problem: &'static str) -> Self {
        Self::new(name, Shape::Absent(problem), Default::Nothing, "")
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
        Default::Derived("`http://localhost:PORT`, with TLS `https://localhost:PORT`"),
        "Public `http` or `https` address, or a list of them: accepted token audiences; \
         the first one appears in connection strings and client URLs.",
    )
    .flag("--endpoint"),
    Key::new(
        "data_dir",
        Shape::Text,
        Default::Nothing,
        "Directory for state that survives a restart, created if it is missing: `internal.key`, which \
         signs the client tokens that `:generateToken` issues and all reconnection tokens, and the \
         sessions of reliable clients while the server is stopped. Without it these tokens follow \
         from the access keys.",
    )
    .flag("--data-dir"),
    Key::new(
        "keep_sessions",
        Shape::Boolean,
        Default::Derived("`true`"),
        "Whether reliable clients find their connections again after a restart: a node that is \
         stopped writes them to `data_dir`, and the next one reads them there. Without `data_dir` it \
         has no effect.",
    ),
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
    Key::new("auth", Shape::Table(AUTH), Default::Nothing, ""),
    Key::new("rest", Shape::Table(REST), Default::Nothing, ""),
    Key::new("tls", Shape::Table(TLS), Default::Nothing, ""),
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

const AUTH: &[Key] = &[
    Key::new(
        "check_audience_host",
        Shape::Boolean,
        Default::Derived("`true`"),
        "Whether the host in a token's audience must be that of the request or of an `endpoint`. \
         Without it the path alone decides.",
    ),
    Key::new(
        "trust_forwarded_host",
        Shape::Boolean,
        Default::Derived("`false`"),
        "Whether the first host in `X-Forwarded-Host` counts as the request's host, and \
         `X-Forwarded-Proto` as the scheme in links. Only behind a proxy that sets these headers \
         itself.",
    ),
];

const REST: &[Key] = &[
    Key::new(
        "accept_preview_versions",
        Shape::Boolean,
        Default::Derived("`false`"),
        "Whether the old preview values of `api-version` are accepted too.",
    ),
    Key::new(
        "encoded_slash",
        Shape::Choice(&["decode", "keep"]),
        Default::Derived("`decode`"),
        "`decode`: `%2F` in a path segment is a slash of the name. `keep`: it stays as it is, as in \
         the vendor's emulator.",
    ),
    Key::new(
        "token_generation",
        Shape::Choice(&["allow", "deny"]),
        Default::Derived("`allow`"),
        "Whether the bearer of an access key's token may call `:generateToken`.",
    ),
];

const TLS: &[Key] = &[
    Key::new(
        "certificate",
        Shape::Text,
        Default::Derived("no TLS; `--dev-tls` makes a certificate for this machine"),
        "PEM file with the server's certificate first and those that lead to its issuer behind it. \
         Together with `tls.key` it makes `listen` speak TLS 1.2 and 1.3 and nothing else; both \
         files are read again at SIGHUP. A relative path starts at the configuration file.",
    ),
    Key::new(
        "key",
        Shape::Text,
        Default::Nothing,
        "PEM file with the certificate's private key, not encrypted: PKCS#8, PKCS#1 or SEC1. It may \
         be the same file.",
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
    Key::new(
        "protobuf_json",
        Shape::Choice(&["json_data", "text_data"]),
        Default::Derived("`json_data`"),
        "Which field of a message to a protobuf client carries JSON: `json_data`, or `text_data` for \
         clients that know no other. A change counts for connections made after it.",
    ),
    Key::absent(
        "event_listeners",
        "event listeners are not supported in this version",
    ),
    Key::absent("chat", "chat is not supported in this version"),
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
    Key::new("auth", Shape::Table(HANDLER_AUTH), Default::Nothing, ""),
    Key::absent(
        "group_presence_events",
        "group presence events are not supported in this version",
    ),
];

const HANDLER_AUTH: &[Key] = &[
    Key::new("type", Shape::Text, Default::Derived("`None`"), ""),
    Key::absent("managed_identity", "managed identities are not supported"),
];

/// The key among `keys` that `name`, in snake case, was most likely meant to be.
pub(super) fn nearest(keys: &[Key], name: &str) -> Option<&'static str> {
    let far = (name.len() / 3).max(1);
    keys.iter()
        .filter(|key| !matches!(key.shape, Shape::Absent(_)))
        .map(|key| (strsim::osa_distance(key.name, name), key.name))
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
