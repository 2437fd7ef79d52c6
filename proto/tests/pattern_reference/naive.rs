//! A second matcher of group patterns, which tries everything.

use std::collections::HashMap;

/// Whether a valid pattern, escapes and all, matches the whole name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<_> = pattern.chars().collect();
    let name: Vec<_> = name.chars().collect();
    tried(&pattern, &name, &mut HashMap::new())
}

/// What is left of both decides, so that by length is remembered.
fn tried(pattern: &[char], name: &[char], known: &mut HashMap<(usize, usize), bool>) -> bool {
    let key = (pattern.len(), name.len());
    if let Some(known) = known.get(&key) {
        return *known;
    }
    let result = match pattern {
        [] => name.is_empty(),
        ['\\', literal, rest @ ..] => {
            name.first() == Some(literal) && tried(rest, &name[1..], known)
        }
        ['*', '*', rest @ ..] => {
            let rest = match rest.iter().position(|c| *c != '*') {
                Some(end) => &rest[end..],
                None => &[],
            };
            (0..=name.len()).any(|skipped| tried(rest, &name[skipped..], known))
        }
        ['*', rest @ ..] => {
            let segment = name.iter().take_while(|c| **c != '.').count();
            (0..=segment).any(|skipped| tried(rest, &name[skipped..], known))
        }
        ['?', rest @ ..] => {
            name.first().is_some_and(|c| *c != '.') && tried(rest, &name[1..], known)
        }
        [literal, rest @ ..] => name.first() == Some(literal) && tried(rest, &name[1..], known),
    };
    known.insert(key, result);
    result
}
