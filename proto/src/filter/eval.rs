//! Running a program over one connection.
//!
//! Everything is evaluated, also what can no longer change the result, so that a wrong type shows
//! wherever it stands (protocol notes: filter evaluation).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::program::{Binary, Function, Program, Property, Refusal, Step};
use super::{FilterSubject, MAX_TEXT_WORK, text};

/// Why an evaluation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its number.
    pub(super) step: usize,
    pub(super) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Type {
        found: &'static str,
        expected: &'static str,
    },
    Refused(Refusal),
    /// [`MAX_TEXT_WORK`].
    TooMuchText,
}

/// The value of the whole filter for a connection, and the bytes of text that were looked through
/// for it.
pub(super) fn run<S: FilterSubject + ?Sized>(
    program: &Program,
    subject: &S,
) -> (Result<bool, Failure>, usize) {
    evaluate(program, subject, false)
}

/// Evaluates for a connection that has nothing, where substrings are empty wherever they begin.
pub(super) fn probe(program: &Program) -> Result<bool, Failure> {
    evaluate(program, &Nobody, true).0
}

struct Nobody;

impl FilterSubject for Nobody {
    fn connection_id(&self) -> &str {
        ""
    }
    fn user_id(&self) -> Option<&str> {
        None
    }
    fn protocol(&self) -> Option<&str> {
        None
    }
    fn in_group(&self, _group: &str) -> bool {
        false
    }
    fn group_count(&self) -> usize {
        0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value<'a> {
    Null,
    /// A property of type text that the connection does not have.
    NoText,
    Text(Cow<'a, str>),
    Int(i32),
    Bool(bool),
    Groups,
}

/// Stacks up to this height need no memory of their own.
const USUAL_HEIGHT: usize = 8;

fn evaluate<S: FilterSubject + ?Sized>(
    program: &Program,
    subject: &S,
    probing: bool,
) -> (Result<bool, Failure>, usize) {
    let mut usual: [Value<'_>; USUAL_HEIGHT] = [const { Value::Null }; USUAL_HEIGHT];
    let mut high;
    let slots = if program.height <= USUAL_HEIGHT {
        &mut usual[..]
    } else {
        high = vec![Value::Null; program.height];
        &mut high[..]
    };
    let mut machine = Machine {
        program,
        subject,
        probing,
        slots,
        height: 0,
        text_work: 0,
    };
    let result = machine.run();
    (result, machine.text_work)
}

struct Machine<'p, 's, S: ?Sized> {
    program: &'p Program,
    subject: &'p S,
    probing: bool,
    slots: &'s mut [Value<'p>],
    height: usize,
    /// In bytes.
    text_work: usize,
}

impl<'p, S: FilterSubject + ?Sized> Machine<'p, '_, S> {
    fn run(&mut self) -> Result<bool, Failure> {
        let program = self.program;
        for (number, step) in program.steps.iter().enumerate() {
            self.step(*step).map_err(|fault| Failure {
                step: number,
                fault,
            })?;
        }
        self.pop().bool().map_err(|fault| Failure {
            step: program.steps.len().saturating_sub(1),
            fault,
        })
    }

    fn step(&mut self, step: Step) -> Result<(), Fault> {
        let value = match step {
            Step::Null => Value::Null,
            Step::Bool(value) => Value::Bool(value),
            Step::Int(value) => Value::Int(value),
            Step::Text(range) => Value::borrowed(range.of(&self.program.texts)),
            Step::Property(property) => self.property(property),
            Step::Not => Value::Bool(!self.pop().bool()?),
            Step::Binary(operator) => {
                let right = self.pop();
                let left = self.pop();
                Value::Bool(self.binary(operator, &left, &right)?)
            }
            Step::ListStart => Value::Bool(false),
            Step::ListItem => return self.list_item(),
            Step::InList => {
                let found = self.pop();
                self.pop();
                found
            }
            Step::InGroups => match self.pop() {
                Value::Text(group) => {
                    self.charge(group.len())?;
                    Value::Bool(self.subject.in_group(&group))
                }
                _ => Value::Bool(false),
            },
            Step::Call(function) => self.call(function)?,
            Step::Refused(refusal) => return Err(Fault::Refused(refusal)),
        };
        self.push(value);
        Ok(())
    }

    fn property(&self, property: Property) -> Value<'p> {
        let text = match property {
            Property::ConnectionId => Some(self.subject.connection_id()),
            Property::UserId => self.subject.user_id(),
            Property::Protocol => self.subject.protocol(),
            Property::Groups => return Value::Groups,
        };
        text.map_or(Value::NoText, Value::borrowed)
    }

    fn binary(
        &mut self,
        operator: Binary,
        left: &Value<'_>,
        right: &Value<'_>,
    ) -> Result<bool, Fault> {
        Ok(match operator {
            Binary::Or => left.bool()? | right.bool()?,
            Binary::And => left.bool()? & right.bool()?,
            Binary::Eq => self.equal(left, right)?,
            Binary::Ne => !self.equal(left, right)?,
            Binary::Gt => compare(left, right)?.is_some_and(Ordering::is_gt),
            Binary::Ge => compare(left, right)?.is_some_and(Ordering::is_ge),
            Binary::Lt => compare(left, right)?.is_some_and(Ordering::is_lt),
            Binary::Le => compare(left, right)?.is_some_and(Ordering::is_le),
        })
    }

    fn list_item(&mut self) -> Result<(), Fault> {
        let item = self.pop();
        let found = self.pop();
        let wanted = self.pop();
        let equal = self.equal(&wanted, &item)?;
        self.push(wanted);
        self.push(if equal { Value::Bool(true) } else { found });
        Ok(())
    }

    fn call(&mut self, function: Function) -> Result<Value<'p>, Fault> {
        match function {
            Function::Length => self.length(),
            Function::ToLower => self.change(text::to_lower),
            Function::ToUpper => self.change(text::to_upper),
            Function::Trim => self.change(text::trim),
            Function::Contains => self.test(|text, part| text.contains(part)),
            Function::StartsWith => self.test(|text, part| text.starts_with(part)),
            Function::EndsWith => self.test(|text, part| text.ends_with(part)),
            Function::IndexOf => {
                let Some([text, part]) = self.two_texts()? else {
                    return Ok(Value::Int(-1));
                };
                let place = text.find(&*part).map(|at| text::units(&text[..at]));
                Ok(Value::Int(place.map_or(-1, int)))
            }
            Function::Concat => self.concat(),
            Function::SubstringFrom => self.substring(false),
            Function::Substring => self.substring(true),
        }
    }

    fn length(&mut self) -> Result<Value<'p>, Fault> {
        Ok(match self.pop() {
            Value::Null | Value::NoText => Value::Null,
            Value::Text(text) => {
                self.charge(text.len())?;
                Value::Int(int(text::units(&text)))
            }
            Value::Groups => Value::Int(int(self.subject.group_count())),
            Value::Int(_) | Value::Bool(_) => return Err(Fault::Refused(Refusal::Arguments)),
        })
    }

    fn change(&mut self, change: fn(Cow<'p, str>) -> Cow<'p, str>) -> Result<Value<'p>, Fault> {
        let value = self.pop();
        if value.is_absent() {
            return Ok(Value::Null);
        }
        let text = value.into_text()?;
        self.charge(text.len())?;
        Ok(Value::Text(change(text)))
    }

    fn test(&mut self, test: fn(&str, &str) -> bool) -> Result<Value<'p>, Fault> {
        let texts = self.two_texts()?;
        let holds = texts.is_some_and(|[text, part]| test(&text, &part));
        Ok(Value::Bool(holds))
    }

    /// `None` if one is absent, whatever the other one is.
    fn two_texts(&mut self) -> Result<Option<[Cow<'p, str>; 2]>, Fault> {
        let part = self.pop();
        let text = self.pop();
        if text.is_absent() || part.is_absent() {
            return Ok(None);
        }
        let (text, part) = (text.into_text()?, part.into_text()?);
        self.charge(text.len())?;
        self.charge(part.len())?;
        Ok(Some([text, part]))
    }

    fn concat(&mut self) -> Result<Value<'p>, Fault> {
        let right = self.pop();
        let left = self.pop();
        let absent = (left.is_absent(), right.is_absent());
        match (left, right) {
            _ if absent == (true, true) => Ok(Value::Null),
            (_, text @ Value::Text(_)) if absent.0 => Ok(text),
            (text @ Value::Text(_), _) if absent.1 => Ok(text),
            (Value::NoText, right) => Err(right.not("string")),
            (left, right) => {
                let (left, right) = (left.into_text()?, right.into_text()?);
                self.charge(left.len() + right.len())?;
                Ok(Value::Text(left + right))
            }
        }
    }

    fn substring(&mut self, with_length: bool) -> Result<Value<'p>, Fault> {
        let length = if with_length { Some(self.pop()) } else { None };
        let start = self.pop();
        let value = self.pop();
        let start = start.int()?;
        let length = length.map(|length| length.int()).transpose()?;
        if value.is_absent() {
            return Ok(Value::Null);
        }
        let text = value.into_text()?;
        if self.probing {
            return Ok(Value::borrowed(""));
        }
        self.charge(text.len())?;
        Ok(text::substring(text, start, length).map_or(Value::Null, Value::Text))
    }

    fn equal(&mut self, left: &Value<'_>, right: &Value<'_>) -> Result<bool, Fault> {
        if let (Value::Text(left), Value::Text(right)) = (left, right) {
            if left.len() != right.len() {
                return Ok(false);
            }
            self.charge(left.len())?;
        }
        Ok(left == right || left.is_absent() && right.is_absent())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.text_work = self.text_work.saturating_add(bytes);
        if self.text_work > MAX_TEXT_WORK {
            return Err(Fault::TooMuchText);
        }
        Ok(())
    }

    fn push(&mut self, value: Value<'p>) {
        if let Some(slot) = self.slots.get_mut(self.height) {
            *slot = value;
            self.height += 1;
        }
    }

    fn pop(&mut self) -> Value<'p> {
        self.height = self.height.saturating_sub(1);
        self.slots
            .get_mut(self.height)
            .map_or(Value::Null, |slot| std::mem::replace(slot, Value::Null))
    }
}

/// `None` if one is `null`; a text property that the connection does not have still is a text.
fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, Fault> {
    if *left == Value::Null || *right == Value::Null {
        return Ok(None);
    }
    Ok(Some(left.int()?.cmp(&right.int()?)))
}

/// Lengths and places are far below the limit.
fn int(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl<'a> Value<'a> {
    fn borrowed(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Null | Self::NoText)
    }

    fn bool(&self) -> Result<bool, Fault> {
        match self {
            Self::Bool(value) => Ok(*value),
            other => Err(other.not("bool")),
        }
    }

    fn int(&self) -> Result<i32, Fault> {
        match self {
            Self::Int(value) => Ok(*value),
            other => Err(other.not("int")),
        }
    }

    fn into_text(self) -> Result<Cow<'a, str>, Fault> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other.not("string")),
        }
    }

    fn not(&self, expected: &'static str) -> Fault {
        let found = match self {
            Self::Null => "null",
            Self::NoText | Self::Text(_) => "string",
            Self::Int(_) => "int",
            Self::Bool(_) => "bool",
            Self::Groups => "collection",
        };
        Fault::Type { found, expected }
    }
}
