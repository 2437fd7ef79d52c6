//! What ran, how long it took, what was skipped and why.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step that did not fail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran and is fine.
    Passed,
    /// A part of it could not run here; the text says which part and why.
    Partly(String),
    /// It could not run here; the text says why. Fails the run in CI.
    Skipped(String),
}

/// The steps of one command, in the order in which they ran.
pub(crate) struct Summary {
    rows: Vec<Row>,
    /// In CI a skip is a failure: a machine that lacks something must not look green.
    ci: bool,
}

struct Row {
    name: String,
    elapsed: Duration,
    mark: &'static str,
    note: String,
    failed: bool,
}

impl Summary {
    /// An empty summary; `ci` makes skips fail.
    pub(crate) fn new(ci: bool) -> Self {
        Self {
            rows: Vec::new(),
            ci,
        }
    }

    /// Runs a step and keeps its outcome. A failure does not stop the steps after it.
    pub(crate) fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Outcome>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let result = run();
        self.record(name, start.elapsed(), result);
    }

    /// Prints the table; `true` when nothing failed.
    pub(crate) fn finish(&self) -> bool {
        print!("\n{}", self.table());
        self.passed()
    }

    fn record(&mut self, name: &str, elapsed: Duration, result: Result<Outcome>) {
        let (mark, note, failed) = match result {
            Ok(Outcome::Passed) => ("ok", String::new(), false),
            Ok(Outcome::Partly(reason)) => ("PARTLY", reason, false),
            Ok(Outcome::Skipped(reason)) if self.ci => (
                "FAILED",
                format!("skipped, which CI does not allow: {reason}"),
                true,
            ),
            Ok(Outcome::Skipped(reason)) => ("SKIPPED", reason, false),
            Err(error) => ("FAILED", format!("{error:#}"), true),
        };
        if !note.is_empty() {
            println!("!!! {name}: {mark}: {note}");
        }
        self.rows.push(Row {
            name: name.to_owned(),
            elapsed,
            mark,
            note,
            failed,
        });
    }

    fn passed(&self) -> bool {
        self.rows.iter().all(|row| !row.failed)
    }

    fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        let mut table = String::new();
        for row in &self.rows {
            let seconds = row.elapsed.as_secs_f64();
            let note = row.note.lines().next().unwrap_or_default();
            let line = format!(
                "{:width$}  {seconds:>7.1} s  {:<7}  {note}",
                row.name, row.mark
            );
            let _ = writeln!(table, "{}", line.trim_end());
        }
        let total: Duration = self.rows.iter().map(|row| row.elapsed).sum();
        let verdict = if self.passed() { "ok" } else { "FAILED" };
        let _ = writeln!(
            table,
            "{:width$}  {:>7.1} s  {verdict}",
            "total",
            total.as_secs_f64()
        );
        table
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Summary};
    use anyhow::{Result, anyhow};

    fn check(ci: bool, result: Result<Outcome>, passes: bool, shows: &str) {
        let mut summary = Summary::new(ci);
        summary.step("a step", || result);
        assert_eq!(summary.passed(), passes, "{}", summary.table());
        assert!(summary.table().contains(shows), "{}", summary.table());
    }

    #[test]
    fn a_skip_is_loud_everywhere_and_fatal_in_ci() {
        let skip = || Ok(Outcome::Skipped("no browser".into()));
        check(false, skip(), true, "SKIPPED  no browser");
        check(
            true,
            skip(),
            false,
            "FAILED   skipped, which CI does not allow: no browser",
        );
    }

    #[test]
    fn failures_fail_and_partial_steps_are_named() {
        check(false, Ok(Outcome::Passed), true, "ok");
        check(
            true,
            Ok(Outcome::Partly("no network".into())),
            true,
            "PARTLY   no network",
        );
        check(false, Err(anyhow!("broken")), false, "FAILED   broken");
    }
}
