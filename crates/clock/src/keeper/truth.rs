//! Where the truth is, and how that is known.

use super::record::{Knowledge, Record};
use super::{Keeper, PATIENCE_S, SETTLED, WORTHLESS_S};
use crate::SourceId;
use crate::bounds::{Bounds, Motion, UNKNOWN_FREQUENCY};
use crate::rates::Rates;
use crate::selection::{Rules, Selection, SourceState, Voice, majority_of, select};

/// Where the truth is, as those say whose word counted.
#[derive(Clone, Debug)]
pub(super) struct Published {
    bounds: Bounds,
    /// How fast that can move, as far as answers alone show.
    rates: Rates,
    /// Whose word it was.
    deciding: Vec<SourceId>,
}

impl Keeper {
    /// Where the truth is at this oscillator time; `None` before anybody said so.
    pub(super) fn bounds_at(&self, raw_s: f64) -> Option<Bounds> {
        let published = self.published.as_ref()?;
        let motion = published.rates.motion_with(self.known_motion(), self.surprise());
        Some(published.bounds.at(raw_s, &motion))
    }

    /// What is believed of how the offset moves; not enough to build on before it is [known](Self::known_motion).
    pub(super) fn motion(&self) -> Motion {
        match &self.estimator {
            Some(estimator) => {
                let estimate = estimator.estimate();
                Motion {
                    frequency: estimate.frequency,
                    frequency_sigma: estimate.frequency_sigma,
                    wander: estimate.wander,
                    likely_wander: estimate.likely_wander,
                    sigmas: if self.updates_since_anew < SETTLED {
                        Motion::SIGMAS_UNSETTLED
                    } else {
                        Motion::SIGMAS
                    },
                    surprise: self.surprise(),
                }
            }
            None => Motion {
                frequency: self.initial_frequency.0,
                frequency_sigma: self.initial_frequency.1,
                ..Motion::unknown(self.surprise())
            },
        }
    }

    /// The same once there is a history to judge by, of this run or of an earlier one; before, it may be the worst of crystals.
    pub(super) fn known_motion(&self) -> Option<Motion> {
        let (expected, expected_sigma) = self.initial_frequency;
        let motion = self.motion();
        if expected_sigma < UNKNOWN_FREQUENCY {
            return Some(motion);
        }
        // What was expected before anything was measured still pulls, by σ²/σ₀² of how far it was off: not to count once below σ.
        let pull = (motion.frequency - expected).abs() * motion.frequency_sigma;
        (self.updates_since_anew >= SETTLED && pull < expected_sigma * expected_sigma)
            .then_some(motion)
    }

    /// How the bounds of one source move.
    pub(super) fn motions(&self) -> impl Fn(&Record) -> Motion + use<> {
        let (known, surprise) = (self.known_motion(), self.surprise());
        move |source| source.rates.motion_with(known, surprise)
    }

    /// What a source has to know to learn from an answer.
    pub(super) fn knowledge(&self) -> Knowledge {
        Knowledge {
            known: self.known_motion(),
            surprise: self.surprise(),
            most: self.settings.max_frequency.as_ratio().abs(),
            likely_wander: self.motion().likely_wander,
            initial_frequency: self.initial_frequency,
        }
    }

    fn surprise(&self) -> f64 {
        self.settings.max_clock_error.as_ratio().abs()
    }

    /// Finds out who is right, and with that where the truth is.
    pub(super) fn find_truth(&mut self, raw_s: f64) {
        let selection = self.select(raw_s);
        for (id, state) in &selection.states {
            if let Some(source) = self.sources.get_mut(id) {
                source.state = *state;
            }
        }
        let Some(found) = selection.bounds else { return };
        let motion_of = self.motions();
        let rates = self.rates(raw_s, &selection.deciding);
        let fresh = match self.known_motion() {
            known @ Some(_) => found.at(raw_s, &rates.motion_with(known, self.surprise())),
            // Sources were compared as if the crystal were an ordinary one.
            None => {
                let now = self.voices(raw_s, |source| source.bounds_at(raw_s, &motion_of(source)));
                majority_of(&now, &selection.deciding).unwrap_or(found.at(raw_s, &self.motion()))
            }
        };
        let before = self.bounds_at(raw_s);
        let gap_s = before.map_or(f64::NEG_INFINITY, |before| before.gap_s(fresh));
        let said_so = self.published.as_ref().map_or(&[][..], |published| &published.deciding);
        let newcomers = selection.deciding.iter().any(|id| !said_so.contains(id));
        if gap_s > WORTHLESS_S || (gap_s > 0.0 && newcomers) {
            // Whom we followed was wrong all the time, so what was learned from them is, too.
            self.begin_anew(0.0, UNKNOWN_FREQUENCY);
        }
        // What was said before helps only among the same voices: before, a liar may have been among few, and what he said and what
        // is said now may have next to nothing in common, which need not be the truth.
        let same =
            self.published.as_ref().is_some_and(|before| before.deciding == selection.deciding);
        let bounds = match before {
            Some(before) if same => before.intersect(fresh).unwrap_or(fresh),
            _ => fresh,
        };
        let followed = self.sources.values().filter(|source| source.state == SourceState::Followed);
        let least_s = followed.map(|source| source.path.least_s()).fold(f64::INFINITY, f64::min);
        let bounds = if least_s.is_finite() { bounds.at_least(least_s / 2.0) } else { bounds };
        self.published = Some(Published { bounds, rates, deciding: selection.deciding });
    }

    fn select(&self, raw_s: f64) -> Selection {
        // At the beginning hardly anything is known of the frequency, and an interval of a minute ago, moved to now, would be so wide that
        // it agrees with everybody. So the sources are compared at an instant all of them have spoken about.
        let spoken = self
            .sources
            .values()
            .filter(|source| source.reach != 0)
            .filter_map(|source| source.bounds);
        let common_s = spoken.map(|bounds| bounds.at_s).fold(raw_s, f64::min);
        let rules = Rules {
            min_sources: self.settings.min_sources,
            max_distance_s: self.settings.max_distance.as_seconds_f64(),
            authentication: self.settings.authentication,
        };
        let own = self.published.as_ref().filter(|_| self.updates_since_anew >= SETTLED);
        let own = own.and_then(|_| self.bounds_at(common_s));
        let (known, believed, motion_of) = (self.known_motion(), self.motion(), self.motions());
        let voices = self.voices(raw_s, |source| {
            let motion = if known.is_some() { motion_of(source) } else { believed };
            source.bounds_at(common_s, &motion)
        });
        let selection = select(&voices, &rules, own);
        if selection.bounds.is_some() || known.is_some() {
            return selection;
        }
        // Nobody agrees if the crystal is an ordinary one. It may be another, if their own answers show that.
        let rates = self.rates(raw_s, &selection.deciding);
        if rates.slowest.max(-rates.fastest) < EXTRAORDINARY {
            return selection;
        }
        let motion = rates.motion(self.surprise());
        let voices = self.voices(raw_s, |source| source.bounds_at(common_s, &motion));
        select(&voices, &rules, own)
    }

    /// How fast the oscillator can be drifting, if no more than a minority of those who decide is wrong.
    fn rates(&self, raw_s: f64, deciding: &[SourceId]) -> Rates {
        let rates = self.voices(raw_s, |source| Some(source.rates.as_bounds()));
        let most = self.settings.max_frequency.as_ratio().abs();
        majority_of(&rates, deciding).map_or_else(|| Rates::within(most), Rates::from)
    }

    fn voices(&self, raw_s: f64, bounds_of: impl Fn(&Record) -> Option<Bounds>) -> Vec<Voice<'_>> {
        let patience_over = self.first_answer_s.is_some_and(|first_s| raw_s > first_s + PATIENCE_S);
        self.sources
            .iter()
            .map(|(id, source)| Voice {
                id: *id,
                options: &source.options,
                bounds: bounds_of(source),
                unreachable: source.reach == 0 && source.asked >= 8,
                awaited: source.samples == 0 && source.asked == 0 && !patience_over,
                authenticated: source.last.is_some_and(|last| last.authenticated),
            })
            .collect()
    }
}

/// No oscillator in order is off by so much, s/s.
const EXTRAORDINARY: f64 = 1e-3;
