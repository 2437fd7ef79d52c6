//! Logs, and what keeps secrets and control characters out of them.

use std::borrow::Cow;
use std::io::{self, Write};

use hubwire_proto::percent;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{LogConfig, LogFormat};
use crate::remote::{json_printable, printable};

/// What is logged, for as long as the process lives.
#[derive(Debug)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// Logs what `config` says from now on. Its form stays.
    pub(crate) fn replace(&self, config: &LogConfig) {
        // It fails only without a subscriber, and then there is no log either.
        let _ = self.0.reload(config.targets());
    }
}

/// Starts logging to standard error. A process does this once; a second call changes nothing.
pub fn init(config: &LogConfig) -> LogLevel {
    let lines = tracing_subscriber::fmt::layer();
    let lines = match config.format {
        LogFormat::Text => lines
            .with_ansi(false)
            .with_writer(|| OneLine(printable))
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_writer(|| OneLine(json_printable))
            .boxed(),
    };
    let (filter, level) = reload::Layer::new(config.targets());
    // The only failure is a subscriber that is installed already, by a test for example.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    LogLevel(level)
}

/// Writes each event as one line that does nothing to a terminal, whatever callers have put into
/// its fields.
struct OneLine(fn(&str) -> Cow<'_, str>);

impl OneLine {
    fn render(&self, event: &[u8]) -> String {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        format!("{}\n", (self.0)(line))
    }
}

impl Write for OneLine {
    /// Takes a whole event, as the layer writes it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(self.render(event).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

const REDACTED: &str = "(redacted)";

/// A query parameter with one of these in its name, once decoded, carries a secret.
const SECRET_WORDS: [&str; 9] = [
    "token",
    "secret",
    "password",
    "passwd",
    "key",
    "sig",
    "code",
    "auth",
    "credential",
];

/// `url`, or the target of a request, with the values of secret query parameters and any password
/// replaced; for every log of a URL. `access_token`, `awps_reconnection_token`, `code` and `sig`
/// are among them. A fragment goes entirely.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (url, None),
    };
    let mut redacted = redact_user(address);
    let mut separator = '?';
    for pair in query.into_iter().flat_map(|query| query.split(['&', ';'])) {
        redacted.push(separator);
        separator = '&';
        match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                redacted.push_str(name);
                redacted.push('=');
                redacted.push_str(REDACTED);
            }
            // A bare token behind the question mark has no name to know it by.
            None if pair.len() >= 32 => redacted.push_str(REDACTED),
            _ => redacted.push_str(pair),
        }
    }
    redacted
}

fn redact_user(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://{REDACTED}{}", &rest[user.len()..]),
        None => address.to_owned(),
    }
}

/// Percent-encoding could hide a name from a plain comparison.
fn is_secret(name: &str) -> bool {
    let name = percent::decode_bytes(name);
    let name = String::from_utf8_lossy(&name).to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_harmless_line() {
        let check = |form: OneLine, event: &str, expect: &str| {
            assert_eq!(form.render(event.as_bytes()), expect);
        };
        check(
            OneLine(printable),
            "DEBUG refused a\u{1b}[2J\r\n\u{9b}\u{202e} ü\n",
            "DEBUG refused a\\u{1b}[2J\\r\\n\\u{9b}\\u{202e} ü\n",
        );
        check(
            OneLine(json_printable),
            "{\"error\":\"\u{9b}\u{202e}\\u001b ü\"}\n",
            "{\"error\":\"\\u009b\\u202e\\u001b ü\"}\n",
        );
    }

    #[test]
    fn urls_lose_their_secrets() {
        let check = |url: &str, expected: &str| assert_eq!(redact_url(url), expected, "{url}");
        check("/client/hubs/chat", "/client/hubs/chat");
        check("", "");
        check("/a?", "/a?");
        check(
            "ws://h:1/client/hubs/chat?access_token=eyJ.a.b&x=1",
            "ws://h:1/client/hubs/chat?access_token=(redacted)&x=1",
        );
        check(
            "/c?awps_connection_id=7&awps_reconnection_token=s",
            "/c?awps_connection_id=7&awps_reconnection_token=(redacted)",
        );
        check(
            "https://f.example/api?code=s&sig=t",
            "https://f.example/api?code=(redacted)&sig=(redacted)",
        );
        check(
            "/?ACCESS_TOKEN=s&Api-Key=s",
            "/?ACCESS_TOKEN=(redacted)&Api-Key=(redacted)",
        );
        check(
            "/?access%5Ftoken=s&%61ccess_tok%65n=s",
            "/?access%5Ftoken=(redacted)&%61ccess_tok%65n=(redacted)",
        );
        check("/?x=1;client_secret=s", "/?x=1&client_secret=(redacted)");
        check("/?token=a=b==&y=2", "/?token=(redacted)&y=2");
        check(
            "/?api-version=2024-12-01&excluded=c",
            "/?api-version=2024-12-01&excluded=c",
        );
        check("/?flag&token", "/?flag&token");
        check(&format!("/?{}", "e".repeat(32)), "/?(redacted)");
        check(
            "https://user:pw@h.example/p?x=1",
            "https://(redacted)@h.example/p?x=1",
        );
        check("https://h.example/a@b", "https://h.example/a@b");
        check("/a?x=1#access_token=s", "/a?x=1");
        check("/a?x=?access_token=s", "/a?x=?access_token=s");
    }
}
