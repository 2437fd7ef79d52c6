//! `docs/configuration.md` and `LIMITS.md`, written from the table of keys.

use std::fmt::Write;

use hubwire_core::ack_memory;
use hubwire_proto::{filter, json, metadata, name, pattern, role, token};

use super::environment::variable_name;
use super::keys::{Default, HUB, Key, ROOT, Shape};
use super::limits;
use super::tree::join;
use crate::{descriptors, front, rest};

/// The reference of all configuration keys, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(CONFIGURATION_HEAD);
    let plain = |key: &&Key| !matches!(key.shape, Shape::Table(_) | Shape::Named(_));
    section(&mut page, "Top level", "", ROOT.iter().filter(plain));
    for key in ROOT {
        if let Shape::Table(keys) = key.shape
            && key.name != "limits"
            && key.name != "hub_defaults"
        {
            section(
                &mut page,
                &format!("`[{}]`", key.name),
                key.name,
                keys.iter(),
            );
        }
    }
    page.push_str(HUBS_HEAD);
    section(&mut page, "", "hubs.NAME", HUB.iter());
    for key in HUB {
        if let Shape::Tables(keys) = key.shape {
            let path = format!("hubs.NAME.{}", key.name);
            section(
                &mut page,
                &format!("`[[{path}]]`"),
                &format!("{path}.0"),
                keys.iter(),
            );
        }
    }
    page.push_str(LIMITS_POINTER);
    page
}

/// The reference of all bounds, in Markdown.
#[must_use]
pub fn limits_reference() -> String {
    let mut page = String::from(LIMITS_HEAD);
    for key in limits::KEYS {
        let Shape::Integer { min, max, unit } = key.shape else {
            continue;
        };
        line(
            &mut page,
            format_args!(
                "| `{}` | {} | {unit} | {} to {} | {} | {} |",
                key.name,
                default_text(&key.default, unit),
                amount(min, unit),
                amount(max, unit),
                key.doc,
                key.at_bound,
            ),
        );
    }
    page.push_str(FIXED_HEAD);
    let fixed = [
        (
            "hub name",
            format!("{} bytes", name::MAX_HUB_LEN),
            "The request gets 400.",
        ),
        (
            "group name",
            format!("{} UTF-16 units", name::MAX_GROUP_UNITS),
            "REST answers 400; a client's request is a malformed message.",
        ),
        (
            "event name",
            format!("{} bytes", name::MAX_EVENT_LEN),
            "A client's event is a malformed message.",
        ),
        (
            "groups named by a connection's roles, granted or revoked",
            format!(
                "{} for joining, {} for sending",
                role::MAX_LITERALS,
                role::MAX_LITERALS
            ),
            "Those that come last in alphabetical order have no effect, which the log says at level debug; a grant or revoke gets 409.",
        ),
        (
            "patterns with wildcards in a connection's roles",
            format!(
                "{} for joining, {} for sending; {} bytes each",
                role::MAX_PATTERNS,
                role::MAX_PATTERNS,
                pattern::MAX_PATTERN_LEN
            ),
            "Those that come last in alphabetical order have no effect, which the log says at level debug.",
        ),
        (
            "filter",
            format!(
                "{} KiB, {} terms, {} levels",
                filter::MAX_FILTER_LEN >> 10,
                filter::MAX_TERMS,
                filter::MAX_NESTING
            ),
            "The request gets 400.",
        ),
        (
            "text that a filter looks through for one connection",
            format!("{} KiB", filter::MAX_TEXT_WORK >> 10),
            "The connection is not picked.",
        ),
        (
            "nesting of JSON data",
            format!("{} levels", json::MAX_DATA_DEPTH),
            "A client's request is a malformed message; REST answers 400.",
        ),
        (
            "ack ids that count as duplicates",
            format!("the last {} successes", ack_memory::REMEMBERED),
            "The oldest may be used again.",
        ),
        (
            "token",
            format!("{} bytes", token::MAX_TOKEN_LEN),
            "It is refused with 401.",
        ),
        (
            "HTTP connections at once, upgraded ones not counted",
            format!(
                "{}, or a sixteenth of the descriptors",
                descriptors::MOST_HTTP_CONNECTIONS
            ),
            "The next wait to be accepted.",
        ),
        (
            "rest of an HTTP connection between two requests",
            format!("{} s", front::IDLE_TIMEOUT.as_secs()),
            "It is closed.",
        ),
        (
            "arrival of a REST body",
            format!("{} s", rest::BODY_TIMEOUT.as_secs()),
            "The request gets 408.",
        ),
        (
            "REST bodies of all requests while they arrive",
            format!("{} MiB", rest::BODY_BYTES_AT_ONCE >> 20),
            "The next wait for 5 s, then get 503.",
        ),
        (
            "metadata of a REST send",
            format!(
                "{} bytes, of them {} in a key and {} in a value",
                metadata::MAX_LEN,
                metadata::MAX_KEY_LEN,
                metadata::MAX_VALUE_LEN
            ),
            "The request gets 400.",
        ),
        (
            "reason of a close over REST",
            format!("{} bytes", hubwire_proto::rest::MAX_REASON_BYTES),
            "The request gets 400.",
        ),
        (
            "shards",
            super::keys::MAX_SHARDS.to_string(),
            "The configuration is refused.",
        ),
    ];
    for (what, bound, at_bound) in fixed {
        line(&mut page, format_args!("| {what} | {bound} | {at_bound} |"));
    }
    page
}

const CONFIGURATION_HEAD: &str = "\
# Configuration

<!-- Written by `hubwire print-reference configuration`; change the table of keys instead. -->

Four layers, the later one wins: built-in defaults, the file named by `--config` (or by
`HUBWIRE_CONFIG`), environment variables, flags.

- Without a file Hubwire serves `127.0.0.1:8080` with the public development key, and `builtin:echo`
  answers every event of every hub. With a file no hub has an event handler unless the file says so.
- The public development key is refused when `listen` is not a loopback address or `endpoint` is not
  local. `hubwire init` writes a file with fresh keys.
- A key may be spelled in camelCase: `urlTemplate` is `url_template`. Both at once are an error.
- Every key has an environment variable: `HUBWIRE_`, then the key in capitals with two underscores
  between levels. Lists of texts are separated by commas, elements of other lists are numbered from
  0, a hub stands by its name: `HUBWIRE_HUBS__CHAT__EVENT_HANDLERS__0__URL_TEMPLATE`. An empty
  variable counts as not set. A secret may be named instead of given:
  `HUBWIRE_ACCESS_KEYS__PRIMARY__FILE=/run/secrets/primary`.
- A secret file named in the configuration file is looked for from that file's directory. One line
  break at its end is dropped. Who else may read it is warned about.
- SIGHUP reads all layers again; [operating](operating.md) says what a running node takes and what waits
  for a restart.
- Anything unknown or wrong is one message with its place and key, and exit code 2, before anything
  listens. Only `HUBWIRE_CONNECTION_STRING`, which is for `hubwire client` and `hubwire service`, and
  the variables that Kubernetes sets for a service called `hubwire` are passed over.
";

const HUBS_HEAD: &str = r#"
## Hubs

`[hubs.NAME]` holds the settings of one hub; names are compared ignoring case. `[hub_defaults]` has
the same keys and holds for every hub that is not named; a named hub takes nothing from it.

The keys are those of the control plane of the original. A hub that was exported there can be pasted
with `=` for each `:`, as its settings alone or with its `properties` around them; `id`, `name`, `type`
and the like beside `properties` have no effect. What this version cannot do is refused: handlers
over HTTP, managed identities, event listeners, group presence events, chat.

```toml
[hubs]
chat = { "properties" = {
  "anonymousConnectPolicy" = "deny",
  "eventHandlers" = [{ "urlTemplate" = "builtin:echo", "userEventPattern" = "*" }],
} }
```
"#;

const LIMITS_POINTER: &str = "
## `[limits]`

Every bound, its default and what happens at it: `LIMITS.md`.
";

const LIMITS_HEAD: &str = "\
# Limits

<!-- Written by `hubwire print-reference limits`; change the table of keys instead. -->

Everything is bounded. These bounds are keys of the table `[limits]` of the configuration; each has
an environment variable too, such as `HUBWIRE_LIMITS__MESSAGE_BYTES`.

| key | default | unit | range | what it bounds | what happens at it |
| --- | ---: | --- | --- | --- | --- |
";

const FIXED_HEAD: &str = "
These belong to the protocol or the design and cannot be moved.

| what | bound | what happens at it |
| --- | --- | --- |
";

fn section<'a>(page: &mut String, title: &str, path: &str, keys: impl Iterator<Item = &'a Key>) {
    if !title.is_empty() {
        line(page, format_args!("\n## {title}"));
    }
    line(page, "\n| key | type | default | variable | flag |  |");
    line(page, "| --- | --- | --- | --- | --- | --- |");
    let has_row = |key: &&Key| !matches!(key.shape, Shape::Table(_) | Shape::Absent(_));
    for key in keys.filter(has_row) {
        let variable = match key.shape {
            Shape::Tables(_) => String::new(),
            _ => format!("`{}`", variable_name(&join(path, key.name))),
        };
        let flag = key.flag.map(|flag| format!("`{flag}`")).unwrap_or_default();
        let (shape, default) = (shape_text(&key.shape), default_text(&key.default, ""));
        line(
            page,
            format_args!(
                "| `{}` | {shape} | {default} | {variable} | {flag} | {} |",
                key.name, key.doc
            ),
        );
    }
}

fn shape_text(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Texts => "text or list of texts".to_owned(),
        Shape::Integer { min, max, unit } => format!("{min} to {max} {unit}"),
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Choice(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Shape::Secret => "secret".to_owned(),
        Shape::Table(_) | Shape::Named(_) => "table".to_owned(),
        Shape::Tables(_) => "list of tables".to_owned(),
        Shape::Absent(_) => String::new(),
    }
}

fn default_text(default: &Default, unit: &str) -> String {
    match default {
        Default::Nothing => "none".to_owned(),
        Default::Integer(value) => amount(*value, unit),
        Default::Derived(text) => (*text).to_owned(),
    }
}

/// A number; bytes in the largest binary unit that divides them too.
fn amount(value: u64, unit: &str) -> String {
    for (shift, binary_unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if unit == "bytes" && value >= 1 << shift && value.trailing_zeros() >= shift {
            return format!("{value} ({} {binary_unit})", value >> shift);
        }
    }
    value.to_string()
}

fn line(page: &mut String, line: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{line}");
}
