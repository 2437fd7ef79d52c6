//! Rules for crates: dependencies point one way, and the pure crates stay pure.

use serde_json::Value;

use super::Finding;

struct Crate {
    name: &'static str,
    /// Members of this workspace that it may depend on.
    members: &'static [&'static str],
    /// Whether it must stay free of sockets, runtimes and HTTP.
    pure: bool,
}

const CRATES: &[Crate] = &[
    Crate {
        name: "hubwire-proto",
        members: &[],
        pure: true,
    },
    Crate {
        name: "hubwire-core",
        members: &["hubwire-proto"],
        pure: true,
    },
    Crate {
        name: "hubwire",
        members: &["hubwire-core", "hubwire-proto"],
        pure: false,
    },
    Crate {
        name: "hubwire-bench",
        members: &["hubwire-proto"],
        pure: false,
    },
    Crate {
        name: "xtask",
        members: &[],
        pure: false,
    },
];

const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "http-body",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "nix",
    "polling",
    "reqwest",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tower",
    "tower-http",
];

/// Checks the members that `cargo metadata` lists.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let name = text(package, "name");
        let Some(rule) = CRATES.iter().find(|rule| rule.name == name) else {
            findings.push(Finding::new(
                "Cargo.toml",
                0,
                format!("crate `{name}` has no row in the layers of xtask/src/tidy/manifests.rs"),
            ));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let used = text(dependency, "name");
            // Tests may use anything; what ships may not.
            if text(dependency, "kind") != "dev"
                && let Some(message) = forbidden(rule, used)
            {
                findings.push(Finding::new(name, 0, message));
            }
        }
    }
    findings
}

fn forbidden(rule: &Crate, used: &str) -> Option<String> {
    let is_member = CRATES.iter().any(|other| other.name == used);
    if is_member && !rule.members.contains(&used) {
        return Some(format!(
            "depends on `{used}`, against the direction server → core → proto: move the shared \
             part down"
        ));
    }
    if rule.pure && IMPURE.contains(&used) {
        return Some(format!(
            "depends on `{used}`, but is pure: take bytes, the time and randomness as arguments \
             and do the I/O in `server`"
        ));
    }
    None
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::check;
    use serde_json::{Value, json};

    fn findings(package: &str, dependency: &Value) -> usize {
        check(&json!({"packages": [{"name": package, "dependencies": [dependency]}]})).len()
    }

    #[test]
    fn dependencies_point_one_way() {
        let expect = |package: &str, used: &str, count: usize| {
            let found = findings(package, &json!({"name": used, "kind": null}));
            assert_eq!(found, count, "{package} → {used}");
        };
        expect("hubwire", "hubwire-core", 0);
        expect("hubwire-core", "hubwire-proto", 0);
        expect("hubwire-proto", "hubwire-core", 1);
        expect("hubwire-core", "hubwire", 1);
        expect("hubwire-bench", "hubwire-core", 1);
    }

    #[test]
    fn pure_crates_stay_pure() {
        let expect = |package: &str, used: &str, kind: Value, count: usize| {
            assert_eq!(
                findings(package, &json!({"name": used, "kind": kind})),
                count,
                "{used}"
            );
        };
        expect("hubwire-proto", "tokio", Value::Null, 1);
        expect("hubwire-core", "mio", Value::Null, 1);
        expect("hubwire-core", "hyper", json!("build"), 1);
        expect("hubwire-core", "tokio", json!("dev"), 0);
        expect("hubwire", "tokio", Value::Null, 0);
        expect("hubwire-core", "bytes", Value::Null, 0);
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        assert_eq!(
            findings("hubwire-extra", &json!({"name": "bytes", "kind": null})),
            1
        );
    }
}
