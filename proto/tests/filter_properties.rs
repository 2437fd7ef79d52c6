//! Filters against a second evaluator, and what holds for any text.

#[path = "filter_reference/expression.rs"]
mod expression;
#[path = "filter_reference/naive.rs"]
mod naive;

use hubwire_proto::filter::{Filter, FilterSubject};
use naive::Connection;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

impl FilterSubject for Connection {
    fn connection_id(&self) -> &str {
        &self.id
    }
    fn user_id(&self) -> Option<&str> {
        self.user.as_deref()
    }
    fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }
    fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }
    fn group_count(&self) -> usize {
        self.groups.len()
    }
}

const WORD: &str = "[aAbßé😀' ]{0,4}";

fn connection() -> impl Strategy<Value = Connection> {
    (
        WORD,
        option::weighted(0.8, WORD),
        option::of(WORD),
        vec("[aAbé]{1,2}", 0..4),
    )
        .prop_map(|(id, user, protocol, groups)| Connection {
            id,
            user,
            protocol,
            groups,
            probe: false,
        })
}

fn probe() -> Connection {
    Connection {
        id: String::new(),
        user: None,
        protocol: None,
        groups: Vec::new(),
        probe: true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_evaluators_agree(
        tree in expression::filter(),
        style in expression::style(),
        connections in vec(connection(), 1..4),
    ) {
        let text = tree.print(style);
        let filter = Filter::parse(&text);
        let expect = naive::evaluate(&tree, &probe());
        prop_assert_eq!(filter.is_ok(), expect.is_ok(), "{} {:?}", text, filter.err());
        let Ok(filter) = filter else {
            return Ok(());
        };
        for connection in connections {
            let expect = naive::evaluate(&tree, &connection).unwrap_or(false);
            prop_assert_eq!(filter.judge(&connection).picks, expect, "{} {:?}", text, connection);
        }
    }

    /// Neither a panic nor an endless search, and the error is about the text.
    #[test]
    fn any_text_is_a_filter_or_not(
        text in "([a-z'(), 0-9é😀-]|userId|groups| in | eq | and |not |substring\\(){0,30}",
        connection in connection(),
    ) {
        match Filter::parse(&text) {
            Ok(filter) => {
                let _ = filter.judge(&connection).picks;
            }
            Err(error) => {
                let error = error.to_string();
                prop_assert!(error.starts_with("Invalid syntax for '"), "{}", error);
                prop_assert!(error.ends_with(" (Parameter 'filter')"), "{}", error);
            }
        }
    }
}
