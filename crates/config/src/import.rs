//! Configurations of other time servers, read and turned into one of ours.
//!
//! [`import`] takes the path of an `ntp.conf` (ntpd 4.2.8 or NTPsec), a `chrony.conf` (chrony 4.8) or an `ntp.toml` (ntpd-rs 1.9) and a
//! reader of files; it gives back an [`Import`]: the text of a `noonmark.toml`, commented, which [`parse`](crate::parse) takes, and a
//! [`Line`] for each line that was read: kept, changed in meaning (how), not supported (what to do), or ignored, since nothing is lost
//! with it.
//!
//! The rules:
//! - Nothing is dropped silently: each line has its outcome, an unknown word too.
//! - No source is asked with less proof than before: it is written behind `#` instead. An access rule stays as closed as it was; one that
//!   cannot be said in addresses (a name, a device left out, `require-nts`) is not supported, and its note says what to write.
//! - Where a default differs and ours can be set to theirs, it is written out. Where it cannot, [`Dialect::differences`] says so.
//! - What the other program would refuse or skip is not taken over.
//! - Size is bounded: files by [`FILE_MAX`], includes in depth and number, sources by what we ask at a time.
//!
//! It opens nothing but through [`Files`], starts nothing, resolves no name.

mod chrony;
mod dialect;
mod draft;
mod files;
mod ledger;
mod ntp;
mod ntpd_rs;
mod number;
mod source;
mod work;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::report::Report;

pub use dialect::Dialect;
pub use files::{Disk, FILE_MAX, Files, Unread};
pub use ledger::{Line, Outcome};
use work::Work;

/// A configuration of ours, made from one of somebody else's.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// What was read.
    pub dialect: Dialect,
    /// The text of a `noonmark.toml`.
    #[serde(rename = "configuration")]
    pub toml: String,
    /// Every line that was read and is not empty, in the order of reading.
    pub lines: Vec<Line>,
    /// What noonmarkd does otherwise than that program, whatever the file says.
    pub differences: &'static [&'static str],
}

impl Import {
    /// How many lines came out so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.lines.iter().filter(|line| line.outcome == outcome && !line.is_comment()).count()
    }
}

/// Why nothing could be imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file itself cannot be read.
    Unread {
        /// The file.
        file: String,
        /// Why.
        why: Unread,
    },
    /// It holds no text.
    NotText {
        /// The file.
        file: String,
    },
    /// It cannot be told what it is.
    Unclear {
        /// The file.
        file: String,
        /// What speaks for what.
        evidence: String,
    },
    /// It is not one of those that can be read, or not the one it was said to be.
    Wrong {
        /// The file.
        file: String,
        /// What it is instead.
        what: String,
    },
    /// What came out is not a configuration of ours: a mistake in this program.
    Broken(Report),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { file, why } => write!(f, "{file}: {why}"),
            Self::NotText { file } => {
                write!(f, "{file}: not a text: it has a NUL octet; a configuration is wanted")
            }
            Self::Unclear { file, evidence } => write!(
                f,
                "{file}: whose configuration it is cannot be told ({evidence}): say so with --from ntp, chrony or ntpd-rs"
            ),
            Self::Wrong { file, what } => write!(f, "{file}: {what}"),
            Self::Broken(report) => {
                write!(
                    f,
                    "what came out is no configuration, which is a mistake in noonmark:\n{report}"
                )
            }
        }
    }
}

impl std::error::Error for ImportError {}

/// Reads the configuration at `path`, and what it includes, through `files`. `dialect` says whose it is; without it, its words do.
///
/// Relative paths in it start from its folder.
///
/// # Errors
/// The file cannot be read, is no text, or is not what it should be. Whatever is wrong with a line is said of that line.
pub fn import(
    path: &Path,
    dialect: Option<Dialect>,
    files: &dyn Files,
) -> Result<Import, ImportError> {
    let file = path.to_string_lossy().into_owned();
    let octets = files.read(path).map_err(|why| ImportError::Unread { file: file.clone(), why })?;
    if octets.contains(&0) {
        return Err(ImportError::NotText { file });
    }
    let text = String::from_utf8_lossy(&octets).into_owned();
    let dialect = dialect::tell(&file, &text, dialect)?;
    let mut work = Work::new(files, path);
    match dialect {
        Dialect::Ntp => ntp::read(&mut work, path, &text),
        Dialect::Chrony => chrony::read(&mut work, path, &text),
        Dialect::NtpdRs => ntpd_rs::read(&mut work, path, &text),
    }
    let lines = work.ledger.finish();
    let toml = work.draft.print(dialect, &file, &lines);
    crate::parse(&toml, Path::new("/etc/noonmark/noonmark.toml")).map_err(ImportError::Broken)?;
    Ok(Import { dialect, toml, lines, differences: dialect.differences() })
}
