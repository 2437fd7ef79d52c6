//! What is wrong with a filter that was read, said with the part that is wrong.

use std::borrow::Cow;

use super::FilterError;
use super::eval::{Failure, Fault};
use super::parser::Node;
use super::program::{Refusal, Step};

/// The answer for a filter that fails at a node.
pub(super) fn failure(
    filter: &str,
    nodes: &[Node<'_>],
    texts: &str,
    failure: &Failure,
) -> FilterError {
    let at = failure.step.min(nodes.len().saturating_sub(1));
    let printed = |place: usize| node(nodes, place, texts);
    let error = |place: String, reason: String| FilterError { place, reason };
    match failure.fault {
        Fault::Refused(Refusal::Term) => {
            let around = match enclosing(nodes, at) {
                Some(place) => printed(place),
                None => filter.to_owned(),
            };
            error(around, format!("Token '{}' is not supported.", printed(at)))
        }
        Fault::Refused(Refusal::Call) => {
            let call = printed(at);
            let reason = format!("Token '{call}' is not supported.");
            error(call, reason)
        }
        Fault::Refused(Refusal::Arguments) => {
            let call = printed(at);
            let reason = format!("Invalid token '{call}'.");
            error(call, reason)
        }
        Fault::Type { found, expected } => {
            error(printed(at), format!("Type '{found}', expect '{expected}'."))
        }
        Fault::TooMuchText => FilterError::too_much_text(filter),
    }
}

/// A call of a function with the given arguments.
pub(super) fn call(name: &str, arguments: &[Node<'_>], texts: &str) -> String {
    let arguments: Vec<_> = all(arguments, texts).into_iter().map(|a| a.text).collect();
    format!("{name}({})", arguments.join(","))
}

/// The nearest comparison, logic, `in` or function to which a node belongs.
fn enclosing(nodes: &[Node<'_>], inner: usize) -> Option<usize> {
    (inner + 1..nodes.len()).find(|&outer| {
        let node = &nodes[outer];
        let encloses = matches!(
            node.step,
            Step::Binary(_) | Step::InList | Step::InGroups | Step::Call(_)
        );
        encloses && outer < inner + node.size
    })
}

fn node(nodes: &[Node<'_>], at: usize, texts: &str) -> String {
    let Some(size) = nodes.get(at).map(|node| node.size) else {
        return String::new();
    };
    let own = &nodes[(at + 1).saturating_sub(size)..=at];
    all(own, texts).pop().map(|p| p.text).unwrap_or_default()
}

struct Printed {
    text: String,
    /// Gets brackets when it is an operand.
    operation: bool,
}

impl Printed {
    fn operand(mut self) -> String {
        if self.operation {
            self.text.insert(0, '(');
            self.text.push(')');
        }
        self.text
    }
}

/// Everything that is not an operand of something else.
fn all(nodes: &[Node<'_>], texts: &str) -> Vec<Printed> {
    let mut stack: Vec<Printed> = Vec::new();
    for node in nodes {
        let mut take = || {
            stack.pop().unwrap_or_else(|| Printed {
                text: String::new(),
                operation: false,
            })
        };
        let mut operation = true;
        let text = match node.step {
            Step::Not => format!("{} {}", node.text, take().operand()),
            Step::Binary(_) => {
                let right = take().operand();
                let mut text = take().operand();
                for part in [" ", &node.text, " ", &right] {
                    text.push_str(part);
                }
                text
            }
            Step::InGroups => format!("{} in {}", take().text, node.text),
            Step::InList => {
                take();
                format!("{} in {}", take().text, node.text)
            }
            Step::ListItem => {
                take();
                continue;
            }
            Step::Call(function) => {
                operation = false;
                let arguments = stack.len().saturating_sub(function.arguments());
                let arguments: Vec<_> = stack.drain(arguments..).map(|a| a.text).collect();
                format!("{}({})", node.text, arguments.join(","))
            }
            Step::Text(range) => {
                operation = false;
                format!("'{}'", range.of(texts))
            }
            Step::Null
            | Step::Bool(_)
            | Step::Int(_)
            | Step::Property(_)
            | Step::ListStart
            | Step::Refused(_) => {
                operation = false;
                Cow::into_owned(node.text.clone())
            }
        };
        stack.push(Printed { text, operation });
    }
    stack
}
