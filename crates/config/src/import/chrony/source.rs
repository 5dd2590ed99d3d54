//! `server`, `pool` and `peer` with their options.

use super::Conf;
use crate::import::ledger::{At, Outcome};
use crate::import::number::{real, whole};
use crate::import::source::{self, Crossed, SourceDraft, set_polls};
use crate::spelling;

/// Options with a value behind them that tune what noonmarkd finds out by itself.
const TUNED: [&str; 12] = [
    "maxdelay",
    "maxdelayratio",
    "maxdelaydevratio",
    "maxdelayquant",
    "mindelay",
    "minsamples",
    "maxsamples",
    "polltarget",
    "presend",
    "filter",
    "maxunreach",
    "refresh",
];

const NUMBERED: [&str; 11] = [
    "minpoll",
    "maxpoll",
    "port",
    "ntsport",
    "certset",
    "maxsources",
    "key",
    "version",
    "offset",
    "asymmetry",
    "minstratum",
];

const FLAGS: [&str; 14] = [
    "iburst",
    "burst",
    "nts",
    "offline",
    "auto_offline",
    "prefer",
    "noselect",
    "trust",
    "require",
    "xleave",
    "copy",
    "ipv4",
    "ipv6",
    "extfield",
];

impl Conf<'_, '_> {
    pub(super) fn source(&mut self, at: At, word: &str, rest: &[&str]) {
        let Some((host, options)) = rest.split_first() else {
            return self.refused(at, word);
        };
        let is_nts = options.iter().any(|option| option.eq_ignore_ascii_case("nts"));
        let kind = match (word, is_nts) {
            ("pool", false) => "pool",
            ("pool", true) => "nts-pool",
            (_, true) => "nts",
            (_, false) => "server",
        };
        let mut source = SourceDraft::new(at, kind, host);
        if word == "peer" {
            let note = "asked as a server; if it is to have its time from here, it has to name this machine";
            self.work.note(at, Outcome::Changed, note);
        }
        if kind == "nts-pool" {
            self.work.note(at, Outcome::Changed, "one server behind the name is asked");
        }
        let set = self.options(&mut source, options);
        if !source.has("iburst") {
            source.set("iburst", "false");
        }
        self.sources.push((source, set));
    }

    /// Reads the options; gives back the set of certificates.
    fn options(&mut self, source: &mut SourceDraft, options: &[&str]) -> i64 {
        let at = source.at;
        let (mut min, mut max, mut set) = (None, None, 0);
        let (mut port, mut nts_port) = (None, None);
        let mut rest = options.iter();
        let mut is_tuned = false;
        while let Some(option) = rest.next() {
            let option = option.to_ascii_lowercase();
            if FLAGS.contains(&option.as_str()) && option != "extfield" {
                self.flag(source, &option);
                continue;
            }
            let Some(value) = rest.next() else {
                self.misread(source, &option, "");
                return set;
            };
            match (option.as_str(), whole(value), real(value)) {
                ("minpoll", Some(poll), _) => min = Some(poll),
                ("maxpoll", Some(poll), _) => max = Some(poll),
                ("port", Some(number), _) => port = Some(number),
                ("ntsport", Some(number), _) => nts_port = Some(number),
                ("certset", Some(number), _) => set = number,
                ("maxsources", Some(count), _) if source.kind == "pool" => {
                    source.set("max-sources", count.clamp(1, 16).to_string());
                }
                ("maxsources", Some(_), _) => {}
                ("key", Some(_), _) => {
                    source.is_hidden = true;
                    self.is_keyed = true;
                    let note = "written behind #: symmetric keys are not taken, and without its key it would be asked without proof of origin; take the # away to ask it so, or use NTS";
                    self.work.lost(at, note);
                }
                ("version", Some(4), _) => {}
                ("version", Some(_), _) => {
                    self.work.note(at, Outcome::Changed, "asked in version 4");
                }
                ("offset" | "asymmetry", _, Some(number)) if number != 0.0 => {
                    self.work
                        .lost(at, format!("{option}: no constant is added to what a source says"));
                }
                ("offset" | "asymmetry", _, Some(_)) => {}
                ("minstratum", Some(_), _) => {
                    self.work.lost(
                        at,
                        "minstratum: strata are as they are said; noselect keeps a source out",
                    );
                }
                ("extfield", _, _) => {
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "extfield: experimental fields are not sent",
                    );
                }
                (tuned, _, Some(_)) if TUNED.contains(&tuned) => is_tuned = true,
                _ => {
                    self.misread(source, &option, value);
                    return set;
                }
            }
        }
        let port = if source.is_nts() { nts_port } else { port };
        if let Some(port) = port {
            source.set("port", port.to_string());
        }
        if let Some(note) = set_polls(source, (min, max), (6, 10), Crossed::Shortest) {
            self.work.note(at, Outcome::Changed, note);
        }
        if is_tuned {
            let note =
                "how many answers count and which are too slow follows from what is measured";
            self.work.note(at, Outcome::Changed, note);
        }
        set
    }

    fn flag(&mut self, source: &mut SourceDraft, flag: &str) {
        let at = source.at;
        match flag {
            "iburst" => source.set("iburst", "true"),
            "burst" => source.set("burst", "true"),
            "prefer" => source.set("prefer", "true"),
            "noselect" => source.set("noselect", "true"),
            "trust" => source.set("trust", "true"),
            "require" => source.set("require", "true"),
            "xleave" => source.set("xleave", "true"),
            "ipv4" => source.set("family", "\"ipv4\""),
            "ipv6" => source.set("family", "\"ipv6\""),
            "offline" => {
                self.work.note(
                    at,
                    Outcome::Changed,
                    "offline: it is asked from the start, and again once there is a way to it",
                );
            }
            "auto_offline" => {
                self.work.note(
                    at,
                    Outcome::Kept,
                    "auto_offline: a change of routes has it asked again",
                );
            }
            "copy" => self.work.lost(at, "copy: the stratum is one more than the source's, always"),
            _ => {} // nts: it is in the kind
        }
    }

    /// chronyd ends at the first mistake.
    fn misread(&mut self, source: &mut SourceDraft, option: &str, value: &str) {
        source.is_hidden = true;
        let known = FLAGS.iter().chain(&TUNED).chain(&NUMBERED).copied();
        let near = spelling::nearest(option, known).filter(|near| *near != option);
        let hint = match near {
            _ if option.starts_with('#') => "; a comment has a line of its own".to_owned(),
            Some(near) => format!("; `{near}` may be meant"),
            None => String::new(),
        };
        let what = format!("{option} {value}");
        let note =
            format!("written behind #: chronyd does not start with {:?}{hint}", what.trim_end());
        self.work.lost(source.at, note);
    }

    pub(super) fn finish_sources(&mut self) {
        let sets = std::mem::take(&mut self.certificate_sets);
        let mut used = vec![false; sets.len()];
        let mut sources = Vec::new();
        for (mut source, set) in std::mem::take(&mut self.sources) {
            if source.is_nts() {
                let found = sets.iter().position(|(id, _, _)| *id == set);
                if let Some(place) = found {
                    source.set("ca", sets[place].1.clone());
                    used[place] = true;
                } else if set != 0 {
                    source.is_hidden = true;
                    self.work.lost(
                        source.at,
                        format!("written behind #: no ntstrustedcerts has set {set}"),
                    );
                }
            }
            sources.push(source);
        }
        for ((set, _, at), is_used) in sets.iter().zip(used) {
            match (is_used, sets.iter().filter(|(other, _, _)| other == set).count()) {
                (true, 1) => {
                    let note = "ca of each source: has to be a file; only its authorities vouch then, not the system's as well";
                    self.work.note(*at, Outcome::Changed, note);
                }
                (true, _) => self.work.lost(
                    *at,
                    "the set has several: put them into one file, and name that with ca",
                ),
                (false, 1) => self.work.note(*at, Outcome::Ignored, "no source uses the set"),
                (false, _) => self.work.lost(
                    *at,
                    "the set has several, and the first is taken: put them into one file",
                ),
            }
        }
        source::add(self.work, sources);
    }
}
