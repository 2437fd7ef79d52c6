//! Group patterns (protocol notes: roles).

#[path = "pattern_reference/naive.rs"]
mod naive;

use hubwire_proto::pattern::{InvalidPattern, MAX_PATTERN_LEN, Pattern};
use proptest::prelude::*;

#[track_caller]
fn check(pattern: &str, name: &str, expect: bool) {
    let read = Pattern::parse(pattern);
    assert_eq!(
        read.map(|p| p.matches(name)),
        Ok(expect),
        "{pattern} {name}"
    );
    assert_eq!(naive::matches(pattern, name), expect, "{pattern} {name}");
}

#[track_caller]
fn check_invalid(pattern: &str, expect: InvalidPattern) {
    assert_eq!(Pattern::parse(pattern), Err(expect), "{pattern}");
}

#[test]
fn a_star_stays_in_its_segment() {
    check("a.*", "a.b", true);
    check("a.*", "a.", true);
    check("a.*", "a.b.c", false);
    check("*", "", true);
    check("*", ".", false);
    check("*.*", "a.b", true);
    check("*.*", "ab", false);
    check("room*", "room", true);
    check("room*", "rooms-1", true);
    check("room*", "room.1", false);
    check("room*", "a-room", false);
    check("r*m", "room", true);
    check("r*m", "room1", false);
    check("r*m", "r.m", false);
    check("*ab*ab", "abaabab", true);
    check("*a*b*c*", "xxaxxbxxcxx", true);
    check("*a*b*c*", "xxaxxcxxbxx", false);
}

#[test]
fn two_stars_cross_dots() {
    check("a.**", "a.b", true);
    check("a.**", "a.b.c", true);
    check("a.**", "a", false);
    check("**", "", true);
    check("**", "...", true);
    check("**.end", "a.b.end", true);
    check("**.end", "end", false);
    check("a.**.b", "a..b", true);
    check("a.**.b", "a.b", false);
    check("a*.**.*b", "ax.y.z.xb", true);
    check("a*.**.*b", "x.y.z.b", false);
    check("***x", "a.b.x", true);
    check("**a*c", "a.b.abc", true);
    check("**a*c", "abc.b.a.c", false);
}

#[test]
fn a_question_mark_is_one_character_but_no_dot() {
    check("a.?1", "a.x1", true);
    check("a.?1", "a.1", false);
    check("a.?1", "a.x.1", false);
    check("a?c", "a.c", false);
    check("?", "", false);
    check("??", "é😀", true);
    check("??????", "abcdef", true);
    check("?*", "", false);
    check("*?", "a", true);
}

#[test]
fn escapes_and_letter_case() {
    check(r"lit\*x", "lit*x", true);
    check(r"lit\*x", "litax", false);
    check(r"a\?*", "a?b", true);
    check(r"a\?*", "axb", false);
    check(r"a\\.***b", r"a\.x.b", true);
    check(r"a\\.***b", "aa.b", false);
    check(r"\*\*", "**", true);
    check("Room*", "room1", false);
    check("Ä?", "äb", false);
    check("ä?", "äb", true);
}

#[test]
fn invalid_patterns() {
    check_invalid("", InvalidPattern::Empty);
    check_invalid(r"a\", InvalidPattern::Escape);
    check_invalid(r"a\b", InvalidPattern::Escape);
    check_invalid(r"a\.b*", InvalidPattern::Escape);
    check_invalid("a*b*c*d*e**", InvalidPattern::TooManyStars);
    check_invalid("******", InvalidPattern::TooManyStars);
    check_invalid(&"x".repeat(MAX_PATTERN_LEN + 1), InvalidPattern::TooLong);
    assert!(Pattern::parse(r"*a*b*c**\*\*").is_ok());
    assert!(Pattern::parse(&"x".repeat(MAX_PATTERN_LEN)).is_ok());
}

#[test]
fn patterns_of_a_kind_of_their_own() {
    let literal = |text| Pattern::parse(text).map(|pattern| pattern.literal());
    assert_eq!(literal("room"), Ok(Some("room".to_owned())));
    assert_eq!(literal(r"r\*m\\"), Ok(Some(r"r*m\".to_owned())));
    assert_eq!(literal("room?"), Ok(None));
    let anything = |text| Pattern::parse(text).map(|pattern| pattern.is_anything());
    assert_eq!(anything("*****"), Ok(true));
    assert_eq!(anything("*"), Ok(false));
    assert_eq!(anything("**."), Ok(false));
}

/// Names and patterns that would send a matcher that goes back into the years.
#[test]
fn hostile_patterns_end() {
    let name = "a".repeat(1024);
    let many = format!("*{}*", "a".repeat(1022));
    for (pattern, expect) in [
        (format!("*{}b", "a".repeat(1000)), false),
        (format!("**{}*{}b", "a".repeat(400), "?".repeat(400)), false),
        ("**a*a*a*b".to_owned(), false),
        ("*a*a*a*a*".to_owned(), true),
        (many, true),
        ("?".repeat(1024), true),
        ("?".repeat(1023), false),
    ] {
        check(&pattern, &name, expect);
    }
    let longer = Pattern::parse("**a").map(|pattern| pattern.matches(&"a".repeat(1025)));
    assert_eq!(longer, Ok(false), "no group has such a name");
}

fn part() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", ".", "é", "😀", "?", "*", "**", r"\*", r"\\"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn both_matchers_agree(
        parts in prop::collection::vec(part(), 1..9),
        name in r"[ab.é😀*\\]{0,9}",
    ) {
        let pattern = parts.concat();
        if let Ok(read) = Pattern::parse(&pattern) {
            prop_assert_eq!(read.matches(&name), naive::matches(&pattern, &name));
        }
    }

    /// Words of a bit set are passed.
    #[test]
    fn both_matchers_agree_on_long_names(
        parts in prop::collection::vec(part(), 1..9),
        word in "[ab.]{1,4}",
        times in 10..100_usize,
        end in "[ab.]{0,3}",
    ) {
        let pattern = parts.concat();
        let name = word.repeat(times) + &end;
        if let Ok(read) = Pattern::parse(&pattern) {
            prop_assert_eq!(read.matches(&name), naive::matches(&pattern, &name));
        }
    }
}
