use std::fmt::Write as _;

use super::ledger::{At, Ledger, Line, Outcome};
use super::{Dialect, number};
use crate::keys::{TABLES, Table};
use crate::report::printable;

/// The configuration that is being made.
#[derive(Default)]
pub(super) struct Draft {
    tables: Vec<Written>,
}

/// A table, as it will stand there.
struct Written {
    name: &'static str,
    because: String,
    /// Behind `#`: shown, and not in effect.
    is_hidden: bool,
    entries: Vec<Entry>,
}

struct Entry {
    key: &'static str,
    value: String,
    because: String,
    /// The line that set it.
    by: Option<At>,
}

impl Draft {
    /// Sets a key by a line, which gets its outcome with it; of two lines the later one counts.
    pub(super) fn set(
        &mut self,
        ledger: &mut Ledger,
        at: At,
        (table, key): (&'static str, &'static str),
        value: impl Into<String>,
        changed: &str,
    ) {
        let outcome = if changed.is_empty() { Outcome::Kept } else { Outcome::Changed };
        let because = ledger.origin(at);
        let written = self.table(table);
        written.entries.retain(|entry| {
            let is_same = entry.key == key;
            if let (true, Some(before)) = (is_same, entry.by) {
                ledger.overrule(before, at, (table, key));
            }
            !is_same
        });
        written.entries.push(Entry { key, value: value.into(), because, by: Some(at) });
        ledger.set(at, outcome, (table, key), changed);
    }

    /// Sets a key to what the other program does by default, unless a line has set it.
    pub(super) fn assume(
        &mut self,
        (table, key): (&'static str, &'static str),
        value: impl Into<String>,
        because: &str,
    ) {
        if !self.has(table, key) {
            let because = because.to_owned();
            let entry = Entry { key, value: value.into(), because, by: None };
            self.table(table).entries.push(entry);
        }
    }

    /// Adds one more of a repeated table.
    pub(super) fn push(
        &mut self,
        name: &'static str,
        because: String,
        keys: Vec<(&'static str, String)>,
        is_hidden: bool,
    ) {
        let entries = keys
            .into_iter()
            .map(|(key, value)| Entry { key, value, because: String::new(), by: None })
            .collect();
        self.tables.push(Written { name, because, is_hidden, entries });
    }

    /// Takes a key out again.
    pub(super) fn remove(&mut self, table: &str, key: &str) {
        for written in self.tables.iter_mut().filter(|written| written.name == table) {
            written.entries.retain(|entry| entry.key != key);
        }
    }

    /// Whether a key is set.
    pub(super) fn has(&self, table: &str, key: &str) -> bool {
        self.get(table, key).is_some()
    }

    /// The value of a key, as TOML.
    pub(super) fn get(&self, table: &str, key: &str) -> Option<&str> {
        let entries = self.tables.iter().filter(|it| it.name == table).flat_map(|it| &it.entries);
        entries.filter(|entry| entry.key == key).map(|entry| entry.value.as_str()).next_back()
    }

    /// Whether such a table is there and in effect.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.tables.iter().any(|it| it.name == name && !it.is_hidden && !it.entries.is_empty())
    }

    /// A file without sources, key establishment and server would serve everybody: that is not what an empty one of theirs did.
    pub(super) fn close_if_idle(&mut self, because: &str) {
        if !self.has_table("source") && !self.has_table("nts") && !self.has("server", "listen") {
            self.assume(("server", "listen"), "[\"127.0.0.1\", \"[::1]\"]", because);
        }
    }

    fn table(&mut self, name: &'static str) -> &mut Written {
        let at = self.tables.iter().position(|written| written.name == name);
        let at = at.unwrap_or_else(|| {
            let entries = Vec::new();
            self.tables.push(Written { name, because: String::new(), is_hidden: false, entries });
            self.tables.len() - 1
        });
        &mut self.tables[at]
    }

    /// The text of the file.
    pub(super) fn print(&self, dialect: Dialect, file: &str, lines: &[Line]) -> String {
        let mut out = String::new();
        comment(&mut out, &format!("Made by `noonmark import` from {file} ({dialect})."));
        let lost: Vec<&Line> =
            lines.iter().filter(|line| line.outcome == Outcome::Unsupported).collect();
        if !lost.is_empty() {
            comment(&mut out, "");
            comment(&mut out, "Not supported, so these lines have no effect here:");
        }
        for line in lost {
            comment(&mut out, &format!("{}:{}: {}", line.file, line.line, line.text));
            comment(&mut out, &format!("    {}", line.note));
        }
        for table in TABLES {
            for written in self.tables.iter().filter(|written| written.name == table.name) {
                written.print(&mut out, table);
            }
        }
        out
    }
}

impl Written {
    fn print(&self, out: &mut String, table: &Table) {
        if self.entries.is_empty() {
            return;
        }
        let hidden = if self.is_hidden { "#" } else { "" };
        out.push('\n');
        if !self.because.is_empty() {
            comment(out, &self.because);
        }
        let _ = writeln!(out, "{hidden}{}", table.header());
        let order = |entry: &&Entry| table.keys.iter().position(|key| key.name == entry.key);
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(order);
        for entry in entries {
            if !entry.because.is_empty() {
                comment(out, &entry.because);
            }
            let _ = writeln!(out, "{hidden}{} = {}", entry.key, entry.value);
        }
    }
}

/// A comment has no control characters in TOML.
fn comment(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", format!("# {}", printable(text)).trim_end());
}

/// A path as it is written there, starting from the folder of the file that names it.
pub(super) fn path(folder: &std::path::Path, written: &str) -> Option<String> {
    let is_path = !written.is_empty() && !written.contains('\0');
    is_path.then(|| number::quoted(&folder.join(written).to_string_lossy()))
}
