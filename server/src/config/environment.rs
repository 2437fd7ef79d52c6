//! `HUBWIRE_…` variables as a layer of the configuration.
//!
//! `HUBWIRE_LIMITS__MESSAGE_BYTES` is `limits.message_bytes`: two underscores between levels, a
//! number for an element of a list.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::error::{ConfigError, Origin};
use super::keys::HUB;
use super::tree::{Node, Segment, Table, Value, dotted, set};

const PREFIX: &str = "HUBWIRE_";

/// Names the configuration file, like `--config`; not a key.
pub(super) const CONFIG_VARIABLE: &str = "HUBWIRE_CONFIG";

/// Names the server for the commands that talk to one; not a key.
pub(crate) const CONNECTION_STRING_VARIABLE: &str = "HUBWIRE_CONNECTION_STRING";

/// The variable that sets a dotted key, for the reference.
pub(super) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// Writes every `HUBWIRE_…` variable into `table`. An empty variable is the same as none.
///
/// # Errors
///
/// If a value is not UTF-8 or cannot be placed. Unknown keys are found when the tree is read.
pub(super) fn apply(
    table: &mut Table,
    variables: &[(OsString, OsString)],
) -> Result<(), ConfigError> {
    let secrets = secret_variables(table, variables);
    let mut given = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path = path_of(rest);
        let origin = Origin::Variable(name.to_owned());
        let Some(value) = value.to_str() else {
            return Err(ConfigError::new(&origin, dotted(&path), "not valid UTF-8"));
        };
        let ours = ![CONFIG_VARIABLE, CONNECTION_STRING_VARIABLE].contains(&name)
            && !secrets.contains(name)
            && !is_set_by_kubernetes(rest, value);
        if ours && !value.is_empty() {
            given.push((path, value.to_owned(), origin));
        }
    }
    // Elements of a list in their numeric order, whatever the order of the environment.
    given.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    for (path, value, origin) in given {
        set_plain(table, &path, Value::Plain(value), &origin)?;
    }
    Ok(())
}

/// Writes a value of a variable or flag. `access_keys.primary.file` is another way to give
/// `access_keys.primary`, so it replaces what an earlier layer gave in whatever form.
pub(super) fn set_plain(
    table: &mut Table,
    path: &[Segment],
    value: Value,
    origin: &Origin,
) -> Result<(), ConfigError> {
    if let [Segment::Key(keys), _, Segment::Key(form)] = path
        && keys == "access_keys"
        && (form == "env" || form == "file")
    {
        let node = Node {
            written: form.clone(),
            origin: origin.clone(),
            value,
        };
        let value = Value::Table(Table::from([(form.clone(), node)]));
        return set(table, &path[..2], value, origin);
    }
    set(table, path, value, origin)
}

/// The path that a variable's name, without the prefix, stands for.
fn path_of(rest: &str) -> Vec<Segment> {
    let lower = rest.to_ascii_lowercase();
    let mut parts: Vec<&str> = lower.split("__").collect();
    // A hub's name may contain "__" too: it ends where a key of a hub begins.
    let hub = match parts.as_slice() {
        ["hubs", rest @ ..] => rest
            .iter()
            .position(|part| HUB.iter().any(|key| key.name == *part))
            .filter(|end| *end > 1)
            .map(|end| rest[..end].join("__")),
        _ => None,
    };
    if let Some(hub) = &hub {
        let end = 1 + hub.split("__").count();
        parts.splice(1..end, [hub.as_str()]);
    }
    let segment = |part: &&str| match part.parse() {
        Ok(index) => Segment::Index(index),
        Err(_) => Segment::Key((*part).to_owned()),
    };
    parts.iter().map(segment).collect()
}

/// Variables that hold a secret because some `{ env = "NAME" }` says so. They may have our prefix.
fn secret_variables(table: &Table, variables: &[(OsString, OsString)]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(Node {
        value: Value::Table(keys),
        ..
    }) = table.get("access_keys")
    {
        for node in keys.values() {
            if let Value::Table(form) = &node.value
                && let Some(Node {
                    value: Value::Text(name),
                    ..
                }) = form.get("env")
            {
                names.insert(name.clone());
            }
        }
    }
    for (name, value) in variables {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && name.starts_with("HUBWIRE_ACCESS_KEYS__")
            && name.ends_with("__ENV")
        {
            names.insert(value.to_owned());
        }
    }
    names
}

/// Kubernetes describes a service called `hubwire` or `hubwire-…` to every container beside it:
/// `HUBWIRE_SERVICE_HOST`, `HUBWIRE_PORT=tcp://…`, `HUBWIRE_PORT_8080_TCP_ADDR` and so on.
fn is_set_by_kubernetes(rest: &str, value: &str) -> bool {
    let numbered_port = rest.split("PORT_").skip(1).any(|tail| {
        tail.starts_with(|c: char| c.is_ascii_digit())
            && (tail.contains("_TCP") || tail.contains("_UDP") || tail.contains("_SCTP"))
    });
    rest.ends_with("SERVICE_HOST")
        || rest.contains("SERVICE_PORT")
        || (rest.ends_with("PORT") && value.contains("://"))
        || numbered_port
}
