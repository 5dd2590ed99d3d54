//! `ntp.toml`, of ntpd-rs 1.9.

mod serving;
mod source;
mod synchronization;

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::draft;
use super::ledger::{At, Outcome};
use super::work::Work;

/// What differs, whatever the file says.
pub(super) const DIFFERENCES: &[&str] = &[
    "The first step after the machine was started may have any size, either way (boot-step); ntpd-rs allows a day back, at each start of the daemon.",
    "A correction beyond largest-step is refused and the daemon stays up, saying why; ntpd-rs ends.",
    "One list of access rules and one limit on requests hold for all addresses; ntpd-rs has them for each [[server]].",
    "An address [::] takes IPv6 alone: write 0.0.0.0 beside it.",
    "A source begins with a burst of questions (iburst), which ntpd-rs has not.",
    "The frequency of the clock is kept over a restart.",
    "The state is asked by `noonmark status --json` over a socket; there is no exporter for Prometheus yet.",
    "Cookie keys begin anew: each client establishes keys once more.",
];

/// Tables of theirs.
const TABLES: &[&str] = &[
    "source-defaults",
    "source",
    "server",
    "observability",
    "keyset",
    "nts-ke-server",
    "synchronization",
    "clock",
    "csptp-server",
    "csptp",
];

/// Whether a TOML text is a configuration of ours: none of the tables that only ntpd-rs has, and one of those only we have, or
/// sources without a `mode`.
pub(super) fn is_ours(text: &str) -> bool {
    let (root, _) = DeTable::parse_recoverable(text);
    let root = root.get_ref();
    let theirs = ["source-defaults", "observability", "keyset", "nts-ke-server", "synchronization"];
    if theirs.iter().any(|table| root.get(*table).is_some()) {
        return false;
    }
    let tables = |name: &str| match root.get(name).map(Spanned::get_ref) {
        Some(DeValue::Array(items)) => items
            .iter()
            .filter_map(|item| match item.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let sources = tables("source");
    let is_server_one = matches!(root.get("server").map(Spanned::get_ref), Some(DeValue::Table(_)));
    let has_ours = crate::keys::TABLES.iter().any(|table| {
        !["source", "server", "clock"].contains(&table.name) && root.get(table.name).is_some()
    });
    is_server_one
        || has_ours
        || (!sources.is_empty() && sources.iter().all(|source| source.get("mode").is_none()))
}

/// Reads all of it.
pub(super) fn read(work: &mut Work<'_>, path: &Path, text: &str) {
    let (lines, starts) = lines(work, path, text);
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut conf = Conf { work, lines, starts, folder, text, is_broken: false };
    let (root, errors) = DeTable::parse_recoverable(text);
    conf.is_broken = !errors.is_empty();
    for error in &errors {
        let at = conf.at(error.span().map_or(0, |span| span.start));
        let why = error.message().lines().next().unwrap_or_default().to_owned();
        conf.work.lost(at, format!("not TOML, so ntpd-rs does not start with it: {why}"));
    }
    conf.tables(root.get_ref());
    let mut keys = vec![false; conf.starts.len()];
    conf.key_lines(root.get_ref(), &mut keys);
    conf.finish(&keys);
}

/// Every line that is not empty; what a table of tokens holds is no text for a report.
fn lines(work: &mut Work<'_>, path: &Path, text: &str) -> (Vec<Option<At>>, Vec<usize>) {
    let file = path.to_string_lossy().into_owned();
    let (mut lines, mut starts, mut start) = (Vec::new(), Vec::new(), 0);
    let mut is_secret = false;
    for (number, line) in text.split('\n').enumerate() {
        starts.push(start);
        start += line.len() + 1;
        let shown = line.trim();
        let begins = shown.starts_with("accepted-pool-authentication-tokens");
        is_secret |= begins;
        lines.push(if shown.is_empty() {
            None
        } else if shown.starts_with('#') && !is_secret {
            work.ledger.comment(&file, number + 1, shown);
            None
        } else if is_secret {
            let shown = if begins { "accepted-pool-authentication-tokens = …" } else { "…" };
            Some(work.ledger.add(&file, number + 1, shown))
        } else {
            Some(work.ledger.add(&file, number + 1, shown))
        });
        is_secret &= !shown.contains(']');
    }
    (lines, starts)
}

type Value<'i> = Spanned<DeValue<'i>>;

struct Conf<'w, 'f, 't> {
    work: &'w mut Work<'f>,
    text: &'t str,
    /// Whether it is no TOML.
    is_broken: bool,
    /// The account of each line, if it has one.
    lines: Vec<Option<At>>,
    /// Octet at which each begins.
    starts: Vec<usize>,
    folder: PathBuf,
}

impl Conf<'_, '_, '_> {
    /// The line that an octet stands in.
    fn at(&mut self, octet: usize) -> At {
        let line = self.starts.partition_point(|start| *start <= octet).saturating_sub(1);
        if let Some(at) = self.lines.get(line).copied().flatten() {
            return at;
        }
        // An error may be found at the end of an empty line: the nearest line before has it.
        match self.lines.iter().take(line + 1).rev().flatten().next().or(self
            .lines
            .iter()
            .flatten()
            .next())
        {
            Some(at) => *at,
            None => self.work.ledger.add("", line + 1, ""),
        }
    }

    fn tables(&mut self, root: &DeTable<'_>) {
        let limits = self.source_defaults(root);
        for (key, value) in root {
            let at = self.at(key.span().start);
            let name = key.get_ref().as_ref();
            match (name, value.get_ref()) {
                ("source", DeValue::Array(_)) => self.sources(value, limits),
                ("source-defaults", DeValue::Table(_)) => {}
                ("server", DeValue::Array(_)) => self.servers(value),
                ("nts-ke-server", DeValue::Array(_)) => self.key_exchange(value),
                ("keyset", DeValue::Table(table)) => self.keyset(table),
                ("observability", DeValue::Table(table)) => self.observability(table),
                ("synchronization", DeValue::Table(table)) => self.synchronization(table),
                ("clock", DeValue::Table(table)) => {
                    self.every_key(table, "stamps and clocks of the network card are not used, those of the kernel are");
                }
                ("csptp-server" | "csptp", _) => self.lose(at, value, "PTP is not spoken"),
                _ if TABLES.contains(&name) => {
                    self.lose(at, value, &format!("ntpd-rs does not take `{name}` in this shape"));
                }
                _ => {
                    let near = crate::spelling::nearest(name, TABLES.iter().copied());
                    let hint =
                        near.map_or(String::new(), |near| format!("; `{near}` may be meant"));
                    self.lose(
                        at,
                        value,
                        &format!("ntpd-rs does not know `{name}` and does not start with it{hint}"),
                    );
                }
            }
        }
    }

    /// Says the same of every key.
    fn every_key(&mut self, table: &DeTable<'_>, note: &str) {
        for (key, value) in table {
            let at = self.at(key.span().start);
            self.lose(at, value, note);
        }
    }

    /// The same of a key and of all in its value.
    fn lose(&mut self, at: At, value: &Value<'_>, note: &str) {
        self.work.lost(at, note);
        match value.get_ref() {
            DeValue::Table(table) => self.every_key(table, note),
            DeValue::Array(items) => {
                for table in items.iter().filter_map(table) {
                    self.every_key(table, note);
                }
            }
            _ => {}
        }
    }

    /// Marks the lines on which keys stand.
    fn key_lines(&self, keys: &DeTable<'_>, lines: &mut [bool]) {
        for (key, value) in keys {
            let line =
                self.starts.partition_point(|start| *start <= key.span().start).saturating_sub(1);
            lines[line] = true;
            let inner: Vec<&Value<'_>> = match value.get_ref() {
                DeValue::Table(_) => vec![value],
                _ => items(value).iter().collect(),
            };
            for table in inner.into_iter().filter_map(table) {
                self.key_lines(table, lines);
            }
        }
    }

    /// A key that ntpd-rs does not have there, or a value that it does not take.
    fn refused(&mut self, at: At, key: &str) {
        self.work.lost(at, format!("ntpd-rs does not start with this `{key}`"));
    }

    fn observability(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let at = self.at(key.span().start);
            match (key.get_ref().as_ref(), text(value)) {
                ("log-level", Some(level)) => {
                    let level = level.to_ascii_lowercase();
                    if ["error", "warn", "info", "debug", "trace"].contains(&level.as_str()) {
                        self.work.set(at, ("log", "level"), format!("\"{level}\""), "");
                    } else {
                        self.refused(at, "log-level");
                    }
                }
                ("ansi-colors", _) => {
                    self.work.note(at, Outcome::Ignored, "colours are for terminals");
                }
                ("log-path" | "log-path-metrics-exporter", _) => {
                    let note = "log lines go to standard error or to the journal ([log] format)";
                    self.work.note(at, Outcome::Changed, note);
                }
                ("observation-path" | "observation-permissions", _) => {
                    let note =
                        "the state is shown on the socket of [status], to its owner and group";
                    self.work.note(at, Outcome::Changed, note);
                }
                ("metrics-exporter-listen", _) => {
                    self.work.lost(
                        at,
                        "there is no exporter for Prometheus yet: collect `noonmark status --json`",
                    );
                }
                (other, _) => self.refused(at, other),
            }
        }
    }

    fn finish(self, keys: &[bool]) {
        let draft = &mut self.work.draft;
        if draft.has_table("source") {
            for (key, value, because) in synchronization::DEFAULTS {
                draft.assume(("clock", key), value, because);
            }
            if draft.has_table("server") {
                draft.assume(
                    ("server", "listen"),
                    "[]",
                    "ntpd-rs serves nobody without a [[server]]",
                );
            }
        }
        for key in ["largest-step", "boot-step"] {
            if draft.get("clock", key) == Some(synchronization::NO_LIMIT) {
                draft.remove("clock", key);
            }
        }
        draft.close_if_idle("neither sources nor servers; this serves this machine alone");
        // Headers, and the further lines of a value.
        let mut before = None;
        for ((at, line), is_key) in self.lines.iter().zip(self.text.split('\n')).zip(keys) {
            let Some(at) = *at else { continue };
            if !self.work.ledger.is_settled(at) {
                let (outcome, note) = match before.filter(|_| !is_key) {
                    _ if is_header(line) => (Outcome::Kept, String::new()),
                    Some(before) => self.work.ledger.said(before),
                    None if self.is_broken => (
                        Outcome::Unsupported,
                        "ntpd-rs does not start with a file that is not TOML".to_owned(),
                    ),
                    None => continue,
                };
                self.work.ledger.note(at, outcome, note);
            }
            before = Some(at);
        }
    }

    fn path(&self, written: &str) -> Option<String> {
        draft::path(&self.folder, written)
    }
}

/// Whether a line begins a table, rather than an item of a list.
fn is_header(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    line.starts_with("[[")
        || line
            .strip_prefix('[')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

fn text<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text),
        _ => None,
    }
}

fn truth(value: &Value<'_>) -> Option<bool> {
    match value.get_ref() {
        DeValue::Boolean(truth) => Some(*truth),
        _ => None,
    }
}

/// A number, `inf` included.
fn number(value: &Value<'_>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
        }
        DeValue::Float(number) => {
            number.as_str().parse().ok().filter(|number: &f64| !number.is_nan())
        }
        DeValue::String(text) if text == "inf" => Some(f64::INFINITY),
        _ => None,
    }
}

fn table<'v, 'i>(value: &'v Value<'i>) -> Option<&'v DeTable<'i>> {
    match value.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn items<'v, 'i>(value: &'v Value<'i>) -> &'v [Value<'i>] {
    match value.get_ref() {
        DeValue::Array(items) => items,
        _ => &[],
    }
}
