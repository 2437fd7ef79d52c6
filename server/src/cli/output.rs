//! Standard output: the one place that writes to it.

use std::io::{ErrorKind, Result, Write};

/// Prints `text`, with a line break at its end if it has none. A reader that has gone away is no
/// error.
///
/// # Errors
///
/// If it cannot be written, to a full disk for example.
pub fn print(text: &str) -> Result<()> {
    match try_print(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// As [`print()`], for whoever would go on printing: a reader that has gone away is the error
/// [`ErrorKind::BrokenPipe`].
pub(super) fn try_print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write!(stdout, "{text}{end}").and_then(|()| stdout.flush())
}
