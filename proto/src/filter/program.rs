//! A filter as a list of steps for a stack machine, operands before what is done with them.

/// What [`super::Filter`] shares.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) steps: Box<[Step]>,
    /// The text literals, without quotes, one behind the other.
    pub(super) texts: Box<str>,
    /// The most values that are on the stack at once.
    pub(super) height: usize,
}

/// One step. The comments say what it takes from the stack, the last one first; each leaves one
/// value, where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Null,
    Bool(bool),
    Int(i32),
    Text(TextRange),
    Property(Property),
    /// Takes one.
    Not,
    /// Takes the right and the left operand.
    Binary(Binary),
    /// Takes nothing: the value below is looked for in the list that follows.
    ListStart,
    /// Takes an element of the list, leaves nothing.
    ListItem,
    /// Takes the whole list and the value that was looked for.
    InList,
    /// Takes the name of a group.
    InGroups,
    /// Takes the arguments.
    Call(Function),
    /// Takes nothing and always fails; no [`super::Filter`] has one.
    Refused(Refusal),
}

/// A piece of [`Program::texts`], in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextRange {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl TextRange {
    pub(super) fn of(self, texts: &str) -> &str {
        texts
            .get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    UserId,
    ConnectionId,
    Groups,
    Protocol,
}

impl Property {
    /// Finds a property by name, in any letter case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [
            ("userId", Self::UserId),
            ("connectionId", Self::ConnectionId),
            ("groups", Self::Groups),
            ("protocol", Self::Protocol),
        ]
        .into_iter()
        .find_map(|(known, property)| known.eq_ignore_ascii_case(name).then_some(property))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Binary {
    const ALL: [Self; 8] = [
        Self::Or,
        Self::And,
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
    ];

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.word() == word)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }

    pub(super) fn precedence(self) -> Precedence {
        match self {
            Self::Or => Precedence::Or,
            Self::And => Precedence::And,
            _ => Precedence::Comparison,
        }
    }
}

/// How tight an operator binds, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precedence {
    Or,
    And,
    Comparison,
    /// `not` and, tighter still, `in`.
    Unary,
}

impl Precedence {
    pub(super) fn tighter(self) -> Self {
        match self {
            Self::Or => Self::And,
            Self::And => Self::Comparison,
            Self::Comparison | Self::Unary => Self::Unary,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    ToLower,
    ToUpper,
    Trim,
    Contains,
    StartsWith,
    EndsWith,
    IndexOf,
    Concat,
    /// From a place to the end.
    SubstringFrom,
    /// From a place, so much.
    Substring,
}

impl Function {
    /// Finds a function by name and number of arguments.
    pub(super) fn find(name: &str, arguments: usize) -> Result<Self, Refusal> {
        let function = match name {
            "length" => Self::Length,
            "tolower" => Self::ToLower,
            "toupper" => Self::ToUpper,
            "trim" => Self::Trim,
            "contains" => Self::Contains,
            "startswith" => Self::StartsWith,
            "endswith" => Self::EndsWith,
            "indexof" => Self::IndexOf,
            "concat" => Self::Concat,
            "substring" if arguments == 2 => Self::SubstringFrom,
            "substring" => Self::Substring,
            _ => return Err(Refusal::Call),
        };
        match function.arguments() == arguments {
            true => Ok(function),
            false => Err(Refusal::Arguments),
        }
    }

    /// How many arguments it takes.
    pub(super) fn arguments(self) -> usize {
        match self {
            Self::Length | Self::ToLower | Self::ToUpper | Self::Trim => 1,
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::IndexOf => 2,
            Self::Concat | Self::SubstringFrom => 2,
            Self::Substring => 3,
        }
    }
}

/// What a text asks for that the language does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A property, or a literal of another type.
    Term,
    /// A function.
    Call,
    /// So many arguments.
    Arguments,
}
