//! Rules for files and their lines.

use super::{Finding, Source};

/// Longer files hide more than one idea.
const MAX_RUST_LINES: usize = 700;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["mod", "util", "utils", "helpers", "misc"];

/// Text that must not appear, and what to write instead.
struct Banned {
    text: &'static str,
    instead: &'static str,
    place: Place,
}

/// Where a ban holds.
#[derive(Clone, Copy)]
enum Place {
    /// Every text file, tests excepted.
    Everywhere,
    /// Rust, tests included.
    Rust,
    /// `proto` and `core`, tests excepted.
    Pure,
}

// The texts are put together by `concat!`, so that this file does not break its own rules.
const BANNED: &[Banned] = &[
    Banned {
        text: concat!("/", "work/"),
        instead: "a path relative to the repository",
        place: Place::Everywhere,
    },
    Banned {
        text: concat!("/", "tmp/"),
        instead: "`std::env::temp_dir()`, or a path that the user names",
        place: Place::Everywhere,
    },
    Banned {
        text: concat!("#[", "allow("),
        instead: "`#[expect(lint, reason = \"…\")]`, which fails once it is not needed",
        place: Place::Rust,
    },
    Banned {
        text: concat!("#![", "allow("),
        instead: "`#![expect(lint, reason = \"…\")]`, which fails once it is not needed",
        place: Place::Rust,
    },
    Banned {
        text: concat!("lazy", "_static!"),
        instead: "`std::sync::LazyLock`",
        place: Place::Rust,
    },
    Banned {
        text: concat!("Instant", "::now"),
        instead: "`now` as an argument",
        place: Place::Pure,
    },
    Banned {
        text: concat!("SystemTime", "::now"),
        instead: "`now` as an argument",
        place: Place::Pure,
    },
    Banned {
        text: concat!("Tcp", "Stream"),
        instead: "bytes as arguments; sockets live in `server`",
        place: Place::Pure,
    },
    Banned {
        text: concat!("std::", "fs"),
        instead: "bytes as arguments; files are read in `server`",
        place: Place::Pure,
    },
    Banned {
        text: concat!("std::", "thread"),
        instead: "a function that a thread of `server` calls",
        place: Place::Pure,
    },
];

const MARKERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

/// Checks one file against every rule of this module.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.path.ends_with(".rs") {
        findings.extend(file_name(source));
        findings.extend(length(source));
        findings.extend(module_doc(source));
    }
    if !is_lock_file(&source.path) {
        findings.extend(lines(source));
        findings.extend(final_newline(source));
    }
    findings
}

fn file_name(source: &Source) -> Option<Finding> {
    let stem = source.path.rsplit('/').next()?.strip_suffix(".rs")?;
    EMPTY_NAMES.contains(&stem).then(|| {
        let instead = if stem == "mod" {
            "`name.rs` beside the folder `name`"
        } else {
            "a name that says what is inside"
        };
        Finding::new(
            &source.path,
            0,
            format!("no file named `{stem}.rs`; use {instead}"),
        )
    })
}

fn length(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    (lines > MAX_RUST_LINES).then(|| {
        let message = format!("{lines} lines, more than {MAX_RUST_LINES}: split it by concern");
        Finding::new(&source.path, 0, message)
    })
}

fn module_doc(source: &Source) -> Option<Finding> {
    let first = source.text.lines().find(|line| !line.trim().is_empty())?;
    let is_part_of_a_crate = source.path.contains("src/");
    (is_part_of_a_crate && !first.starts_with("//!")).then(|| {
        let message = "no module documentation: begin with `//!` and say what lives here";
        Finding::new(&source.path, 1, message)
    })
}

fn lines(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_tests = is_test_file(&source.path);
    for (index, line) in source.text.lines().enumerate() {
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        let messages = [
            trailing_space(line),
            open_end(line),
            wildcard_import(&source.path, line, in_tests),
        ];
        let banned = BANNED
            .iter()
            .filter_map(|ban| banned(&source.path, line, in_tests, ban));
        for message in messages.into_iter().flatten().chain(banned) {
            findings.push(Finding::new(&source.path, index + 1, message));
        }
    }
    findings
}

fn trailing_space(line: &str) -> Option<String> {
    (line.trim_end() != line).then(|| "white space at the end of the line".to_owned())
}

fn open_end(line: &str) -> Option<String> {
    let marker = MARKERS.iter().find(|marker| line.contains(**marker))?;
    let names_an_issue = line
        .split('#')
        .skip(1)
        .any(|after| after.starts_with(|first: char| first.is_ascii_digit()));
    (!names_an_issue)
        .then(|| format!("`{marker}` without an issue: finish it, or name the issue as `#123`"))
}

fn wildcard_import(path: &str, line: &str, in_tests: bool) -> Option<String> {
    let import = line.trim_start();
    let import = import.strip_prefix("pub ").unwrap_or(import);
    let is_wildcard = path.ends_with(".rs") && import.starts_with("use ") && import.contains("::*");
    let is_usual_in_tests =
        in_tests && (import.contains("super::*") || import.contains("prelude::*"));
    (is_wildcard && !is_usual_in_tests).then(|| "wildcard import: name what is used".to_owned())
}

fn banned(path: &str, line: &str, in_tests: bool, ban: &Banned) -> Option<String> {
    let is_rust = path.ends_with(".rs");
    let is_pure = is_rust && (path.starts_with("proto/src/") || path.starts_with("core/src/"));
    let applies = match ban.place {
        Place::Everywhere => !in_tests,
        Place::Rust => is_rust,
        Place::Pure => is_pure && !in_tests,
    };
    (applies && line.contains(ban.text))
        .then(|| format!("`{}` is not used here; use {}", ban.text, ban.instead))
}

fn final_newline(source: &Source) -> Option<Finding> {
    let text = &source.text;
    (!text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n"))).then(|| {
        let line = text.lines().count();
        Finding::new(&source.path, line, "end the file with exactly one newline")
    })
}

fn is_lock_file(path: &str) -> bool {
    path.ends_with("Cargo.lock") || path.ends_with("package-lock.json")
}

fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "benches" | "tests.rs"))
}

#[cfg(test)]
mod tests {
    use super::{MAX_RUST_LINES, check};
    use crate::tidy::Source;

    /// Expects a finding whose message contains `expect`, or none when `expect` is empty.
    fn expect(path: &str, text: &str, expect: &str) {
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found: Vec<String> = check(&source).iter().map(ToString::to_string).collect();
        let matches = match expect {
            "" => found.is_empty(),
            expect => found.iter().any(|message| message.contains(expect)),
        };
        assert!(matches, "{path}: expected `{expect}`, found {found:?}");
    }

    #[test]
    fn file_names() {
        expect("core/src/hub/mod.rs", "//! Hubs.\n", "`name.rs` beside");
        expect("core/src/utils.rs", "//! Things.\n", "a name that says");
        expect("core/src/hub.rs", "//! Hubs.\n", "");
    }

    #[test]
    fn length() {
        let text = |lines: usize| format!("//! Doc.\n{}", "//\n".repeat(lines - 1));
        expect("core/src/hub.rs", &text(MAX_RUST_LINES), "");
        expect(
            "core/src/hub.rs",
            &text(MAX_RUST_LINES + 1),
            "split it by concern",
        );
    }

    #[test]
    fn module_documentation() {
        expect(
            "proto/src/lib.rs",
            "use std::fmt;\n",
            "no module documentation",
        );
        expect("server/tests/clients.rs", "use std::fmt;\n", "");
    }

    #[test]
    fn white_space() {
        expect("README.md", "text \n", "README.md:1: white space");
        expect("README.md", "text", "exactly one newline");
        expect("README.md", "text\n\n", "exactly one newline");
        expect("README.md", "text\n", "");
    }

    #[test]
    fn open_ends_name_an_issue() {
        let marker = super::MARKERS[0];
        expect(
            "core/src/hub.rs",
            &format!("//! Hubs.\n// {marker}: later\n"),
            ":2:",
        );
        expect(
            "core/src/hub.rs",
            &format!("//! Hubs.\n// {marker} #17: later\n"),
            "",
        );
    }

    #[test]
    fn wildcard_imports() {
        expect(
            "core/src/hub.rs",
            "//! Hubs.\nuse crate::id::*;\n",
            "wildcard import",
        );
        expect(
            "core/src/hub.rs",
            "//! Hubs.\npub use crate::id::*;\n",
            "wildcard import",
        );
        expect(
            "core/src/hub.rs",
            "//! Hubs.\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n",
            "",
        );
        expect("core/tests/hub.rs", "use proptest::prelude::*;\n", "");
        expect(
            "core/tests/hub.rs",
            "use hubwire_core::*;\n",
            "wildcard import",
        );
    }

    #[test]
    fn every_ban_is_caught_and_names_its_replacement() {
        for ban in super::BANNED {
            let text = format!("//! Doc.\n// {}\n", ban.text);
            expect("core/src/hub.rs", &text, ban.instead);
        }
    }

    #[test]
    fn bans_hold_only_in_their_place() {
        let machine_path = super::BANNED[1].text;
        let clock = "Instant::now()";
        expect(
            "README.md",
            &format!("see {machine_path}x\n"),
            "README.md:1:",
        );
        expect("server/tests/cli.rs", &format!("// {machine_path}x\n"), "");
        expect(
            "server/src/clock.rs",
            &format!("//! Time.\n// {clock}\n"),
            "",
        );
        expect(
            "core/src/hub.rs",
            &format!("//! Hubs.\n#[cfg(test)]\n// {clock}\n"),
            "",
        );
    }

    #[test]
    fn lock_files_are_not_ours_to_format() {
        expect("Cargo.lock", "text \n\n", "");
    }
}
