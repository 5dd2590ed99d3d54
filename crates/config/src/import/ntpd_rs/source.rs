//! `[[source]]` and `[source-defaults]`.

use toml::de::DeTable;

use super::{Conf, Value, items, number, table, text, truth};
use crate::import::ledger::{At, Outcome};
use crate::import::number::{quoted, whole};
use crate::import::source::{self, Crossed, SourceDraft, set_polls};

/// Poll intervals of ntpd-rs without a word, log2 s.
const POLLS: (i64, i64) = (4, 10);

impl Conf<'_, '_, '_> {
    /// The limits that hold for sources which name none.
    pub(super) fn source_defaults(&mut self, root: &DeTable<'_>) -> (i64, i64) {
        let mut limits = POLLS;
        let Some(defaults) = root.get("source-defaults").and_then(table) else { return limits };
        for (key, value) in defaults {
            let at = self.at(key.span().start);
            match key.get_ref().as_ref() {
                "poll-interval-limits" => {
                    let (min, max) = self.limits(at, value);
                    limits = (min.unwrap_or(limits.0), max.unwrap_or(limits.1));
                    self.work.note(at, Outcome::Kept, "minpoll and maxpoll in each [[source]]");
                }
                "initial-poll-interval" => self.initial(at),
                other => self.refused(at, other),
            }
        }
        limits
    }

    fn initial(&mut self, at: At) {
        self.work.note(
            at,
            Outcome::Ignored,
            "a source begins with a burst and goes on with minpoll",
        );
    }

    fn limits(&mut self, at: At, value: &Value<'_>) -> (Option<i64>, Option<i64>) {
        let (mut min, mut max) = (None, None);
        let Some(limits) = table(value) else {
            self.refused(at, "poll-interval-limits");
            return (None, None);
        };
        for (key, value) in limits {
            let poll = number(value).filter(|poll| poll.is_finite()).map(|poll| poll as i64);
            match key.get_ref().as_ref() {
                "min" => min = poll,
                "max" => max = poll,
                other => self.refused(at, other),
            }
        }
        (min, max)
    }

    pub(super) fn sources(&mut self, value: &Value<'_>, limits: (i64, i64)) {
        let mut sources = Vec::new();
        for item in items(value) {
            if let Some(keys) = table(item) {
                sources.extend(self.source(item.span().start, keys, limits));
            } else {
                let at = self.at(item.span().start);
                self.refused(at, "source");
            }
        }
        source::add(self.work, sources);
    }

    fn source(
        &mut self,
        begin: usize,
        keys: &DeTable<'_>,
        limits: (i64, i64),
    ) -> Option<SourceDraft> {
        let mode = keys.get("mode");
        let mode_at = self.at(mode.map_or(begin, |mode| mode.span().start));
        let kind = match mode.and_then(text) {
            Some("server") => "server",
            Some("pool") => "pool",
            Some("nts") => "nts",
            Some("nts-pool") => "nts-pool",
            Some("sock" | "pps") => {
                let note = "there are no reference clocks: leave the receiver to another machine and name that as a [[source]]";
                self.every_key(keys, note);
                return None;
            }
            Some("csptp") => {
                self.every_key(keys, "PTP is not spoken");
                return None;
            }
            _ => {
                self.every_key(keys, "ntpd-rs does not start without a mode that it knows");
                self.refused(mode_at, "mode");
                return None;
            }
        };
        let Some(address) = keys.get("address") else {
            self.every_key(keys, "ntpd-rs does not start with a source that has no address");
            return None;
        };
        let at = self.at(address.span().start);
        let Some((host, port)) = text(address).map(host_and_port) else {
            self.every_key(keys, "ntpd-rs does not start with a source that has no address");
            self.refused(at, "address");
            return None;
        };
        let mut source = SourceDraft::new(at, kind, host);
        if let Some(port) = port {
            source.set("port", whole(port).map_or_else(|| quoted(port), |port| port.to_string()));
        }
        if kind == "nts-pool" {
            self.work.note(at, Outcome::Changed, "one server behind the name is asked");
        }
        let (mut min, mut max) = (None, None);
        for (key, value) in keys {
            let at = self.at(key.span().start);
            match (key.get_ref().as_ref(), text(value), number(value)) {
                ("mode", _, _) => self.work.note(at, Outcome::Kept, ""),
                ("address", _, _) => {}
                ("certificate-authority", Some(name), _) if kind.starts_with("nts") => {
                    match self.path(name) {
                        Some(path) => {
                            source.set("ca", path);
                            let note = "only its authorities vouch then, not the system's as well";
                            self.work.note(at, Outcome::Changed, note);
                        }
                        None => self.refused(at, "certificate-authority"),
                    }
                }
                ("count", _, Some(count)) if kind == "pool" => {
                    source.set("max-sources", (count as i64).clamp(1, 16).to_string());
                    self.work.note(at, Outcome::Kept, "[[source]] max-sources");
                }
                ("count", _, Some(_)) if kind == "nts-pool" => {
                    self.work.note(at, Outcome::Kept, "");
                }
                ("ignore", _, _) if kind == "pool" => {
                    self.work.lost(at, "no server of a pool is left out by its address: name those that are to be asked");
                }
                ("enable-srv-resolution", _, _) => {
                    if truth(value) == Some(true) {
                        self.work.lost(at, "SRV records are not looked up: name the servers");
                    } else {
                        self.work.note(at, Outcome::Kept, "");
                    }
                }
                ("ntp-version", version, number) => {
                    if version == Some("auto") || number == Some(4.0) {
                        self.work.note(at, Outcome::Kept, "asked in version 4");
                    } else {
                        self.work.note(
                            at,
                            Outcome::Changed,
                            "asked in version 4; the draft of version 5 is not spoken",
                        );
                    }
                }
                ("poll-interval-limits", _, _) => {
                    (min, max) = self.limits(at, value);
                    self.work.note(at, Outcome::Kept, "[[source]] minpoll, maxpoll");
                }
                ("initial-poll-interval", _, _) => self.initial(at),
                (other, _, _) => self.refused(at, other),
            }
        }
        if let Some(note) = set_polls(&mut source, (min, max), limits, Crossed::Longest) {
            self.work.note(at, Outcome::Changed, note);
        }
        Some(source)
    }
}

/// `host`, `host:port`, `[address]:port`.
pub(super) fn host_and_port(text: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn a_port_is_told_from_an_address() {
        let check = |text: &str, host: &str, port: Option<&str>| {
            assert_eq!(host_and_port(text), (host, port));
        };
        check("a.example", "a.example", None);
        check("a.example:1123", "a.example", Some("1123"));
        check("2001:db8::1", "2001:db8::1", None);
        check("[2001:db8::1]:123", "2001:db8::1", Some("123"));
        check("[2001:db8::1]", "2001:db8::1", None);
    }
}
