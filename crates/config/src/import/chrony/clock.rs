//! What chronyd does to the machine's clock.

use std::path::Path;

use super::Conf;
use crate::import::draft;
use crate::import::ledger::{At, Outcome};
use crate::import::number::{duration, quoted, real, whole, within};

const DAY: f64 = 86_400.0;

/// Where tzdata keeps the list that `leapsectz` reads in another form.
const LEAP_LIST: &str = "/usr/share/zoneinfo/leap-seconds.list";

/// What noonmarkd measures or weighs by itself.
const OWN: [&str; 9] = [
    "clockprecision",
    "corrtimeratio",
    "maxupdateskew",
    "minsamples",
    "maxsamples",
    "stratumweight",
    "reselectdist",
    "combinelimit",
    "fallbackdrift",
];

const NO_RTC: &str = "the clock chip's own drift is not tracked; the kernel sets the chip while the clock is synchronised";

impl Conf<'_, '_> {
    /// Whether the word is one about the clock.
    pub(super) fn clock(&mut self, at: At, word: &str, rest: &[&str], folder: &Path) -> bool {
        match word {
            "makestep" => self.make_step(at, rest),
            "initstepslew" => self.first_step(at, rest),
            "maxchange" => self.max_change(at, rest),
            "maxslewrate" => self.ppm(at, "max-slew", rest),
            "maxdrift" => self.ppm(at, "max-drift", rest),
            "maxclockerror" => self.ppm(at, "max-clock-error", rest),
            "maxdistance" => {
                if let Some(seconds) = self.number(at, rest) {
                    let (limit, is_same) = duration(seconds, 0.001, 16.0);
                    let note = if is_same { "" } else { "from 1ms to 16s" };
                    self.work.set(at, ("clock", "max-distance"), limit, note);
                }
            }
            "minsources" => {
                if let Some(count) = self.number(at, rest) {
                    let note = "counted are sources of different operators and networks that agree";
                    let held = count.clamp(1.0, 64.0);
                    self.work.set(at, ("clock", "min-sources"), format!("{held:.0}"), note);
                }
            }
            "authselectmode" => match rest.first().map(|word| word.to_ascii_lowercase()).as_deref() {
                Some(rule @ ("require" | "prefer" | "ignore")) => {
                    self.work.set(at, ("clock", "authentication"), quoted(rule), "");
                }
                Some("mix") => {
                    let note = "mix: while NTS sources answer, they alone decide; others that agree are not combined with them";
                    self.work.set(at, ("clock", "authentication"), quoted("prefer"), note);
                }
                _ => self.refused(at, &rest.join(" ")),
            },
            "leapsecmode" => match rest.first().map(|word| word.to_ascii_lowercase()).as_deref() {
                Some("system") => self.work.set(at, ("clock", "leap"), quoted("kernel"), ""),
                Some(rule @ ("step" | "slew" | "ignore")) => {
                    self.work.set(at, ("clock", "leap"), quoted(rule), "");
                }
                _ => self.refused(at, &rest.join(" ")),
            },
            "leapsectz" => {
                let note = "the same table in another file of the package tzdata";
                self.work.set(at, ("clock", "leap-seconds"), quoted(LEAP_LIST), note);
            }
            "leapseclist" => match rest.first().and_then(|name| draft::path(folder, name)) {
                Some(path) => self.work.set(at, ("clock", "leap-seconds"), path, ""),
                None => self.refused(at, &rest.join(" ")),
            },
            "smoothtime" => self.smooth(at, rest),
            "sched_priority" => {
                if let Some(number) = self.number(at, rest) {
                    let held = number.clamp(0.0, 99.0);
                    self.work.set(at, ("clock", "priority"), format!("{held:.0}"), "");
                }
            }
            "lock_all" => self.work.set(at, ("clock", "lock-memory"), "true", "the memory of what keeps the clock"),
            "rtcsync" => self.work.note(at, Outcome::Kept, "the kernel sets the clock chip while the clock is synchronised"),
            "rtcfile" | "rtcautotrim" => self.work.lost(at, NO_RTC),
            "rtcdevice" | "rtconutc" | "hwclockfile" => {
                self.work.note(at, Outcome::Ignored, "only what tracks the clock chip needs it");
            }
            "driftfile" => {
                let note = "the frequency is kept in noonmarkd's state folder and learned anew; this file is left as it is";
                self.work.note(at, Outcome::Changed, note);
            }
            "maxjitter" => self.work.note(at, Outcome::Changed, "max-distance in [clock] is the one limit"),
            "minstratum" | "maxstratum" => {
                self.work.lost(at, "sources are not left out for their stratum: name those that are to be asked");
            }
            "tempcomp" => self.work.lost(at, "the temperature is not read; a change of frequency is measured, within max-clock-error"),
            "refclock" => {
                let note = "there are no reference clocks: leave the receiver to another machine and name that as a [[source]]";
                self.work.lost(at, note);
            }
            "manual" => self.work.lost(at, "time is not typed in: set the clock by hand before the start"),
            "hwtimestamp" | "hwtstimeout" | "maxtxbuffers" => {
                self.work.lost(at, "stamps of the network card are not used, those of the kernel are");
            }
            "ptpport" | "ptpdomain" => self.work.lost(at, "NTP is not carried over PTP"),
            "acquisitionport" => {
                self.work.lost(at, "questions leave from random ports, which is harder to forge: let them through the firewall");
            }
            "bindacqaddress" | "bindacqdevice" => {
                self.work.lost(at, "questions leave by the way that the kernel has: give the servers a route");
            }
            "nocerttimecheck" => {
                self.work.lost(at, "certificates have to be in their time: a clock that is far off needs a source without NTS first");
            }
            "refresh" | "ntsrefresh" => {
                let note = "names are looked up and keys established anew where a server is of no use any more";
                self.work.note(at, Outcome::Ignored, note);
            }
            "nosystemcert" => {
                if let Some(before) = self.no_system.replace(at) {
                    self.work.note(before, Outcome::Ignored, "a later line says the same");
                }
            }
            _ if OWN.contains(&word) => {
                self.work.note(at, Outcome::Ignored, "noonmarkd goes by what it measures; there is nothing to set");
            }
            _ => return false,
        }
        true
    }

    fn ppm(&mut self, at: At, key: &'static str, rest: &[&str]) {
        if let Some(number) = self.number(at, rest) {
            let (ppm, is_same) = within(number, 1.0, 100_000.0);
            let note = if is_same { "" } else { "a whole number from 1 to 100000" };
            self.work.set(at, ("clock", key), ppm, note);
        }
    }

    fn make_step(&mut self, at: At, rest: &[&str]) {
        let [threshold, limit] = rest else { return self.refused(at, &rest.join(" ")) };
        let (Some(threshold), Some(limit)) = (real(threshold), whole(limit)) else {
            return self.refused(at, &rest.join(" "));
        };
        let (length, is_same) = duration(threshold, 0.001, 365.0 * DAY);
        let note = if is_same { "" } else { "from 1ms to 365d" };
        self.work.set(at, ("clock", "step-threshold"), length, note);
        let updates = if limit < 0 { quoted("always") } else { limit.min(65_535).to_string() };
        self.work.set(at, ("clock", "step-updates"), updates, "");
    }

    fn first_step(&mut self, at: At, rest: &[&str]) {
        let Some(threshold) = rest.first().and_then(|text| real(text)) else {
            return self.refused(at, &rest.join(" "));
        };
        if self.work.draft.has("clock", "step-threshold") {
            return self.work.note(
                at,
                Outcome::Changed,
                "initstepslew: makestep says when the clock is stepped",
            );
        }
        let (length, _) = duration(threshold, 0.001, 365.0 * DAY);
        let note = "the first update may step the clock, by the sources; the servers named here are not asked";
        self.work.set(at, ("clock", "step-threshold"), length, note);
        self.work.set(at, ("clock", "step-updates"), "1", "");
    }

    fn max_change(&mut self, at: At, rest: &[&str]) {
        let [offset, start, ignore] = rest else { return self.refused(at, &rest.join(" ")) };
        let (Some(offset), Some(start), Some(_)) = (real(offset), whole(start), whole(ignore))
        else {
            return self.refused(at, &rest.join(" "));
        };
        let (limit, _) = duration(offset, 0.001, 36_500.0 * DAY);
        let note = "from the first update on; beyond it the clock is left as it is and the daemon stays up";
        self.work.set(at, ("clock", "largest-step"), limit, note);
        if start > 0 {
            let note = "the first step after the machine was started may have any size";
            self.work.set(at, ("clock", "boot-step"), "\"36500d\"", note);
        }
    }

    /// `smoothtime MAXFREQ MAXWANDER [leaponly]`, in ppm and ppm per second.
    fn smooth(&mut self, at: At, rest: &[&str]) {
        let numbers: Vec<f64> = rest.iter().take(2).filter_map(|text| real(text)).collect();
        let (&[fastest, wander], true) = (numbers.as_slice(), rest.len() <= 3) else {
            return self.refused(at, &rest.join(" "));
        };
        if rest.get(2).is_none_or(|word| !word.eq_ignore_ascii_case("leaponly")) {
            return self.work.lost(at, "what is served is the clock as it is: smear leap seconds alone (leap-smear in [server])");
        }
        if fastest <= 0.0 || wander <= 0.0 {
            return self.refused(at, &rest.join(" "));
        }
        // The rate rises to its most and falls again, by so much in a second; together that is one second.
        let (most, by) = (fastest * 1e-6, wander * 1e-6);
        let rise = (1.0 / by).sqrt().min(most / by);
        let length = if by * rise < most { 2.0 * rise } else { 1.0 / most + rise };
        if let Some((_, before)) = self.smooth.replace((length, at)) {
            self.work.note(before, Outcome::Ignored, "a later line says otherwise");
        }
    }

    pub(super) fn finish_clock(&mut self) {
        if let Some(at) = self.no_system {
            if self.has_authorities {
                self.work.note(at, Outcome::Kept, "ca takes the place of the system's authorities");
            } else {
                self.work.lost(at, "give each NTS source its authorities with ca");
            }
        }
        if let Some((length, at)) = self.smooth {
            if !self.is_serving() {
                self.work.note(at, Outcome::Kept, "nobody is served, so nothing is smeared");
            } else if self.work.draft.has("clock", "leap-seconds") {
                let (length, _) = duration(length.round(), 1000.0, DAY);
                let note =
                    "leap seconds are smeared as served, and this machine's clock stays on UTC";
                self.work.set(at, ("server", "leap-smear"), quoted("quadratic"), note);
                self.work.set(
                    at,
                    ("server", "leap-smear-length"),
                    length,
                    "its middle is the end of the UTC day",
                );
                self.work.set(at, ("clock", "leap"), quoted("kernel"), "");
            } else {
                self.work.lost(at, "smearing needs a list of leap seconds: set leap-seconds in [clock] and leap-smear in [server]");
            }
        }
        if self.work.draft.has_table("source") {
            self.work.draft.assume(
                ("clock", "step-updates"),
                "0",
                "chronyd steps the clock only with makestep",
            );
        }
    }
}
