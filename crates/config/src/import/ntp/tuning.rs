//! `tinker`, `tos`, `enable`, `disable`, `rlimit`: numbers and switches.

use super::{Conf, NO_LIMIT};
use crate::import::ledger::{At, Outcome};
use crate::import::number::{duration, real, whole, within};

const DAY: f64 = 86_400.0;

impl Conf<'_, '_> {
    pub(super) fn tinker(&mut self, at: At, rest: &[String]) {
        if let Some(word) = spoils(rest, &TINKER) {
            return self.refused(at, word);
        }
        let (mut forward, mut back) = (None, None);
        for pair in rest.chunks(2) {
            let Some(number) = pair.get(1).and_then(|value| real(value)) else {
                return self.refused(at, pair.last().map_or("", String::as_str));
            };
            match pair[0].as_str() {
                "panic" if number <= 0.0 => {
                    self.work.set(at, ("clock", "largest-step"), NO_LIMIT, "");
                    self.work.note(at, Outcome::Kept, "without it there is no limit");
                    self.work.draft.remove("clock", "boot-step");
                }
                "panic" => {
                    let (limit, _) = duration(number, 0.001, 36_500.0 * DAY);
                    let note =
                        "beyond it the clock is left as it is and the daemon stays up; ntpd ends";
                    self.work.set(at, ("clock", "largest-step"), limit, note);
                }
                "step" => (forward, back) = (Some(number), Some(number)),
                "stepfwd" => forward = Some(number),
                "stepback" => back = Some(number),
                "dispersion" => {
                    let (ppm, is_same) = within(number * 1e6, 1.0, 100_000.0);
                    let note = if is_same { "" } else { "a whole number from 1 to 100000" };
                    self.work.set(at, ("clock", "max-clock-error"), ppm, note);
                }
                "stepout" => {
                    self.work.lost(at, "stepout: there is no waiting: the clock is stepped as soon as the sources agree");
                }
                "freq" => self
                    .work
                    .lost(at, "freq: the frequency is measured from where the kernel has it"),
                "tick" => self.work.lost(at, "tick: the kernel's tick is not set"),
                "huffpuff" => {
                    let note = "huffpuff: answers with more delay than others count less anyhow";
                    self.work.note(at, Outcome::Ignored, note);
                }
                "allan" => {
                    self.work.note(
                        at,
                        Outcome::Ignored,
                        "allan: intervals follow what is measured of the clock",
                    );
                }
                other => return self.refused(at, other),
            }
        }
        self.steps(at, forward, back);
    }

    fn steps(&mut self, at: At, forward: Option<f64>, back: Option<f64>) {
        if forward.is_none() && back.is_none() {
            return;
        }
        let (one, other) = (forward.unwrap_or(0.128), back.unwrap_or(0.128));
        if one <= 0.0 && other <= 0.0 {
            let note = "the clock is never stepped, not at the start either";
            return self.work.set(at, ("clock", "step-updates"), "0", note);
        }
        // A direction without a limit is one in which it is never stepped.
        let larger = if one <= 0.0 || other <= 0.0 { one + other } else { one.max(other) };
        let (limit, is_same) = duration(larger, 0.001, 365.0 * DAY);
        let note = match (one == other, is_same) {
            (false, _) => "one threshold counts for both directions: the larger one",
            (true, false) => "from 1ms to 365d",
            (true, true) => "",
        };
        self.work.set(at, ("clock", "step-threshold"), limit, note);
        if one <= 0.0 || other <= 0.0 {
            self.work.lost(
                at,
                "a step in one direction only cannot be had: step-updates = 0 forbids all of them",
            );
        }
    }

    pub(super) fn tos(&mut self, at: At, rest: &[String]) {
        if let Some(word) = spoils(rest, &TOS) {
            return self.refused(at, word);
        }
        for pair in rest.chunks(2) {
            let Some(number) = pair.get(1).and_then(|value| real(value)) else {
                if pair[0] == "basedate" && pair.len() == 2 {
                    self.work.note(at, Outcome::Ignored, BASE_DATE);
                    continue;
                }
                return self.refused(at, pair.last().map_or("", String::as_str));
            };
            let count = number as i64;
            match pair[0].as_str() {
                "minsane" => {
                    let held = count.clamp(1, 64);
                    let note = match held == count {
                        true => {
                            "counted are sources of different operators and networks that agree"
                        }
                        false => "from 1 to 64",
                    };
                    self.work.set(at, ("clock", "min-sources"), held.to_string(), note);
                }
                "maxdist" => {
                    let (limit, is_same) = duration(number, 0.001, 16.0);
                    let note = if is_same { "" } else { "from 1ms to 16s" };
                    self.work.set(at, ("clock", "max-distance"), limit, note);
                }
                "maxclock" => {
                    let before = self.max_clock.replace((count, at)).map(|(_, before)| before);
                    self.taken_back(before.filter(|before| *before != at), at);
                }
                "minclock" | "mindist" => {
                    let note =
                        "all sources that are right are combined, each by what it can be wrong by";
                    self.work.note(at, Outcome::Changed, format!("{}: {note}", pair[0]));
                }
                "orphan" => self.orphan(at, count),
                "orphanwait" => {
                    let (wait, _) = duration(number, 0.0, 7.0 * DAY);
                    let before = self.orphan_wait.replace((wait, at)).map(|(_, before)| before);
                    self.taken_back(before.filter(|before| *before != at), at);
                }
                "maxdisp" => {
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "maxdisp: max-distance in [clock] is the one limit",
                    );
                }
                "floor" | "ceiling" => {
                    self.work.lost(at, format!("{}: sources are not left out for their stratum: name those that are to be asked", pair[0]));
                }
                "cohort" | "beacon" | "bcpollbstep" => {
                    self.work.lost(at, format!("{}: servers are not discovered", pair[0]));
                }
                "basedate" => self.work.note(at, Outcome::Ignored, BASE_DATE),
                other => return self.refused(at, other),
            }
        }
    }

    fn orphan(&mut self, at: At, stratum: i64) {
        match stratum {
            1..=15 => {
                self.work.set(at, ("server", "local-stratum"), stratum.to_string(), "");
                self.work.set(at, ("server", "local-orphan"), "true", "");
            }
            _ => {
                self.work.draft.remove("server", "local-stratum");
                self.work.draft.remove("server", "local-orphan");
                self.work.note(at, Outcome::Kept, "nothing is served without a source");
            }
        }
    }

    /// `enable` and `disable`.
    pub(super) fn switches(&mut self, at: At, rest: &[String], on: bool) {
        if let Some(word) = rest.iter().find(|word| !SWITCHES.contains(&word.as_str())) {
            return self.refused(at, word);
        }
        for word in rest {
            match (word.as_str(), on) {
                ("ntp", false) => {
                    let before = self.observe.replace(at).filter(|before| *before != at);
                    self.taken_back(before, at);
                }
                ("monitor" | "mode7", false) => {
                    self.work.note(at, Outcome::Kept, "no list of clients is given to anybody");
                }
                ("stats", true) => {
                    let note = "stats: no statistics files are written: collect `noonmark tracking --json` and `noonmark sources --json`";
                    self.work.lost(at, note);
                }
                ("monitor" | "mode7", true) => {
                    self.work.note(at, Outcome::Changed, "no list of clients is given to anybody");
                }
                ("kernel", _) => {
                    self.work.note(
                        at,
                        Outcome::Ignored,
                        "the kernel's own loop is not used, its clock is steered",
                    );
                }
                ("auth", true) | ("bclient", false) => {
                    self.work.note(
                        at,
                        Outcome::Kept,
                        "nothing is taken from servers that are not named",
                    );
                }
                ("auth", false) | ("bclient", true) => {
                    self.work
                        .lost(at, "servers are not discovered: name them, each as a [[source]]");
                }
                ("calibrate" | "pps", true) => {
                    self.work.lost(at, format!("{word}: there are no reference clocks"));
                }
                ("ntp", true) => {
                    let before = self.observe.take();
                    self.taken_back(before, at);
                    self.work.note(at, Outcome::Kept, "");
                }
                ("stats" | "calibrate" | "pps", false) => self.work.note(at, Outcome::Kept, ""),
                (
                    "peer_clear_digest_early"
                    | "unpeer_crypto_early"
                    | "unpeer_crypto_nak_early"
                    | "unpeer_digest_early",
                    _,
                ) => {
                    self.work.note(
                        at,
                        Outcome::Ignored,
                        "a bad answer is dropped and changes nothing",
                    );
                }
                _ => return self.refused(at, word),
            }
        }
    }

    pub(super) fn rlimit(&mut self, at: At, rest: &[String]) {
        if let Some(word) = spoils(rest, &["memlock", "stacksize", "filenum"]) {
            return self.refused(at, word);
        }
        for pair in rest.chunks(2) {
            let number = pair.get(1).and_then(|value| whole(value));
            match (pair[0].as_str(), number) {
                ("memlock", Some(-1)) => {
                    self.work.set(at, ("clock", "lock-memory"), "false", "");
                }
                ("memlock", Some(_)) => {
                    let note = "no number: the memory of what keeps the clock is locked";
                    self.work.set(at, ("clock", "lock-memory"), "true", note);
                }
                ("stacksize" | "filenum", Some(_)) => {
                    self.work.note(at, Outcome::Ignored, "noonmarkd sets its own limits");
                }
                (other, _) => return self.refused(at, other),
            }
        }
    }
}

const TINKER: [&str; 10] = [
    "allan",
    "dispersion",
    "freq",
    "huffpuff",
    "panic",
    "step",
    "stepback",
    "stepfwd",
    "stepout",
    "tick",
];

const TOS: [&str; 14] = [
    "basedate",
    "bcpollbstep",
    "beacon",
    "ceiling",
    "cohort",
    "floor",
    "maxclock",
    "maxdisp",
    "maxdist",
    "minclock",
    "mindist",
    "minsane",
    "orphan",
    "orphanwait",
];

const SWITCHES: [&str; 13] = [
    "auth",
    "bclient",
    "calibrate",
    "kernel",
    "mode7",
    "monitor",
    "ntp",
    "pps",
    "stats",
    "peer_clear_digest_early",
    "unpeer_crypto_early",
    "unpeer_crypto_nak_early",
    "unpeer_digest_early",
];

/// What ntpd would skip a whole line of pairs for: a word that is not one of `known`, or one without a number.
pub(super) fn spoils<'r>(rest: &'r [String], known: &[&str]) -> Option<&'r str> {
    rest.chunks(2).find_map(|pair| {
        let word = pair[0].as_str();
        if !known.contains(&word) {
            return Some(word);
        }
        match pair.get(1) {
            None => Some(word),
            Some(value) if word != "basedate" && real(value).is_none() => Some(value),
            Some(_) => None,
        }
    })
}

const BASE_DATE: &str = "basedate: time before this version's release is never taken";
