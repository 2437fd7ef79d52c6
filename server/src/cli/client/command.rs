//! What a person types: one command to a line.
//!
//! A word that begins with a quote is a JSON string, for names with blanks in them. What a command
//! becomes on the wire is in `message`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hubwire_proto::name::{check_event, check_group};
use serde_json::value::RawValue;

/// The answer to `help`.
pub(super) const HELP: &str = "\
join GROUP                  join a group
leave GROUP                 leave a group
send GROUP TEXT             send a text to a group
event NAME TEXT             send a user event
help                        this
quit                        leave; the end of the input does the same
Before TEXT: --json for JSON, --binary for base64, --no-echo not to get it back, -- to end these.
A group with blanks is written as a JSON string: send \"my room\" hello";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Join(String),
    Leave(String),
    /// Publish to a group.
    Send(String, Payload),
    /// Send a user event of that name.
    Event(String, Payload),
    /// Send a message of a simple client.
    Bare(String),
    Help,
    Quit,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) data: Data,
    /// Not back to this connection; for groups only.
    pub(super) no_echo: bool,
}

/// Data of one of the types that have a name on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Text(String),
    /// One JSON value, spelled as it was typed.
    Json(String),
    /// Bytes in base64.
    Binary(String),
}

impl Command {
    /// Reads a line; `None` if it is blank.
    ///
    /// # Errors
    ///
    /// A sentence for whoever typed it.
    pub(super) fn parse(line: &str) -> Result<Option<Self>, String> {
        let (name, rest) = split_word(line);
        let command = match name {
            "" => return Ok(None),
            "join" => Self::Join(only_group(rest)?),
            "leave" => Self::Leave(only_group(rest)?),
            "send" => {
                let (group, rest) = name_and_rest(rest)?;
                check_group(&group).map_err(|_| "send needs a group: send GROUP TEXT")?;
                Self::Send(group, payload(rest, true)?)
            }
            "event" => {
                let (name, rest) = name_and_rest(rest)?;
                check_event(&name).map_err(
                    |_| "an event name is a letter, then at most 127 letters, digits or _ . -",
                )?;
                Self::Event(name, payload(rest, false)?)
            }
            "help" => Self::Help,
            "quit" => Self::Quit,
            other => return Err(format!("no command {other:?}; help lists them")),
        };
        Ok(Some(command))
    }
}

fn only_group(rest: &str) -> Result<String, String> {
    let (group, rest) = if rest.starts_with('"') {
        name_and_rest(rest)?
    } else {
        (rest.trim().to_owned(), "")
    };
    if !rest.is_empty() {
        return Err(format!("what is {rest:?} for? One group to a line"));
    }
    check_group(&group).map_err(|_| "a group name has 1 to 1024 characters, not all blank")?;
    Ok(group)
}

/// The first word, which may be a JSON string, and what follows it.
fn name_and_rest(text: &str) -> Result<(String, &str), String> {
    if !text.starts_with('"') {
        let (word, rest) = split_word(text);
        return Ok((word.to_owned(), rest));
    }
    let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match strings.next() {
        Some(Ok(name)) => {
            let rest = &text[strings.byte_offset()..];
            Ok((name, rest.trim_start()))
        }
        _ => Err("a name that begins with a quote must be a JSON string".to_owned()),
    }
}

fn payload(mut rest: &str, to_group: bool) -> Result<Payload, String> {
    let mut no_echo = false;
    let mut wrap: fn(String) -> Data = Data::Text;
    loop {
        let (word, after) = split_word(rest);
        match word {
            "--json" => wrap = Data::Json,
            "--binary" => wrap = Data::Binary,
            "--no-echo" if to_group => no_echo = true,
            "--" => {
                rest = after;
                break;
            }
            option if option.starts_with("--") => {
                return Err(format!(
                    "no option {option}; -- before a text that begins like one"
                ));
            }
            _ => break,
        }
        rest = after;
    }
    let data = wrap(rest.to_owned());
    match &data {
        Data::Json(text) => {
            serde_json::from_str::<&RawValue>(text)
                .map_err(|error| format!("this is not JSON: {error}"))?;
        }
        Data::Binary(text) => {
            STANDARD
                .decode(text)
                .map_err(|error| format!("this is not base64: {error}"))?;
        }
        Data::Text(_) => {}
    }
    Ok(Payload { data, no_echo })
}

/// The first word and what follows the blank after it, blanks before either left out.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    let mut rest = rest.chars();
    rest.next();
    (word, rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(group: &str, data: Data, no_echo: bool) -> Command {
        Command::Send(group.to_owned(), Payload { data, no_echo })
    }

    fn text(text: &str) -> Data {
        Data::Text(text.to_owned())
    }

    #[test]
    fn lines_are_commands() {
        let check = |line: &str, expect: Option<Command>| {
            assert_eq!(Command::parse(line), Ok(expect), "{line}");
        };
        check("", None);
        check(" \t ", None);
        check("join room", Some(Command::Join("room".to_owned())));
        check(
            "  join  my room ",
            Some(Command::Join("my room".to_owned())),
        );
        check(
            r#"leave " a\"b ""#,
            Some(Command::Leave(" a\"b ".to_owned())),
        );
        check("send room hello", Some(sent("room", text("hello"), false)));
        check(
            "send room   two  words ",
            Some(sent("room", text("  two  words "), false)),
        );
        check("send room", Some(sent("room", text(""), false)));
        check(
            r#"send "my room" hi"#,
            Some(sent("my room", text("hi"), false)),
        );
        let json = Data::Json(r#"{"a": 1.0}"#.to_owned());
        check(
            r#"send room --json {"a": 1.0}"#,
            Some(sent("room", json, false)),
        );
        let binary = Data::Binary("AQI=".to_owned());
        check(
            "send room --no-echo --binary AQI=",
            Some(sent("room", binary, true)),
        );
        check(
            "send room -- --json",
            Some(sent("room", text("--json"), false)),
        );
        let payload = Payload {
            data: text("hi there"),
            no_echo: false,
        };
        check(
            "event greet hi there",
            Some(Command::Event("greet".to_owned(), payload)),
        );
        check("help", Some(Command::Help));
        check("quit", Some(Command::Quit));
    }

    #[test]
    fn what_is_no_command_is_explained() {
        let check = |line: &str, expect: &str| {
            let problem = Command::parse(line).unwrap_err();
            assert!(problem.contains(expect), "{line}: {problem}");
        };
        check("jion room", "no command \"jion\"");
        check("join", "group name");
        check("join \"a\" b", "what is \"b\" for");
        check("join \"a", "JSON string");
        check("send", "send GROUP TEXT");
        check("send room --json {a}", "not JSON");
        check("send room --json", "not JSON");
        check("send room --binary !", "not base64");
        check("send room --jsn 1", "no option --jsn");
        check("event greet --no-echo hi", "no option --no-echo");
        check("event 1st hi", "event name");
    }
}
