//! `[synchronization]`.

use toml::de::DeTable;

use super::{Conf, Value, number, table, text};
use crate::import::ledger::{At, Outcome};
use crate::import::number::{duration, quoted};

/// What stands for no limit, until the end.
pub(super) const NO_LIMIT: &str = "none";

/// ntpd-rs's clock, where the file says nothing.
pub(super) const DEFAULTS: [(&str, &str, &str); 6] = [
    ("step-threshold", "\"10ms\"", "ntpd-rs's default (step-threshold)"),
    ("step-updates", "\"always\"", "ntpd-rs steps at any time"),
    ("largest-step", "\"1000s\"", "ntpd-rs's default (single-step-panic-threshold)"),
    ("boot-step", "\"36500d\"", "ntpd-rs's default, forward (startup-step-panic-threshold)"),
    ("max-slew", "200", "ntpd-rs's default (slew-maximum-frequency-offset)"),
    ("min-sources", "3", "ntpd-rs's default (minimum-agreeing-sources)"),
];

const LONGEST: f64 = 36_500.0 * 86_400.0;

impl Conf<'_, '_, '_> {
    pub(super) fn synchronization(&mut self, keys: &DeTable<'_>) {
        let stratum =
            keys.get("local-stratum").and_then(number).filter(|it| (1.0..16.0).contains(it));
        for (key, value) in keys {
            let at = self.at(key.span().start);
            match (key.get_ref().as_ref(), number(value)) {
                ("minimum-agreeing-sources", Some(count)) => {
                    let note = "counted are sources of different operators and networks that agree";
                    let held = count.clamp(1.0, 64.0);
                    self.work.set(at, ("clock", "min-sources"), format!("{held:.0}"), note);
                }
                ("single-step-panic-threshold", _) => self.threshold(at, "largest-step", value),
                ("startup-step-panic-threshold", _) => self.threshold(at, "boot-step", value),
                ("accumulated-step-panic-threshold", Some(0.0)) => {
                    self.work.note(at, Outcome::Kept, "");
                }
                ("accumulated-step-panic-threshold", _) => {
                    self.work.lost(at, "what is moved in all has no limit: write max-per-hour or max-per-day in [clock]");
                }
                ("warn-on-jump", _) => {
                    self.work.note(
                        at,
                        Outcome::Kept,
                        "a clock that somebody else has set is logged",
                    );
                }
                ("local-stratum", Some(16.0)) => {
                    self.work.note(at, Outcome::Kept, "nothing is served without a source");
                }
                ("local-stratum", Some(_)) => match stratum {
                    Some(stratum) => {
                        self.work.set(at, ("server", "local-stratum"), format!("{stratum:.0}"), "");
                    }
                    None => self.refused(at, "local-stratum"),
                },
                ("reference-id", _) => match (text(value), stratum) {
                    (Some(id), Some(1.0))
                        if (1..=4).contains(&id.len())
                            && id.bytes().all(|o| o.is_ascii_graphic()) =>
                    {
                        self.work.set(at, ("server", "reference-id"), quoted(id), "");
                    }
                    _ => {
                        self.work.note(
                            at,
                            Outcome::Ignored,
                            "it counts with local-stratum 1 alone",
                        );
                    }
                },
                ("algorithm", _) => self.algorithm(at, value),
                (other, _) => self.refused(at, other),
            }
        }
    }

    /// A number of seconds, or one for each direction.
    fn threshold(&mut self, at: At, key: &'static str, value: &Value<'_>) {
        let both = table(value).map(|both| {
            let one = |name: &str| both.get(name).and_then(number).unwrap_or(f64::INFINITY);
            (one("forward"), one("backward"))
        });
        let (forward, backward) = match (both, number(value)) {
            (Some(both), _) => both,
            (None, Some(seconds)) => (seconds, seconds),
            (None, None) => return self.refused(at, key),
        };
        // At the start the larger one, since a machine may have been off for long; else the smaller one.
        let seconds =
            if key == "boot-step" { forward.max(backward) } else { forward.min(backward) };
        let note = match forward == backward {
            true => "",
            false if key == "boot-step" => "one limit counts for both directions: the larger one",
            false => "one limit counts for both directions: the smaller one",
        };
        match (seconds.is_infinite(), key) {
            (true, "boot-step") => self.work.set(at, ("clock", key), "\"36500d\"", note),
            (true, _) => self.work.set(at, ("clock", key), NO_LIMIT, note),
            _ => self.work.set(at, ("clock", key), duration(seconds, 0.001, LONGEST).0, note),
        }
    }

    fn algorithm(&mut self, at: At, value: &Value<'_>) {
        let Some(keys) = table(value) else { return self.refused(at, "algorithm") };
        for (key, value) in keys {
            let at = self.at(key.span().start);
            match (key.get_ref().as_ref(), number(value)) {
                ("step-threshold", Some(seconds)) if seconds.is_finite() => {
                    let (limit, _) = duration(seconds, 0.001, 365.0 * 86_400.0);
                    self.work.set(at, ("clock", "step-threshold"), limit, "");
                }
                ("slew-maximum-frequency-offset", Some(fraction)) if fraction.is_finite() => {
                    let (ppm, _) = crate::import::number::within(fraction * 1e6, 1.0, 100_000.0);
                    self.work.set(at, ("clock", "max-slew"), ppm, "");
                }
                (_, Some(_)) | ("ignore-server-dispersion", _) => {
                    let note = "noonmarkd goes by what it measures; there is nothing to set";
                    self.work.note(at, Outcome::Ignored, note);
                }
                (other, None) => self.refused(at, other),
            }
        }
    }
}
