use std::collections::HashMap;
use std::path::Path;

use super::ledger::{At, Outcome};
use super::number::quoted;
use super::work::Work;

/// Servers that noonmarkd asks at a time, in all.
const SERVERS_MAX: i64 = 64;

/// A `[[source]]` to be.
pub(super) struct SourceDraft {
    /// The line that names it.
    pub(super) at: At,
    /// `server`, `pool`, `nts` or `nts-pool`.
    pub(super) kind: &'static str,
    /// Whom it asks.
    pub(super) host: String,
    /// Its other keys, with their values as TOML.
    pub(super) keys: Vec<(&'static str, String)>,
    /// Whether it is written behind `#`: something that vouched for it is lost, or the other program does not take the line.
    pub(super) is_hidden: bool,
}

impl SourceDraft {
    pub(super) fn new(at: At, kind: &'static str, host: &str) -> Self {
        Self { at, kind, host: host.to_owned(), keys: Vec::new(), is_hidden: false }
    }

    /// Sets a key, also one that is set.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.keys.retain(|(name, _)| *name != key);
        self.keys.push((key, value.into()));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(name, _)| *name == key)
    }

    pub(super) fn is_nts(&self) -> bool {
        self.kind.starts_with("nts")
    }

    /// Servers asked at a time.
    fn servers(&self) -> i64 {
        let written = self.keys.iter().find(|(key, _)| *key == "max-sources");
        match (self.kind, written) {
            ("pool", Some((_, count))) => count.parse().unwrap_or(4),
            ("pool", None) => 4,
            _ => 1,
        }
    }

    fn text(&self) -> Vec<(&'static str, String)> {
        let host = quoted(&self.host);
        let host = if self.kind == "nts-pool" { format!("[{host}]") } else { host };
        let mut keys = vec![(self.kind, host)];
        keys.extend(self.keys.iter().cloned());
        keys
    }
}

/// Adds sources in the order of their lines: each that we would refuse stands behind `#`, with the reason.
pub(super) fn add(work: &mut Work<'_>, sources: Vec<SourceDraft>) {
    let mut known: HashMap<(String, String, bool), At> = HashMap::new();
    let mut asked = 0;
    for mut source in sources {
        if !source.is_hidden {
            let port = source.keys.iter().find(|(key, _)| *key == "port");
            let port = port.map_or(String::new(), |(_, port)| port.clone());
            let name = (source.host.to_ascii_lowercase(), port, source.is_nts());
            if let Some(before) = known.get(&name) {
                let note = format!("{} names it already", work.ledger.place(*before));
                work.note(source.at, Outcome::Ignored, note);
                continue;
            }
            if let Some(why) = refusal(&source) {
                work.lost(source.at, format!("written behind #: {why}"));
                source.is_hidden = true;
            } else if asked + source.servers() > SERVERS_MAX {
                let note = "written behind #: noonmarkd asks 64 servers at a time";
                work.lost(source.at, note);
                source.is_hidden = true;
            } else {
                asked += source.servers();
                known.insert(name, source.at);
                work.note(source.at, Outcome::Kept, format!("[[source]] {}", source.kind));
            }
        }
        let because = work.ledger.origin(source.at);
        work.draft.push("source", because, source.text(), source.is_hidden);
    }
}

/// What our own reader says against a source, if anything.
fn refusal(source: &SourceDraft) -> Option<String> {
    let keys: String =
        source.text().iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let report = crate::parse(&format!("[[source]]\n{keys}"), Path::new("/")).err()?;
    Some(report.problems().iter().map(|it| it.message.as_str()).collect::<Vec<_>>().join("; "))
}

/// Which of two poll intervals that cross counts for both.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Crossed {
    Shortest,
    Longest,
}

/// The two ends of the poll interval, held within ours, and what is to be said of it. `usual` is what the other program takes.
pub(super) fn set_polls(
    source: &mut SourceDraft,
    (min, max): (Option<i64>, Option<i64>),
    usual: (i64, i64),
    crossed: Crossed,
) -> Option<&'static str> {
    let (low, high) = (min.unwrap_or(usual.0), max.unwrap_or(usual.1));
    let (low, high) = match crossed {
        Crossed::Shortest => (low, high.max(low)),
        Crossed::Longest => (low.min(high), high),
    };
    let held = |poll: i64| poll.clamp(-4, 17);
    if min.is_some() || low != 6 {
        source.set("minpoll", held(low).to_string());
    }
    if max.is_some() || high != 10 {
        source.set("maxpoll", held(high).to_string());
    }
    if held(low) != low || held(high) != high {
        Some("intervals are from 2^-4 to 2^17 seconds here")
    } else if min.is_some_and(|min| min != low) || max.is_some_and(|max| max != high) {
        Some(if crossed == Crossed::Shortest { CROSSED_SHORTEST } else { CROSSED_LONGEST })
    } else {
        None
    }
}

const CROSSED_SHORTEST: &str = "maxpoll is below minpoll, which counts for both";
const CROSSED_LONGEST: &str = "minpoll is above maxpoll, which counts for both";
