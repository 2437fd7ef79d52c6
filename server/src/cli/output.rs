//! Standard output, the one place that writes to it.

use std::io::{ErrorKind, Write};

/// Standard output. A reader that has gone away is no error.
#[derive(Debug, Clone, Copy)]
pub struct Output;

impl Output {
    /// Writes `text`, with a line break at its end if it has none.
    ///
    /// # Errors
    ///
    /// If it cannot be written, to a full disk for example.
    pub fn print(self, text: &str) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}
