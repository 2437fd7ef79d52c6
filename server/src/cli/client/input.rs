//! Lines of standard input, read by a thread of their own: nobody can wait for a terminal and a
//! socket at once.

use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc;

/// The longest line in bytes. A server's own limit on messages is below it.
const MAX_LINE: u64 = 16 << 20;
/// Lines that are read ahead.
const AHEAD: usize = 16;

/// A line without its end, or why there are no more.
pub(super) type Line = Result<String, String>;

/// The lines of standard input until it ends. The thread lives until then, or until the process
/// ends.
pub(super) fn lines() -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next(&mut input) {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

fn next(input: &mut impl BufRead) -> Option<Line> {
    let mut bytes = Vec::new();
    match input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(error) => return Some(Err(format!("cannot read the input: {error}"))),
    }
    if bytes.len() as u64 == MAX_LINE {
        return Some(Err(format!(
            "a line of the input is longer than {MAX_LINE} bytes"
        )));
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match str::from_utf8(line) {
        Ok(line) => Some(Ok(line.to_owned())),
        Err(_) => Some(Err("a line of the input is not UTF-8".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_their_input() {
        let check = |input: &[u8], expect: &[Line]| {
            let mut input = input;
            let found: Vec<_> = std::iter::from_fn(|| next(&mut input)).collect();
            assert_eq!(found, expect);
        };
        let line = |text: &str| Ok(text.to_owned());
        check(b"", &[]);
        check(b"a\r\n\nb", &[line("a"), line(""), line("b")]);
        check(
            b"\xFF\n",
            &[Err("a line of the input is not UTF-8".to_owned())],
        );
    }
}
