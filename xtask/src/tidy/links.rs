//! Rules for Markdown: a link to a file of the repository leads somewhere.

use super::{Finding, Source};

/// Checks the links of a Markdown file; `exists` answers for paths relative to the root.
pub(super) fn check(source: &Source, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    if !source.path.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut in_code = false;
    for (index, line) in source.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(&without_code(line)) {
            let leads_somewhere =
                resolve(&source.path, &target).is_some_and(|path| path.is_empty() || exists(&path));
            if !leads_somewhere {
                let message = format!("the link to `{target}` leads nowhere");
                findings.push(Finding::new(&source.path, index + 1, message));
            }
        }
    }
    findings
}

/// The targets of inline links and of link definitions that name a file.
fn targets(line: &str) -> Vec<String> {
    let inline = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    let definition = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .and_then(|(_, rest)| rest.split_whitespace().next());
    inline
        .chain(definition)
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty())
        .collect()
}

/// The line without what stands between back quotes.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// A link's target relative to the root; `None` when it points outside.
fn resolve(from: &str, target: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => folder.split('/').filter(|part| !part.is_empty()).collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Source;

    /// Expects this many broken links in a repository with three files.
    fn expect(path: &str, text: &str, count: usize) {
        let exists = |path: &str| ["README.md", "docs/a.md", "core/src"].contains(&path);
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found = check(&source, &exists);
        assert_eq!(found.len(), count, "{text}: {found:?}");
    }

    #[test]
    fn links_lead_somewhere() {
        expect("README.md", "[a](docs/a.md) and [b](docs/b.md)\n", 1);
        expect("README.md", "[a](docs/a.md#part), [c](core/src/)\n", 0);
        expect(
            "docs/a.md",
            "[up](../README.md) [self](a.md) [root](/docs/a.md)\n",
            0,
        );
        expect("docs/a.md", "[up](README.md)\n", 1);
        expect("README.md", "[out](../elsewhere.md)\n", 1);
        expect("README.md", "[gone]: docs/gone.md\n", 1);
    }

    #[test]
    fn other_targets_are_not_ours() {
        expect(
            "README.md",
            "[w](https://example.com/x) [m](mailto:a@example.com) [h](#here)\n",
            0,
        );
        expect("README.md", "`[x](gone.md)`\n```\n[x](gone.md)\n```\n", 0);
        expect("core/src/lib.rs", "[x](gone.md)\n", 0);
    }
}
