//! What is known of one source.

use core::time::Duration;
use std::collections::VecDeque;

use noonmark_units::{Mono, Span};

use crate::bounds::{Bounds, Motion};
use crate::estimator::Measurement;
use crate::path::{Path, Way};
use crate::rates::Rates;
use crate::selection::SourceState;
use crate::track::Track;
use crate::{Reading, Sample, SourceOptions};

/// One source: what the operator says of it, what it answered, and what was learned from that without the other sources.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) options: SourceOptions,
    pub(super) path: Path,
    pub(super) track: Option<Track>,
    /// Where its answers have the truth.
    pub(super) bounds: Option<Bounds>,
    /// The same after each of its latest answers, oldest first.
    pub(super) bounds_before: VecDeque<Bounds>,
    /// How fast the oscillator can be drifting, as far as its answers alone tell.
    pub(super) rates: Rates,
    pub(super) state: SourceState,
    /// Measured, but not yet taken in because the sources had not agreed.
    pub(super) pending: Option<Measurement>,
    /// The last of all, taken in or not; `None` once the oscillator's time has lost its meaning.
    pub(super) measured: Option<Measurement>,
    pub(super) last: Option<Sample>,
    pub(super) last_offset: Span,
    pub(super) last_answer: Option<Mono>,
    pub(super) reach: u8,
    pub(super) asked: u32,
    pub(super) samples: u64,
    /// How many of its latest answers in a row were far from what was foreseen.
    pub(super) doubts: u32,
    pub(super) interval: Duration,
    /// By how much its stamps, or ours of its answers, are wrong at least, as far as they contradicted each other lately.
    stamps_wrong_s: f64,
}

/// What is known of the oscillator when an answer comes.
pub(super) struct Knowledge {
    /// How the offset moves, once that is known.
    pub(super) known: Option<Motion>,
    /// What no model foresees, s/s.
    pub(super) surprise: f64,
    /// What no oscillator exceeds, s/s.
    pub(super) most: f64,
    /// As in [`Motion`].
    pub(super) likely_wander: f64,
    /// Frequency and its standard deviation, as known before we started.
    pub(super) initial_frequency: (f64, f64),
}

impl Record {
    /// A source that has not answered yet, where the oscillator may be off by up to `most`.
    pub(super) fn new(options: SourceOptions, most: f64) -> Self {
        Self {
            options,
            path: Path::new(),
            track: None,
            bounds: None,
            bounds_before: VecDeque::new(),
            rates: Rates::within(most),
            state: SourceState::Waiting,
            pending: None,
            measured: None,
            last: None,
            last_offset: Span::ZERO,
            last_answer: None,
            reach: 0,
            asked: 0,
            samples: 0,
            doubts: 0,
            interval: Duration::ZERO,
            stamps_wrong_s: 0.0,
        }
    }

    /// An answer came, whether or not anything can be learned from it.
    pub(super) fn note_answer(&mut self, now: Reading) {
        self.reach = self.reach << 1 | 1;
        self.asked = self.asked.saturating_add(1);
        self.last_answer = Some(now.mono);
    }

    /// Learns from an answer what can be learned without the other sources. `known` is how the offset moves, if that is known.
    pub(super) fn take(
        &mut self,
        sample: &Sample,
        mut measured: Measurement,
        Knowledge { known, surprise, most, likely_wander, initial_frequency }: &Knowledge,
        now: Reading,
    ) {
        self.note_answer(now);
        self.samples = self.samples.saturating_add(1);
        self.last = Some(*sample);
        measured.way = self.path.learn_delay(measured.round_trip_s);
        match &mut self.track {
            Some(track) => {
                track.update(&measured, &self.path, *likely_wander);
                self.path.believe(track.shares());
            }
            None => self.track = Some(Track::new(&measured, &self.path, *initial_frequency)),
        }
        // A stamp that is wrong moves the middle, and makes the round trip shorter than it was.
        self.stamps_wrong_s = (self.stamps_wrong_s * STAMPS_FORGIVEN).max(measured.contradiction_s);
        let half_s = measured.round_trip_s / 2.0
            + self.stamps_wrong_s
            + (sample.root_delay.half() + sample.root_dispersion + sample.precision.as_span())
                .as_seconds_f64();
        let fresh = Bounds::around(measured.offset_s, half_s, measured.at_s);
        self.rates.learn(fresh, *surprise, *most);
        let motion = self.rates.motion_with(*known, *surprise);
        let before = self.bounds.map(|bounds| bounds.at(measured.at_s, &motion));
        // A server whose answers contradict each other is believed for the last one only.
        let bounds = before.and_then(|before| before.intersect(fresh)).unwrap_or(fresh);
        // However many answers there are, none of them knows how the least round trip is shared between the two directions; only
        // stamps that are a little wrong could make it seem so.
        let least_s = self.path.least_s().min(measured.round_trip_s) / 2.0;
        let bounds = bounds.at_least(least_s.max(self.stamps_wrong_s));
        self.bounds = Some(bounds);
        if self.bounds_before.len() == BOUNDS_REMEMBERED {
            self.bounds_before.pop_front();
        }
        self.bounds_before.push_back(bounds);
        if let Some(pending) = self.pending
            && pending.way == Way::New
        {
            measured.way = Way::New;
        }
        self.pending = Some(measured);
        self.measured = Some(measured);
    }
}

impl Record {
    /// Where its answers have the truth at an instant that may lie before the last of them.
    pub(super) fn bounds_at(&self, at_s: f64, motion: &Motion) -> Option<Bounds> {
        let last = self.bounds?.at(at_s, motion);
        let all = self.bounds_before.iter().rev().map(|bounds| bounds.at(at_s, motion));
        Some(all.fold(last, |found, bounds| found.intersect(bounds).unwrap_or(found)))
    }
}

/// What is left, one answer later, of the contradiction between stamps: half of it after some seventy.
const STAMPS_FORGIVEN: f64 = 0.99;

/// How many answers back the bounds of a source are remembered.
const BOUNDS_REMEMBERED: usize = 8;
