//! Standard output, which may be closed or full.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::{Failure, Status};

/// Whether anybody reads on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    /// As far as can be told.
    There,
    /// The pipe is closed: whoever closed it has seen enough, which is no fault.
    Gone,
}

/// Writes text to standard output, all of it.
///
/// # Errors
/// [`Status::Output`], as on a full disk: what was to be said is lost.
pub fn print(text: &str) -> Result<Reader, Failure> {
    let mut out = io::stdout().lock();
    judge(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes a value as one JSON object to standard output, and a newline: over several lines for an answer, on one for a row of many.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize, over_lines: bool) -> Result<Reader, Failure> {
    let text =
        if over_lines { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let mut text = text.map_err(Failure::while_doing(Status::Internal, "JSON"))?;
    text.push('\n');
    print(&text)
}

/// What has become of something written to standard output.
///
/// # Errors
/// As [`print()`].
pub fn judge(written: io::Result<()>) -> Result<Reader, Failure> {
    match written {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => {
            let reason = format_args!("standard output cannot be written: {error}");
            Err(Failure::new(Status::Output, reason))
        }
    }
}

/// Tells people something on standard error. There may be nobody to tell, which is no reason to end differently.
pub fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "noonmarkd: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lost_output_is_a_failure() {
        assert_eq!(judge(Ok(())), Ok(Reader::There));
        assert_eq!(judge(Err(io::ErrorKind::BrokenPipe.into())), Ok(Reader::Gone));
        let full = judge(Err(io::ErrorKind::StorageFull.into())).expect_err("lost");
        assert_eq!(full.status, Status::Output);
        assert!(full.reason.starts_with("standard output cannot be written"), "{full}");
    }
}
