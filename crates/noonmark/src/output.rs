//! Standard output that may be closed, or full.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::Verdict;

/// The verdict to leave with after writing: what was found, and at least critical if it could not be handed over.
///
/// A reader that closes the pipe has all it wanted, so that is no fault. Any other error loses what was to be said, which a
/// status of 0 or 1 would hide.
#[must_use]
pub fn deliver(found: Verdict, written: io::Result<()>) -> Verdict {
    match written {
        Err(error) if !is_closed(&error) => {
            complain(format_args!("standard output cannot be written: {error}"));
            found.max(Verdict::Critical)
        }
        _ => found,
    }
}

/// Tells people what went wrong, on standard error. There may be nobody to tell, which is no reason to end differently.
pub fn complain(what: impl fmt::Display) {
    say(format_args!("noonmark: {what}"));
}

/// Writes a line to standard error, if it can be written.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether the reader went away (EPIPE).
#[must_use]
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Writes text to standard output, all of it.
///
/// # Errors
/// What the system says; nothing is left waiting in a buffer, where an error would go unseen.
pub fn write_text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes one JSON value to standard output, indented, and a newline.
///
/// # Errors
/// As [`write_text`].
pub fn write_json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write_text(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lost_output_changes_the_verdict() {
        let check = |found, error: Option<io::ErrorKind>, expected| {
            assert_eq!(deliver(found, error.map_or(Ok(()), |kind| Err(kind.into()))), expected);
        };
        check(Verdict::Good, None, Verdict::Good);
        check(Verdict::Good, Some(io::ErrorKind::BrokenPipe), Verdict::Good);
        check(Verdict::Good, Some(io::ErrorKind::StorageFull), Verdict::Critical);
        check(Verdict::Warning, Some(io::ErrorKind::StorageFull), Verdict::Critical);
        check(Verdict::Unknown, Some(io::ErrorKind::StorageFull), Verdict::Unknown);
    }
}
