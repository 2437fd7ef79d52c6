//! A second evaluator of filters: straight over the tree, one rule after the other, with texts as
//! lists of UTF-16 units. It shares nothing with the one that is tested.

use super::expression::Expression;

/// A connection, all values its own.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) user: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) groups: Vec<String>,
    /// It stands in for all others while a filter is checked.
    pub(crate) probe: bool,
}

/// A value has a wrong type.
#[derive(Debug)]
pub(crate) struct WrongType;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    /// `None` where a connection lacks the property.
    Text(Option<Vec<u16>>),
    Int(i64),
    Bool(bool),
    Groups,
}

/// Whether the filter picks the connection.
pub(crate) fn evaluate(filter: &Expression, connection: &Connection) -> Result<bool, WrongType> {
    match value(filter, connection)? {
        Value::Bool(picked) => Ok(picked),
        _ => Err(WrongType),
    }
}

fn value(expression: &Expression, connection: &Connection) -> Result<Value, WrongType> {
    let evaluate = |inner: &Expression| value(inner, connection);
    Ok(match expression {
        Expression::Null => Value::Null,
        Expression::Bool(value) => Value::Bool(*value),
        Expression::Int(value) => Value::Int(i64::from(*value)),
        Expression::Text(text) => some_text(text),
        Expression::Property(name) => match *name {
            "groups" => Value::Groups,
            "connectionId" => some_text(&connection.id),
            "userId" => Value::Text(connection.user.as_deref().map(utf16)),
            "protocol" => Value::Text(connection.protocol.as_deref().map(utf16)),
            _ => return Err(WrongType),
        },
        Expression::Not(inner) => match evaluate(inner)? {
            Value::Bool(value) => Value::Bool(!value),
            _ => return Err(WrongType),
        },
        Expression::Binary(operator, left, right) => {
            Value::Bool(binary(operator, &evaluate(left)?, &evaluate(right)?)?)
        }
        Expression::In(wanted, list) => {
            let wanted = evaluate(wanted)?;
            let list: Vec<_> = list.iter().map(evaluate).collect::<Result<_, _>>()?;
            match &list[..] {
                [Value::Groups] => Value::Bool(member(&wanted, connection)),
                _ => Value::Bool(list.iter().any(|item| same(&wanted, item))),
            }
        }
        Expression::InGroups(wanted) => Value::Bool(member(&evaluate(wanted)?, connection)),
        Expression::Call(name, arguments) => {
            let arguments: Vec<_> = arguments.iter().map(evaluate).collect::<Result<_, _>>()?;
            call(name, &arguments, connection)?
        }
    })
}

fn binary(operator: &str, left: &Value, right: &Value) -> Result<bool, WrongType> {
    match operator {
        "eq" => return Ok(same(left, right)),
        "ne" => return Ok(!same(left, right)),
        "and" | "or" => {
            let (Value::Bool(left), Value::Bool(right)) = (left, right) else {
                return Err(WrongType);
            };
            return Ok(if operator == "and" {
                *left && *right
            } else {
                *left || *right
            });
        }
        _ => {}
    }
    if *left == Value::Null || *right == Value::Null {
        return Ok(false);
    }
    let (Value::Int(left), Value::Int(right)) = (left, right) else {
        return Err(WrongType);
    };
    Ok(match operator {
        "gt" => left > right,
        "ge" => left >= right,
        "lt" => left < right,
        _ => left <= right,
    })
}

fn same(left: &Value, right: &Value) -> bool {
    match (absent(left), absent(right)) {
        (true, true) => true,
        (false, false) => left == right,
        _ => false,
    }
}

fn member(wanted: &Value, connection: &Connection) -> bool {
    connection
        .groups
        .iter()
        .any(|group| *wanted == some_text(group))
}

fn call(name: &str, arguments: &[Value], connection: &Connection) -> Result<Value, WrongType> {
    let first = &arguments[0];
    let one_absent = arguments.iter().any(absent);
    match name {
        "length" => Ok(match first {
            _ if absent(first) => Value::Null,
            Value::Text(Some(text)) => count(text.len()),
            Value::Groups => count(connection.groups.len()),
            _ => return Err(WrongType),
        }),
        "tolower" | "toupper" | "trim" if absent(first) => Ok(Value::Null),
        "tolower" => Ok(some_text(&each(&string(first)?, |c| {
            c.to_lowercase().collect()
        }))),
        "toupper" => Ok(some_text(&each(&string(first)?, |c| {
            c.to_uppercase().collect()
        }))),
        "trim" => Ok(some_text(string(first)?.trim())),
        "indexof" if one_absent => Ok(Value::Int(-1)),
        "contains" | "startswith" | "endswith" if one_absent => Ok(Value::Bool(false)),
        "contains" | "indexof" | "startswith" | "endswith" => {
            let (text, part) = (units(first)?, units(&arguments[1])?);
            let mut places = (0..=text.len()).filter(|at| text[*at..].starts_with(&part));
            Ok(match name {
                "contains" => Value::Bool(places.next().is_some()),
                "startswith" => Value::Bool(places.next() == Some(0)),
                "endswith" => Value::Bool(places.any(|at| at + part.len() == text.len())),
                _ => places.next().map_or(Value::Int(-1), count),
            })
        }
        "concat" => match (absent(first), absent(&arguments[1])) {
            (true, true) => Ok(Value::Null),
            (true, false) => units(&arguments[1]).map(|text| Value::Text(Some(text))),
            (false, true) => units(first).map(|text| Value::Text(Some(text))),
            (false, false) => {
                let mut text = units(first)?;
                text.extend(units(&arguments[1])?);
                Ok(Value::Text(Some(text)))
            }
        },
        "substring" => {
            let start = int(&arguments[1])?;
            let length = arguments.get(2).map(int).transpose()?;
            if absent(first) {
                return Ok(Value::Null);
            }
            let text = units(first)?;
            if connection.probe {
                return Ok(some_text(""));
            }
            let end = length.map_or(i64::try_from(text.len()), |length| Ok(start + length));
            Ok(cut(&text, start, end.map_err(|_| WrongType)?))
        }
        _ => Err(WrongType),
    }
}

/// `null` where the part is not within the text or is no text itself.
fn cut(text: &[u16], start: i64, end: i64) -> Value {
    let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
        return Value::Null;
    };
    match text.get(start..end) {
        Some(part) if String::from_utf16(part).is_ok() => Value::Text(Some(part.to_vec())),
        _ => Value::Null,
    }
}

fn each(text: &str, change: impl Fn(char) -> Vec<char>) -> String {
    text.chars()
        .map(|c| match change(c)[..] {
            [only] => only,
            _ => c,
        })
        .collect()
}

fn absent(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Text(None))
}

fn units(value: &Value) -> Result<Vec<u16>, WrongType> {
    match value {
        Value::Text(Some(text)) => Ok(text.clone()),
        _ => Err(WrongType),
    }
}

fn string(value: &Value) -> Result<String, WrongType> {
    String::from_utf16(&units(value)?).map_err(|_| WrongType)
}

fn int(value: &Value) -> Result<i64, WrongType> {
    match value {
        Value::Int(value) => Ok(*value),
        _ => Err(WrongType),
    }
}

fn some_text(text: &str) -> Value {
    Value::Text(Some(utf16(text)))
}

fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
