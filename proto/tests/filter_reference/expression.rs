//! Filters as trees: made at random, and printed in every way that the grammar allows.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Null,
    Bool(bool),
    Int(i32),
    Text(String),
    Property(&'static str),
    Not(Box<Self>),
    Binary(&'static str, Box<Self>, Box<Self>),
    In(Box<Self>, Vec<Self>),
    InGroups(Box<Self>),
    Call(&'static str, Vec<Self>),
}

use Expression::{Binary, Bool, Call, In, InGroups, Int, Not, Null, Property, Text};

/// How a tree is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Brackets around everything that may have them.
    pub(crate) all_brackets: bool,
    /// What stands where a blank may stand but need not.
    pub(crate) blank: &'static str,
    /// Properties in upper case.
    pub(crate) shout: bool,
}

pub(crate) fn style() -> impl Strategy<Value = Style> {
    (any::<bool>(), select(vec!["", " ", "\n\t"]), any::<bool>()).prop_map(
        |(all_brackets, blank, shout)| Style {
            all_brackets,
            blank,
            shout,
        },
    )
}

/// Mostly well-typed filters.
pub(crate) fn filter() -> BoxedStrategy<Expression> {
    boolean(3)
}

fn boolean(depth: u32) -> BoxedStrategy<Expression> {
    let leaf = any::<bool>().prop_map(Bool);
    if depth == 0 {
        return leaf.boxed();
    }
    let less = depth - 1;
    let logic = binary(vec!["and", "or"], boolean(less), boolean(less));
    let same = binary(vec!["eq", "ne"], anything(less), anything(less));
    let same_texts = binary(vec!["eq", "ne"], text(less), text(less));
    let order = binary(vec!["gt", "ge", "lt", "le"], int(less), int(less));
    let test = (
        select(vec!["contains", "startswith", "endswith"]),
        text(less),
        text(less),
    )
        .prop_map(|(name, text, part)| Call(name, vec![text, part]));
    prop_oneof![
        1 => leaf,
        3 => logic,
        2 => boolean(less).prop_map(|inner| Not(Box::new(inner))),
        2 => same,
        3 => same_texts,
        3 => order,
        3 => test,
        2 => (anything(less), vec(anything(less), 0..4)).prop_map(in_list),
        2 => (text(less), vec(text(0), 0..4)).prop_map(in_list),
        2 => anything(less).prop_map(|value| InGroups(Box::new(value))),
        2 => text(less).prop_map(|value| InGroups(Box::new(value))),
    ]
    .boxed()
}

fn in_list((value, list): (Expression, Vec<Expression>)) -> Expression {
    In(Box::new(value), list)
}

fn int(depth: u32) -> BoxedStrategy<Expression> {
    let leaf = prop_oneof![4 => (-1..6).prop_map(Int), 1 => any::<i32>().prop_map(Int)];
    if depth == 0 {
        return leaf.boxed();
    }
    let less = depth - 1;
    prop_oneof![
        2 => leaf,
        1 => Just(Call("length", vec![Property("groups")])),
        2 => text(less).prop_map(|text| Call("length", vec![text])),
        2 => (text(less), text(less)).prop_map(|(text, part)| Call("indexof", vec![text, part])),
    ]
    .boxed()
}

fn text(depth: u32) -> BoxedStrategy<Expression> {
    let leaf = prop_oneof![
        4 => "[aAbßé😀' ]{0,3}".prop_map(Text),
        4 => select(vec!["userId", "connectionId", "protocol"]).prop_map(Property),
        1 => Just(Null),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let less = depth - 1;
    prop_oneof![
        3 => leaf,
        1 => (select(vec!["tolower", "toupper", "trim"]), text(less))
            .prop_map(|(name, text)| Call(name, vec![text])),
        1 => (text(less), text(less)).prop_map(|(left, right)| Call("concat", vec![left, right])),
        1 => (text(less), int(0)).prop_map(|(text, start)| Call("substring", vec![text, start])),
        1 => (text(less), int(0), int(less))
            .prop_map(|(text, start, length)| Call("substring", vec![text, start, length])),
    ]
    .boxed()
}

/// Of any type, so also of a wrong one.
fn anything(depth: u32) -> BoxedStrategy<Expression> {
    prop_oneof![
        6 => text(depth),
        2 => int(depth),
        1 => boolean(depth),
        1 => Just(Property("groups")),
    ]
    .boxed()
}

fn binary(
    operators: Vec<&'static str>,
    left: BoxedStrategy<Expression>,
    right: BoxedStrategy<Expression>,
) -> impl Strategy<Value = Expression> {
    (select(operators), left, right)
        .prop_map(|(operator, left, right)| Binary(operator, Box::new(left), Box::new(right)))
}

impl Expression {
    /// How tight it binds: `or` 0, `and` 1, comparisons 2, `not` 3, `in` 4, everything else 5.
    fn tightness(&self) -> u8 {
        match self {
            Binary("or", ..) => 0,
            Binary("and", ..) => 1,
            Binary(..) => 2,
            Not(..) => 3,
            In(..) | InGroups(..) => 4,
            _ => 5,
        }
    }

    pub(crate) fn print(&self, style: Style) -> String {
        let blank = style.blank;
        let list = |items: &[Self]| {
            let items: Vec<_> = items.iter().map(|item| item.print(style)).collect();
            format!(
                "({blank}{}{blank})",
                items.join(&format!("{blank},{blank}"))
            )
        };
        match self {
            Null => "null".to_owned(),
            Bool(value) => value.to_string(),
            Int(value) => value.to_string(),
            Text(text) => format!("'{}'", text.replace('\'', "''")),
            Property(name) if style.shout => name.to_uppercase(),
            Property(name) => (*name).to_owned(),
            Not(inner) => format!("not {}", inner.operand(3, style)),
            Binary(operator, left, right) => {
                let own = self.tightness();
                let (left, right) = (left.operand(own, style), right.operand(own + 1, style));
                format!("{left} {operator} {right}")
            }
            In(value, items) => format!("{} in {}", value.operand(4, style), list(items)),
            InGroups(value) => format!("{} in groups", value.operand(4, style)),
            Call(name, arguments) => format!("{name}{blank}{}", list(arguments)),
        }
    }

    fn operand(&self, tightness: u8, style: Style) -> String {
        let blank = style.blank;
        if style.all_brackets || self.tightness() < tightness {
            format!("({blank}{}{blank})", self.print(style))
        } else {
            self.print(style)
        }
    }
}
