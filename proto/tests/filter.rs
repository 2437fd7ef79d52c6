//! The filter language (protocol notes: filters).

use std::ops::RangeInclusive;

use hubwire_proto::filter::{
    Filter, FilterSubject, MAX_FILTER_LEN, MAX_NESTING, MAX_TERMS, MAX_TEXT_WORK,
};

#[derive(Default)]
struct Connection {
    id: &'static str,
    user: Option<&'static str>,
    protocol: Option<&'static str>,
    groups: &'static [&'static str],
}

impl FilterSubject for Connection {
    fn connection_id(&self) -> &str {
        self.id
    }
    fn user_id(&self) -> Option<&str> {
        self.user
    }
    fn protocol(&self) -> Option<&str> {
        self.protocol
    }
    fn in_group(&self, group: &str) -> bool {
        self.groups.contains(&group)
    }
    fn group_count(&self) -> usize {
        self.groups.len()
    }
}

const A: Connection = Connection {
    id: "c1",
    user: Some("user-ab-de"),
    protocol: Some("json.webpubsub.azure.v1"),
    groups: &["group1", "group2"],
};
const B: Connection = Connection {
    id: "c2",
    user: None,
    protocol: None,
    groups: &[],
};

/// Whether a filter picks A and B.
#[track_caller]
fn check(filter: &str, expect: (bool, bool)) {
    let got = Filter::parse(filter).map(|filter| (filter.judge(&A).picks, filter.judge(&B).picks));
    assert_eq!(got, Ok(expect), "{filter}");
}

/// Whether a filter picks a connection with this user.
#[track_caller]
fn check_user(filter: &str, user: Option<&'static str>, expect: bool) {
    let connection = Connection {
        user,
        ..Connection::default()
    };
    let got = Filter::parse(filter).map(|filter| filter.judge(&connection).picks);
    assert_eq!(got, Ok(expect), "{filter} {user:?}");
}

/// The place and the reason that the error names.
#[track_caller]
fn check_error(filter: &str, place: &str, reason: &str) {
    let error = Filter::parse(filter).err().map(|error| error.to_string());
    let expect = format!("Invalid syntax for '{place}': {reason} (Parameter 'filter')");
    assert_eq!(error, Some(expect), "{filter}");
}

/// The offset that the syntax error names.
#[track_caller]
fn check_position(filter: &str, position: usize) {
    let reason = format!("Syntax error at position {position} in '{filter}'.");
    check_error(filter, filter, &reason);
}

const BOTH: (bool, bool) = (true, true);
const ONLY_A: (bool, bool) = (true, false);
const ONLY_B: (bool, bool) = (false, true);
const NEITHER: (bool, bool) = (false, false);

#[test]
fn properties_are_compared() {
    check("userId eq 'user-ab-de'", ONLY_A);
    check("userId eq 'USER-AB-DE'", NEITHER);
    check("UserID eq null", ONLY_B);
    check("userId ne null", ONLY_A);
    check("null eq userId", ONLY_B);
    check("connectionId ne 'c1'", ONLY_B);
    check("connectionId eq userId", NEITHER);
    check("protocol eq 'json.webpubsub.azure.v1'", ONLY_A);
    check("PROTOCOL eq null", ONLY_B);
    check("groups eq groups", BOTH);
    check("groups eq null", NEITHER);
}

#[test]
fn unlike_kinds_are_unequal() {
    check("userId eq 5", NEITHER);
    check("userId ne 5", BOTH);
    check("true eq 'true'", NEITHER);
    check("null eq false", NEITHER);
    check("length(userId) eq null", ONLY_B);
    check("(userId eq null) eq true", ONLY_B);
}

#[test]
fn literals() {
    check("true", BOTH);
    check("false", NEITHER);
    check("userId eq 'o''brien'", NEITHER);
    check_user("userId eq 'o''brien'", Some("o'brien"), true);
    check_user("userId eq ''''", Some("'"), true);
    check_user("userId eq ''", Some(""), true);
    check_user("userId eq 'é😀'", Some("é😀"), true);
    check("2147483647 gt -2147483648", BOTH);
    check("-5 lt 0", BOTH);
    check("007 eq 7", BOTH);
}

#[test]
fn groups_are_members_by_exact_name() {
    check("'group1' in groups", ONLY_A);
    check("'GROUP1' in groups", NEITHER);
    check("'group1' in (groups)", ONLY_A);
    check("'group1' in GROUPS", ONLY_A);
    check("tolower('GROUP1') in groups", ONLY_A);
    check("userId in groups", NEITHER);
    check("5 in groups", NEITHER);
    check("groups in groups", NEITHER);
    check("'group1' in (groups, 'x')", NEITHER);
    check("'x' in (groups, 'x')", BOTH);
}

#[test]
fn lists_hold_expressions() {
    check("userId in ('x','user-ab-de')", ONLY_A);
    check("userId in ('Doe, John','x')", NEITHER);
    check_user("userId in ('Doe, John','x')", Some("Doe, John"), true);
    check_user("userId in ('O''Brien, Jane')", Some("O'Brien, Jane"), true);
    check("5 in (1,5)", BOTH);
    check("5 in (1 , , 5,)", BOTH);
    check("5 in ()", NEITHER);
    check("userId in (null)", ONLY_B);
    check("userId in (concat('user-','ab-de'))", ONLY_A);
    check("true in (1 eq 2, 'group1' in groups)", ONLY_A);
    check("'c2' in ('c' , connectionId)", ONLY_B);
    check("1 in (1) in (true)", BOTH);
}

#[test]
fn in_binds_tightest_then_not_and_or_loosest() {
    check("'group1' in groups and not('group3' in groups)", ONLY_A);
    check("not ('group1' in groups)", ONLY_B);
    check("not not ('group1' in groups)", ONLY_A);
    check("not 'group1' in groups", ONLY_B);
    check(
        "not userId in ('user-ab-de') and connectionId eq 'c2'",
        ONLY_B,
    );
    check("false eq 5 in (6)", BOTH);
    check("not true eq false", BOTH);
    check(
        "'g9' in groups or 'group2' in groups and userId eq null",
        NEITHER,
    );
    check(
        "('g9' in groups or 'group2' in groups) and userId ne null",
        ONLY_A,
    );
    check("true or false and false", BOTH);
    check("1 eq 1 eq true", BOTH);
    check("2 gt 1 eq true and true", BOTH);
    check("'a' in ('a') eq true", BOTH);
    check(
        "'A' in groups or 'group1' in groups and not ('group2' in groups)",
        NEITHER,
    );
}

#[test]
fn numbers_are_ordered_and_null_is_not() {
    check("length(groups) ge 2", ONLY_A);
    check("length(groups) le 0", ONLY_B);
    check("length(userId) gt 3", ONLY_A);
    check("not (length(userId) gt 3)", ONLY_B);
    check("length(userId) gt 10 or length(userId) le 3", NEITHER);
    check("1 lt 1 or 1 gt 1", NEITHER);
    check("1 le 1 and 1 ge 1", BOTH);
    check("null lt 1 or null ge 'a'", NEITHER);
}

#[test]
fn functions() {
    check("toupper(userId) eq 'USER-AB-DE'", ONLY_A);
    check("toupper(userId) eq null", ONLY_B);
    check(
        "startswith(userId,'user') and endswith(userId,'de')",
        ONLY_A,
    );
    check("contains(userId,'-ab-')", ONLY_A);
    check("contains('x',userId)", NEITHER);
    check("indexof(userId,'-ab-') ge 0", ONLY_A);
    check("indexof(userId,'-ab-') eq -1", ONLY_B);
    check("indexof(userId,'') eq 0", ONLY_A);
    check("substring(userId,5,2) eq 'ab'", ONLY_A);
    check("substring(userId,10) eq ''", ONLY_A);
    check("substring(userId,50) eq null", BOTH);
    check("substring(userId,0,50) eq null", BOTH);
    check("substring('abc',-1) eq null", BOTH);
    check("substring('abc',1,-1) eq null", BOTH);
    check("concat(userId,'!') eq '!'", ONLY_B);
    check("concat('!',userId) eq '!user-ab-de'", ONLY_A);
    check("concat(userId,protocol) eq null", ONLY_B);
    check("concat(null,null) eq null", BOTH);
    check("trim('  a ') eq 'a'", BOTH);
    check("trim(concat(' ','a ')) eq 'a'", BOTH);
    check("length( trim ( ' ab ' ) ) eq 2", BOTH);
    check("length(concat(concat('a','b'),concat('c','d'))) eq 4", BOTH);
    check("tolower(null) eq null", BOTH);
    check_user("substring(userId, 1) eq 'b'", Some(""), false);
    check_user("substring(userId, 1, 2) eq 'bc'", Some("a"), false);
}

/// A character outside the basic plane counts twice, and is never cut.
#[test]
fn texts_count_in_utf16() {
    check_user("length(userId) eq 4", Some("a😀é"), true);
    check_user("indexof(userId,'é') eq 3", Some("a😀é"), true);
    check_user("substring(userId,1,2) eq '😀'", Some("a😀é"), true);
    check_user("substring(userId,2) eq null", Some("a😀é"), true);
    check_user("substring(userId,1,1) eq null", Some("a😀é"), true);
    check_user("substring(userId,2,0) eq ''", Some("a😀é"), true);
    check_user("substring(toupper(userId),3) eq 'É'", Some("a😀é"), true);
}

/// Neither the language of the machine nor the characters around play a part.
#[test]
fn letter_case_is_invariant() {
    check_user("tolower(userId) eq 'äσσ'", Some("ÄΣΣ"), true);
    check_user("toupper(userId) eq 'STRAßE'", Some("straße"), true);
    check_user("tolower(userId) eq 'i'", Some("I"), true);
}

#[test]
fn blanks_are_free_but_between_words() {
    check(" \t\n'group1'  in\u{a0}groups ", ONLY_A);
    check("('group1'in(groups))and(true)", ONLY_A);
    check("userId eq null or(userId ne null)", BOTH);
    check("5 in(5)", BOTH);
    check_position("5 in5", 5);
    check_position("userId eq'a'", 10);
    check_position("not'a'", 4);
}

/// The first one is what the vendor's JavaScript tests ask for.
#[test]
fn syntax_errors_name_the_end_of_what_is_unexpected() {
    check_position("invalid filter", 14);
    check_position("", 0);
    check_position(" ", 1);
    check_position("userId eq", 9);
    check_position("userId eq eq 1", 14);
    check_position("userId = 'a'", 8);
    check_position("userId > 1", 8);
    check_position("1 add 2 eq 3", 5);
    check_position("(userId eq null", 15);
    check_position("userId eq null)", 15);
    check_position("userId eq 'a", 12);
    check_position("'😀' eq 'é' %", 13);
    check_position("true AND true", 8);
    check_position("userId in 'a'", 13);
    check_position("'a' in userId", 13);
    check_position("5 in (1 2)", 9);
    check_position("5 in (1,2", 9);
    check_position("length(userId", 13);
    check_position("length(,userId)", 8);
    check_position("concat('a',)", 12);
    check_position("-length(userId) eq 1", 1);
    check_position("groups/any(g: g eq 'x')", 7);
    check_position("a.b eq 1", 2);
    check_position("@p eq 1", 1);
    check_position("not", 3);
    check_position("()", 2);
}

#[test]
fn unknown_terms_are_not_supported() {
    check_error("ab eq 1", "ab eq 1", "Token 'ab' is not supported.");
    check_error(
        "unknown eq 1",
        "unknown eq 1",
        "Token 'unknown' is not supported.",
    );
    check_error("unknown", "unknown", "Token 'unknown' is not supported.");
    check_error(" not  ab", " not  ab", "Token 'ab' is not supported.");
    check_error(
        "true and (5 in (1, ab))",
        "5 in (1, ab)",
        "Token 'ab' is not supported.",
    );
    check_error(
        "length(ab) eq length(cd)",
        "length(ab)",
        "Token 'ab' is not supported.",
    );
    check_error(
        "5 ne 2147483648",
        "5 ne 2147483648",
        "Token '2147483648' is not supported.",
    );
    check_error("1.5 eq 1", "1.5 eq 1", "Token '1.5' is not supported.");
    check_error(
        "userId eq 2026-11-23T00:00:00Z",
        "userId eq 2026-11-23T00:00:00Z",
        "Token '2026-11-23T00:00:00Z' is not supported.",
    );
    check_error(
        "TRUE eq true",
        "TRUE eq true",
        "Token 'TRUE' is not supported.",
    );
    for call in ["invalid(ab,c)", "ToLower(userId)", "not5('a')", "eq(1,2)"] {
        check_error(call, call, &format!("Token '{call}' is not supported."));
    }
    check_error(
        "round( length( userId ) ) eq 1",
        "round(length(userId))",
        "Token 'round(length(userId))' is not supported.",
    );
}

#[test]
fn functions_want_their_number_of_arguments() {
    for call in [
        "length()",
        "length(userId,userId)",
        "contains(userId)",
        "substring(userId)",
        "substring(userId,1,2,3)",
        "length(5)",
        "length(true)",
    ] {
        check_error(call, call, &format!("Invalid token '{call}'."));
    }
    check_error(
        "1 eq concat('it''s' )",
        "concat('it's')",
        "Invalid token 'concat('it's')'.",
    );
}

/// The first one is in the vendor's documentation.
#[test]
fn wrong_types_are_found_before_anything_is_delivered() {
    let check = |filter, place, found, expected| {
        check_error(
            filter,
            place,
            &format!("Type '{found}', expect '{expected}'."),
        );
    };
    check(
        "not length(userId) gt 5",
        "not length(userId)",
        "null",
        "bool",
    );
    check("( not 'a' )", "not 'a'", "string", "bool");
    check("userId lt 1", "userId lt 1", "string", "int");
    check("1 ge protocol", "1 ge protocol", "string", "int");
    check("groups gt 1", "groups gt 1", "collection", "int");
    check("true or userId", "true or userId", "string", "bool");
    check("false and UserID", "false and UserID", "string", "bool");
    check("userId", "userId", "string", "bool");
    check("( 5 )", "5", "int", "bool");
    check("null", "null", "null", "bool");
    check("groups", "groups", "collection", "bool");
    check("length( groups )", "length(groups)", "int", "bool");
    check("trim(5) eq '5'", "trim(5)", "int", "string");
    check("contains('a', 5)", "contains('a',5)", "int", "string");
    check("concat(null, 5) eq ''", "concat(null,5)", "null", "string");
    check(
        "concat(userId, 5) eq ''",
        "concat(userId,5)",
        "int",
        "string",
    );
    check(
        "substring('a','b') eq ''",
        "substring('a','b')",
        "string",
        "int",
    );
    check(
        "substring(userId,length(userId)) eq ''",
        "substring(userId,length(userId))",
        "null",
        "int",
    );
    check(
        "(true  or 1 eq 2) and not (true and ('it''s' in ( 'a' ,'b')  or 5))",
        "('it's' in ( 'a' ,'b')) or 5",
        "int",
        "bool",
    );
}

/// Types that turn out wrong only for some connections.
#[test]
fn a_connection_with_a_wrong_type_is_not_picked() {
    check("tolower(userId) gt 1", NEITHER);
    check("true or tolower(userId) gt 1", ONLY_B);
    check("true or contains(userId,5)", ONLY_B);
    check("contains(userId,5) eq false", ONLY_B);
}

#[test]
fn limits() {
    let nested = |depth| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    check(&nested(MAX_NESTING), BOTH);
    let deep = nested(MAX_NESTING + 1);
    check_error(&deep, &deep, "The filter nests deeper than 100 levels.");

    let denied = |depth| format!("{}true", "not ".repeat(depth));
    check(&denied(MAX_NESTING), BOTH);
    let deep = denied(MAX_NESTING + 1);
    check_error(&deep, &deep, "The filter nests deeper than 100 levels.");

    // What is closed no longer counts.
    let side_by_side = "not (false) and 5 in (length('a'), 5)";
    check(&[side_by_side; 60].join(" and "), BOTH);

    let terms = |count| format!("true{}", " or true".repeat((count - 1) / 2));
    check(&terms(MAX_TERMS - 1), BOTH);
    let many = terms(MAX_TERMS + 1);
    check_error(&many, &many, "The filter has more than 1000 terms.");

    let long = |len: usize| format!("'{}' ne ''", "x".repeat(len - 8));
    check(&long(MAX_FILTER_LEN), BOTH);
    let too_long = long(MAX_FILTER_LEN + 1);
    let start = format!("{}…", &too_long[..100]);
    check_error(&too_long, &start, "The filter is longer than 16384 bytes.");
}

#[test]
fn text_work_is_bounded() {
    // 256 times the user, joined in eight rounds.
    let joined = (0..8).fold("userId".to_owned(), |text, _| {
        format!("concat({text},{text})")
    });
    let filter = format!("length({joined}) gt 0");
    check_user(&filter, Some("0123456789"), true);
    let long: &'static str = "x".repeat(1000).leak();
    check_user(&filter, Some(long), false);

    // Ten thousand bytes, joined with nothing seven times.
    let joined = (0..7).fold(format!("'{}'", "x".repeat(10_000)), |text, _| {
        format!("concat({text},'')")
    });
    let filter = format!("{joined} eq null");
    let reason = "The filter looks through more than 65536 bytes of text.";
    check_error(&filter, &filter, reason);
}

/// The deepest and longest chains, on a small stack.
#[test]
fn deep_filters_need_little_stack() {
    let run = || {
        let lists = "5 in (".repeat(MAX_NESTING) + "5" + &")".repeat(MAX_NESTING);
        let chain = format!("1{}", " eq 1".repeat(MAX_TERMS / 2 - 1));
        let calls = "trim(".repeat(MAX_NESTING) + "userId" + &")".repeat(MAX_NESTING) + " eq null";
        [lists, chain, calls].map(|text| Filter::parse(&text).map(|filter| filter.judge(&B).picks))
    };
    let thread = std::thread::Builder::new().stack_size(512 * 1024);
    let results = thread.spawn(run).expect("a thread").join();
    let results = results.expect("no overflow").map(Result::ok);
    assert_eq!(results, [Some(false), Some(false), Some(true)]);
}

#[test]
fn cost_grows_with_the_filter_and_the_text_it_looks_through() {
    let check = |text: &str, user: &'static str, expect: RangeInclusive<usize>| {
        let connection = Connection {
            user: Some(user),
            ..A
        };
        let cost = Filter::parse(text).map(|filter| filter.judge(&connection).cost);
        assert!(
            cost.as_ref().is_ok_and(|cost| expect.contains(cost)),
            "{cost:?} for {text:.80}"
        );
    };
    check("true", "", 1..=1);
    check("userId ne 'a' and 'g' in groups", "ann", 1..=1);
    let long = format!("userId in ('a'{})", ",'b'".repeat(400));
    check(&long, "ann", 40..=60);
    let user: &'static str = "x".repeat(6400).leak();
    check("true", user, 1..=1);
    check("userId eq 'ann'", user, 1..=1);
    check("tolower(userId) eq 'ann'", user, 401..=401);
    let thrice = "contains(tolower(toupper(tolower(userId))),'a')";
    check(thrice, user, 1601..=1601);
    let group = format!("'{}' in groups", "g".repeat(6400));
    check(&group, "ann", 401..=401);
    // What is given up was work until then.
    let most = MAX_TEXT_WORK / 16;
    let ten_times = format!("true{}", " and length(userId) gt 0".repeat(11));
    check(&ten_times, user, most..=most + 410);
}

#[test]
fn filters_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let filter = Filter::parse("true").expect("a filter");
    shared(&filter);
    assert_eq!(size_of_val(&filter), size_of::<usize>());
}
