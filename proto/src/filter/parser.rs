//! From text to steps: who is an operand of whom.
//!
//! Recursion is as deep as the filter nests, so [`MAX_NESTING`] bounds it.

use std::borrow::Cow;

use super::lexer::{self, Kind, Token};
use super::program::{Binary, Function, Precedence, Program, Property, Refusal, Step, TextRange};
use super::{FilterError, MAX_FILTER_LEN, MAX_NESTING, MAX_TERMS, eval, print};

/// A step and what is needed to say what is wrong with it.
pub(super) struct Node<'a> {
    pub(super) step: Step,
    /// How many nodes it consists of: itself and all those right before it that belong to it.
    pub(super) size: usize,
    /// How it is spelled: a property, literal or function name, or all that follows an `in`.
    pub(super) text: Cow<'a, str>,
}

pub(super) fn parse(text: &str) -> Result<Program, FilterError> {
    if text.len() > MAX_FILTER_LEN {
        return Err(FilterError::too_long(text));
    }
    let mut parser = Parser {
        text,
        token: lexer::next(text, 0),
        nesting: 0,
        terms: 0,
        nodes: Vec::new(),
        texts: String::new(),
    };
    parser.expression(Precedence::Or)?;
    if parser.token.kind != Kind::End {
        return Err(parser.syntax_error());
    }
    let Parser { nodes, texts, .. } = parser;
    let program = Program {
        steps: nodes.iter().map(|node| node.step).collect(),
        height: height(&nodes),
        texts: texts.into(),
    };
    match eval::probe(&program) {
        Ok(_) => Ok(program),
        Err(failure) => Err(print::failure(text, &nodes, &program.texts, &failure)),
    }
}

/// The most values on the stack at once.
fn height(nodes: &[Node<'_>]) -> usize {
    let (mut height, mut most) = (0_usize, 0);
    for node in nodes {
        let taken = match node.step {
            Step::Not | Step::InGroups | Step::ListItem => 1,
            Step::Binary(_) | Step::InList => 2,
            Step::Call(function) => function.arguments(),
            _ => 0,
        };
        height = height.saturating_sub(taken);
        if node.step != Step::ListItem {
            height += 1;
        }
        most = most.max(height);
    }
    most
}

struct Parser<'a> {
    text: &'a str,
    token: Token,
    nesting: usize,
    terms: usize,
    nodes: Vec<Node<'a>>,
    texts: String,
}

impl<'a> Parser<'a> {
    /// Operands and the operators between them, down to the given one.
    fn expression(&mut self, loosest: Precedence) -> Result<(), FilterError> {
        let start = self.nodes.len();
        self.unary()?;
        while self.token.kind == Kind::Word {
            let word = self.spelling();
            let Some(operator) = Binary::from_word(word) else {
                break;
            };
            if operator.precedence() < loosest {
                break;
            }
            self.advance();
            self.expression(operator.precedence().tighter())?;
            self.push_term(Step::Binary(operator), word, start)?;
        }
        Ok(())
    }

    fn unary(&mut self) -> Result<(), FilterError> {
        let start = self.nodes.len();
        let outside = self.nesting;
        while self.token.kind == Kind::Word && self.spelling() == "not" {
            self.nest()?;
            self.advance();
        }
        self.atom()?;
        while self.token.kind == Kind::Word && self.spelling() == "in" {
            self.advance();
            self.set(start)?;
        }
        while self.nesting > outside {
            self.push_term(Step::Not, "not", start)?;
            self.nesting -= 1;
        }
        Ok(())
    }

    fn atom(&mut self) -> Result<(), FilterError> {
        let start = self.nodes.len();
        let spelling = self.spelling();
        let step = match self.token.kind {
            Kind::Open => {
                self.nest()?;
                self.advance();
                self.expression(Precedence::Or)?;
                self.nesting -= 1;
                return self.close();
            }
            Kind::Text => self.text_literal(spelling),
            Kind::Number => match spelling.parse() {
                Ok(number) => Step::Int(number),
                Err(_) => Step::Refused(Refusal::Term),
            },
            Kind::Word => match spelling {
                "null" => Step::Null,
                "true" => Step::Bool(true),
                "false" => Step::Bool(false),
                name => {
                    if lexer::next(self.text, self.token.end).kind == Kind::Open {
                        return self.call();
                    }
                    match Property::from_name(name) {
                        Some(property) => Step::Property(property),
                        None => Step::Refused(Refusal::Term),
                    }
                }
            },
            _ => return Err(self.syntax_error()),
        };
        self.advance();
        self.push_term(step, spelling, start)
    }

    /// The current token is a function's name, the next one a bracket.
    fn call(&mut self) -> Result<(), FilterError> {
        let start = self.nodes.len();
        let name = self.spelling();
        self.nest()?;
        self.advance();
        self.advance();
        let mut arguments = 0;
        if self.token.kind != Kind::Close {
            loop {
                self.expression(Precedence::Or)?;
                arguments += 1;
                if self.token.kind != Kind::Comma {
                    break;
                }
                self.advance();
            }
        }
        self.close()?;
        self.nesting -= 1;
        match Function::find(name, arguments) {
            Ok(function) => self.push_term(Step::Call(function), name, start),
            Err(refusal) => {
                let printed = print::call(name, &self.nodes[start..], &self.texts);
                self.nodes.truncate(start);
                self.push_term(Step::Refused(refusal), printed, start)
            }
        }
    }

    /// What follows `in`: the property `groups`, with or without brackets, or a list.
    fn set(&mut self, start: usize) -> Result<(), FilterError> {
        let from = self.token.start;
        if self.token.kind == Kind::Word
            && Property::from_name(self.spelling()) == Some(Property::Groups)
        {
            let text = self.spelling();
            self.advance();
            return self.push_term(Step::InGroups, text, start);
        }
        if self.token.kind != Kind::Open {
            return Err(self.syntax_error());
        }
        self.nest()?;
        self.advance();
        let list = self.nodes.len();
        self.push(Step::ListStart, "", list);
        loop {
            match self.token.kind {
                Kind::Close => break,
                // Nothing between two commas is no element.
                Kind::Comma => self.advance(),
                _ => {
                    let item = self.nodes.len();
                    self.expression(Precedence::Or)?;
                    self.push(Step::ListItem, "", item);
                    if !matches!(self.token.kind, Kind::Comma | Kind::Close) {
                        return Err(self.syntax_error());
                    }
                }
            }
        }
        let text = &self.text[from..self.token.end];
        self.advance();
        self.nesting -= 1;
        let only_groups = matches!(
            &self.nodes[list..],
            [_, item, _] if item.step == Step::Property(Property::Groups)
        );
        if only_groups {
            self.nodes.truncate(list);
            return self.push_term(Step::InGroups, text, start);
        }
        self.push_term(Step::InList, text, start)
    }

    fn text_literal(&mut self, quoted: &str) -> Step {
        let inner = quoted
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
            .unwrap_or_default();
        let start = self.texts.len();
        self.texts.push_str(&inner.replace("''", "'"));
        // Always fits, as the whole filter is no longer than MAX_FILTER_LEN.
        let place = |place| u16::try_from(place).unwrap_or(u16::MAX);
        Step::Text(TextRange {
            start: place(start),
            end: place(self.texts.len()),
        })
    }

    fn close(&mut self) -> Result<(), FilterError> {
        if self.token.kind != Kind::Close {
            return Err(self.syntax_error());
        }
        self.advance();
        Ok(())
    }

    fn spelling(&self) -> &'a str {
        &self.text[self.token.start..self.token.end]
    }

    fn advance(&mut self) {
        self.token = lexer::next(self.text, self.token.end);
    }

    fn nest(&mut self) -> Result<(), FilterError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(FilterError::too_deep(self.text));
        }
        Ok(())
    }

    /// A node to which all those from `start` on belong.
    fn push_term(
        &mut self,
        step: Step,
        text: impl Into<Cow<'a, str>>,
        start: usize,
    ) -> Result<(), FilterError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(FilterError::too_many_terms(self.text));
        }
        self.push(step, text, start);
        Ok(())
    }

    fn push(&mut self, step: Step, text: impl Into<Cow<'a, str>>, start: usize) {
        let node = Node {
            step,
            size: self.nodes.len() - start + 1,
            text: text.into(),
        };
        self.nodes.push(node);
    }

    /// The current token can't stand where it does.
    fn syntax_error(&self) -> FilterError {
        FilterError::syntax(self.text, self.token.end)
    }
}
