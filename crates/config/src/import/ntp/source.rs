//! `server`, `pool`, `peer`, and the reference clocks that have addresses like servers.

use std::path::Path;

use super::Conf;
use crate::import::ledger::{At, Outcome};
use crate::import::number::{quoted, whole};
use crate::import::source::{Crossed, SourceDraft, set_polls};
use crate::spelling;

/// `server 127.127.1.u`, and what `fudge` makes of it.
#[derive(Default)]
pub(super) struct LocalClock {
    at: Option<At>,
    /// Stratum of the clock itself; whoever serves it is one further from it.
    stratum: Option<i64>,
    fudges: Vec<At>,
}

/// Drivers of ntpd 4.2.8 by their number.
const DRIVERS: [(u8, &str); 13] = [
    (4, "Spectracom"),
    (5, "TrueTime"),
    (6, "IRIG"),
    (7, "CHU"),
    (8, "generic receivers (DCF77 and others)"),
    (11, "arbiter"),
    (18, "telephone time services"),
    (20, "NMEA receivers"),
    (22, "PPS"),
    (28, "shared memory"),
    (29, "Trimble"),
    (36, "WWV"),
    (46, "gpsd"),
];

const NO_CLOCKS: &str = "there are no reference clocks: leave the receiver to another machine and name that as a [[source]]";

impl Conf<'_, '_> {
    pub(super) fn source(&mut self, at: At, words: &[String], folder: &Path) {
        let is_family = |word: &&String| *word == "-4" || *word == "-6";
        let family = words.get(1).filter(is_family);
        let mut rest = words[1 + usize::from(family.is_some())..].iter();
        let Some(host) = rest.next() else {
            return self.work.lost(at, "no server is named, and ntpd skips the line");
        };
        if let Some((driver, _)) = clock_address(host) {
            return self.clock(at, driver, rest.as_slice());
        }
        let options = rest.as_slice();
        let is_nts = options.iter().any(|option| option == "nts");
        let (host, port) = match host.rsplit_once(':') {
            Some((name, port)) if is_nts && !name.contains(':') => (name, Some(port)),
            _ => (host.as_str(), None),
        };
        let kind = match (words[0].as_str(), is_nts) {
            ("pool", false) => "pool",
            ("pool", true) => "nts-pool",
            (_, true) => "nts",
            (_, false) => "server",
        };
        let mut source = SourceDraft::new(at, kind, host);
        if let Some(port) = port {
            source.set("port", whole(port).map_or_else(|| quoted(port), |port| port.to_string()));
        }
        if words[0] == "peer" {
            let note = "asked as a server; if it is to have its time from here, it has to name this machine";
            self.work.note(at, Outcome::Changed, note);
        }
        if let Some(family) = family {
            source.set("family", if family == "-4" { "\"ipv4\"" } else { "\"ipv6\"" });
        }
        if kind == "nts-pool" {
            self.work.note(at, Outcome::Changed, "one server behind the name is asked");
        }
        self.options(&mut source, options, folder);
        if !source.has("iburst") {
            source.set("iburst", "false");
        }
        self.sources.push(source);
    }

    fn options(&mut self, source: &mut SourceDraft, options: &[String], folder: &Path) {
        let at = source.at;
        let (mut min, mut max) = (None, None);
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            let needs_number = matches!(
                option.as_str(),
                "minpoll" | "maxpoll" | "key" | "version" | "ttl" | "mode" | "bias"
            );
            let value = if needs_number { rest.next() } else { None };
            let number = value.and_then(|value| whole(value));
            let is_number = number.is_some() || (option == "bias" && value.is_some());
            if needs_number && !is_number {
                return self.skipped(source, &format!("{option} without a number"));
            }
            match option.as_str() {
                "iburst" => source.set("iburst", "true"),
                "burst" => {
                    source.set("burst", "true");
                    let note = "burst: only a question without an answer is asked again";
                    self.work.note(at, Outcome::Changed, note);
                }
                "minpoll" => min = number,
                "maxpoll" => max = number,
                "prefer" => source.set("prefer", "true"),
                "noselect" => source.set("noselect", "true"),
                "true" => {
                    source.set("trust", "true");
                    let note = "true: trusted sources alone decide who is right";
                    self.work.note(at, Outcome::Changed, note);
                }
                "xleave" => {
                    source.set("xleave", "true");
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "xleave: asked for as a client (RFC 9769)",
                    );
                }
                "autokey" => {
                    source.is_hidden = true;
                    let note = "written behind #: Autokey is not spoken; take the # away to ask it without proof of origin, or use NTS";
                    self.work.lost(at, note);
                }
                "key" => {
                    source.is_hidden = true;
                    self.is_keyed = true;
                    let note = "written behind #: symmetric keys are not taken, and without its key it would be asked without proof of origin; take the # away to ask it so, or use NTS";
                    self.work.lost(at, note);
                }
                "version" if number != Some(4) => {
                    self.work.note(at, Outcome::Changed, "asked in version 4");
                }
                "bias" => self.work.lost(at, "bias: no constant is added to what a source says"),
                "ident" => {
                    let _ = rest.next();
                    self.work.lost(at, "ident: Autokey is not spoken");
                }
                "noval" => {
                    let note = "noval: the certificate is checked; give its authority with ca";
                    self.work.note(at, Outcome::Changed, note);
                }
                "ca" | "cert" => match rest.next().and_then(|name| self.path(folder, name)) {
                    Some(path) => {
                        source.set("ca", path);
                        let note =
                            "ca: has to be a file; only its authorities vouch for this source";
                        self.work.note(at, Outcome::Changed, note);
                    }
                    None => return self.skipped(source, "no file behind ca"),
                },
                "aead" => {
                    let _ = rest.next();
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "aead: the server chooses among 30, 15 and 17",
                    );
                }
                "nts" | "version" | "preempt" | "xmtnonce" | "ttl" | "mode" => {}
                other => {
                    let known = [
                        "iburst", "burst", "minpoll", "maxpoll", "prefer", "noselect", "version",
                        "nts",
                    ];
                    let near = spelling::nearest(other, known);
                    let hint =
                        near.map_or(String::new(), |near| format!(" (`{near}` may be meant)"));
                    return self.skipped(source, &format!("{other:?}{hint}"));
                }
            }
        }
        if let Some(note) = set_polls(source, (min, max), (6, 10), Crossed::Longest) {
            self.work.note(at, Outcome::Changed, note);
        }
    }

    /// One mistake in a line of ntpd's, and it is not in effect.
    fn skipped(&mut self, source: &mut SourceDraft, why: &str) {
        source.is_hidden = true;
        self.work.lost(source.at, format!("written behind #: ntpd skips the line for {why}"));
    }

    /// `maxclock` is for all pools together.
    pub(super) fn share_pools(&mut self) {
        let Some((max_clock, at)) = self.max_clock else { return };
        let is_pool = |source: &&mut SourceDraft| source.kind == "pool" && !source.is_hidden;
        let servers = self.sources.iter().filter(|source| source.kind != "pool").count() as i64;
        let pools = self.sources.iter_mut().filter(is_pool).count() as i64;
        if pools == 0 {
            return self.work.note(at, Outcome::Ignored, "maxclock: there is no pool to be filled");
        }
        let each = ((max_clock - 1 - servers).max(1) as u64).div_ceil(pools as u64).clamp(1, 16);
        for pool in self.sources.iter_mut().filter(is_pool) {
            pool.set("max-sources", each.to_string());
        }
        let note = format!("maxclock: shared out among the pools, max-sources = {each} in each");
        self.work.note(at, Outcome::Changed, note);
    }

    fn clock(&mut self, at: At, driver: u8, options: &[String]) {
        if driver != 1 {
            let name = DRIVERS.iter().find(|(number, _)| *number == driver).map(|(_, name)| *name);
            let name = name.map_or_else(|| format!("type {driver}"), str::to_owned);
            return self.work.lost(at, format!("{name}: {NO_CLOCKS}"));
        }
        if self.local.at.is_some() {
            return self.work.note(at, Outcome::Ignored, "there is such a line already");
        }
        self.local.at = Some(at);
        if options.iter().any(|option| option == "prefer" || option == "true") {
            self.work
                .lost(at, "prefer: the machine's clock is served only where no source is usable");
        }
    }

    /// `fudge 127.127.t.u …`.
    pub(super) fn fudge(&mut self, at: At, rest: &[String]) {
        match clock_address(&rest[0]) {
            None => self.refused(at, &rest[0]),
            Some((1, _)) => {
                self.local.fudges.push(at);
                let mut words = rest[1..].iter();
                while let Some(word) = words.next() {
                    let value = words.next().map_or("", String::as_str);
                    match (word.as_str(), whole(value)) {
                        ("stratum", Some(stratum @ 0..=16)) => self.local.stratum = Some(stratum),
                        ("refid", _) => {
                            let note = "refid: above stratum 1 it is an address, 127.127.1.1";
                            self.work.note(at, Outcome::Changed, note);
                        }
                        _ => self.work.lost(
                            at,
                            format!("{word}: has no meaning for the machine's own clock"),
                        ),
                    }
                }
            }
            Some(_) => self.work.lost(at, NO_CLOCKS),
        }
    }

    /// `refclock NAME …` of NTPsec.
    pub(super) fn refclock(&mut self, at: At, rest: &[String]) {
        self.is_ntpsec = true;
        match rest.first().map(String::as_str) {
            Some("local") => {
                self.clock(at, 1, &rest[1..]);
                let stratum = rest.iter().skip_while(|word| *word != "stratum").nth(1);
                if let Some(stratum) = stratum.and_then(|value| whole(value)) {
                    self.local.stratum = Some(stratum);
                }
            }
            Some(name) => self.work.lost(at, format!("{name}: {NO_CLOCKS}")),
            None => self.refused(at, ""),
        }
    }

    pub(super) fn finish_local(&mut self) {
        let local = std::mem::take(&mut self.local);
        let Some(at) = local.at else {
            for at in local.fudges {
                self.work.note(at, Outcome::Ignored, "no line makes that clock a source");
            }
            return;
        };
        // The driver's clock is at stratum 5 unless fudged, and ntpd one behind it.
        let stratum = local.stratum.unwrap_or(5) + 1;
        for fudge in local.fudges {
            self.work.note(fudge, Outcome::Kept, "in [server] local-stratum");
        }
        if self.work.draft.has("server", "local-orphan") {
            return self.work.note(at, Outcome::Ignored, "`tos orphan` does the same");
        }
        if !(1..=15).contains(&stratum) {
            return self
                .work
                .lost(at, "stratum 16 is that of a clock nobody follows: it is not served");
        }
        let note = "the machine's clock is served at this stratum, one behind that of ntpd's driver, while no source is usable";
        self.work.set(at, ("server", "local-stratum"), stratum.to_string(), note);
    }
}

/// Driver and unit of an address 127.127.t.u.
fn clock_address(host: &str) -> Option<(u8, u8)> {
    let [127, 127, driver, unit] = host.parse::<std::net::Ipv4Addr>().ok()?.octets() else {
        return None;
    };
    Some((driver, unit))
}
