use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::files::{self, Files, Unread};
use super::ledger::{At, Ledger, Outcome};

/// Deepest nesting of includes; ntpd takes 5, chronyd does not count.
const DEPTH_MAX: usize = 10;

/// Most files of one configuration.
const FILES_MAX: usize = 256;

/// Most octets of all of them.
const OCTETS_MAX: usize = 4 << 20;

/// An import under way.
pub(super) struct Work<'f> {
    pub(super) ledger: Ledger,
    pub(super) draft: Draft,
    files: &'f dyn Files,
    /// The files that are being read, each including the next.
    open: Vec<PathBuf>,
    files_left: usize,
    octets_left: usize,
}

/// Why a file that another one includes is not read.
pub(super) enum NotRead {
    /// There is none.
    Missing,
    /// Another reason.
    Because(String),
}

impl<'f> Work<'f> {
    pub(super) fn new(files: &'f dyn Files, path: &Path) -> Self {
        Self {
            ledger: Ledger::default(),
            draft: Draft::default(),
            files,
            open: vec![path.to_owned()],
            files_left: FILES_MAX,
            octets_left: OCTETS_MAX,
        }
    }

    /// Begins with a file that is included; [`Self::leave`] ends with it.
    pub(super) fn enter(&mut self, path: &Path) -> Result<String, NotRead> {
        let because = |why: &str| Err(NotRead::Because(why.to_owned()));
        if self.open.iter().any(|open| open == path) {
            return because("it includes itself");
        }
        if self.open.len() > DEPTH_MAX {
            return because("more than 10 files include each other");
        }
        if self.files_left == 0 {
            return because("more than 256 files are included");
        }
        self.files_left -= 1;
        let octets = match self.files.read(path) {
            Ok(octets) => octets,
            Err(Unread::Missing) => return Err(NotRead::Missing),
            Err(why) => return Err(NotRead::Because(why.to_string())),
        };
        if octets.contains(&0) {
            return because("it is not a text");
        }
        self.octets_left = match self.octets_left.checked_sub(octets.len()) {
            Some(left) => left,
            None => return because("all included files together have more than 4194304 octets"),
        };
        self.open.push(path.to_owned());
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// The files that a pattern stands for.
    pub(super) fn matching(&self, pattern: &Path) -> Option<Vec<PathBuf>> {
        files::matching(self.files, pattern)
    }

    /// The names in a folder that end so, in order; none if it cannot be read.
    pub(super) fn names(&self, folder: &Path, ending: &str) -> Result<Vec<String>, NotRead> {
        match self.files.names(folder) {
            Ok(names) => Ok(names
                .into_iter()
                .filter(|name| name.ends_with(ending) && !name.starts_with('.'))
                .collect()),
            Err(Unread::Missing) => Err(NotRead::Missing),
            Err(why) => Err(NotRead::Because(why.to_string())),
        }
    }

    /// Sets a key by a line; `changed` is empty, or says how its meaning differs.
    pub(super) fn set(
        &mut self,
        at: At,
        key: (&'static str, &'static str),
        value: impl Into<String>,
        changed: &str,
    ) {
        self.draft.set(&mut self.ledger, at, key, value, changed);
    }

    /// Says of a line what became of it.
    pub(super) fn note(&mut self, at: At, outcome: Outcome, note: impl Into<String>) {
        self.ledger.note(at, outcome, note);
    }

    /// The same for the gravest outcome.
    pub(super) fn lost(&mut self, at: At, note: impl Into<String>) {
        self.ledger.note(at, Outcome::Unsupported, note);
    }
}
