//! The estimate of offset and frequency, and the latest measurements it was made from.

use std::collections::{BTreeMap, VecDeque};

use crate::SourceId;
use crate::bank::{Bank, Estimate, FIRST_BIAS};
use crate::path::{Character, ErrorLaw, Path, Way};

/// An answer on the oscillator's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    pub(crate) at_s: f64,
    /// True time minus oscillator time less a constant base, s.
    pub(crate) offset_s: f64,
    /// How long it was on its way. Where the server says to have held it for longer than we waited, by how much: stamps so wrong are worth
    /// as little as if the answer had been so late.
    pub(crate) round_trip_s: f64,
    /// By how much its stamps contradict each other in that way; 0 where they do not.
    pub(crate) contradiction_s: f64,
    pub(crate) way: Way,
}

/// A [`Bank`] with a memory.
///
/// What a measurement is worth depends on what the way is like, which is learned slowly: the first measurements are weighed badly. So
/// the latest ones are kept, and when the opinion of a way has changed they are taken in again from the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Estimator {
    /// The state before the oldest measurement kept; `None` if that is the first of all.
    anchor: Option<State>,
    window: VecDeque<(SourceId, Measurement)>,
    state: State,
    initial_frequency: (f64, f64),
    characters: BTreeMap<SourceId, Character>,
}

#[derive(Clone, Debug)]
struct State {
    bank: Bank,
    at_s: f64,
    /// The place of each source's bias in the bank.
    biases: BTreeMap<SourceId, usize>,
}

impl Estimator {
    /// Begins with a first measurement and what is known of the frequency: its value and standard deviation.
    pub(crate) fn new(
        id: SourceId,
        measured: &Measurement,
        path: &Path,
        initial_frequency: (f64, f64),
    ) -> Self {
        Self {
            anchor: None,
            window: VecDeque::from([(id, *measured)]),
            state: State::new(id, measured, path, initial_frequency),
            initial_frequency,
            characters: BTreeMap::from([(id, path.character())]),
        }
    }

    /// By how many standard deviations a measurement is beyond what is foreseen and its way explains.
    pub(crate) fn surprise(&self, id: SourceId, measured: &Measurement, path: &Path) -> f64 {
        let mut bank = self.state.bank.clone();
        let bias = match self.state.biases.get(&id) {
            Some(bias) => *bias,
            None => bank.add_bias(bias_sigma_s(path)),
        };
        if measured.way == Way::New {
            bank.reset_bias(bias, bias_sigma_s(path));
        }
        bank.predict((measured.at_s - self.state.at_s).max(0.0));
        let (expected_s, sigma_s) = bank.expect(bias);
        let beyond_s =
            (measured.offset_s - expected_s).abs() - path.law(measured.round_trip_s).reach_s();
        beyond_s / sigma_s.max(1e-12)
    }

    /// Takes in a measurement.
    pub(crate) fn take_in<'a>(
        &mut self,
        id: SourceId,
        measured: &Measurement,
        path_of: impl Fn(SourceId) -> Option<&'a Path>,
    ) {
        let Some(path) = path_of(id) else { return };
        if measured.way == Way::New {
            // What was measured over the old way cannot be weighed by what the new one is like.
            self.anchor = Some(self.state.clone());
            self.window.clear();
        }
        self.state.take_in(id, measured, path);
        if self.window.len() == KEPT {
            self.drop_oldest(&path_of);
        }
        self.window.push_back((id, *measured));
        let character = path.character();
        let changed = self.characters.get(&id).is_none_or(|before| character.differs_from(before));
        if changed {
            self.characters.insert(id, character);
            self.think_again(&path_of);
        }
    }

    /// Forgets a source. What it contributed stays.
    pub(crate) fn remove_source(&mut self, id: SourceId) {
        self.state.remove_source(id);
        self.characters.remove(&id);
        self.anchor = Some(self.state.clone());
        self.window.clear();
    }

    /// What is believed at the last measurement.
    pub(crate) fn estimate(&self) -> Estimate {
        self.state.bank.estimate()
    }

    /// What is believed at the oscillator time `at_s`.
    pub(crate) fn estimate_at(&self, at_s: f64) -> Estimate {
        let mut bank = self.state.bank.clone();
        bank.predict((at_s - self.state.at_s).max(0.0));
        bank.estimate()
    }

    /// The oscillator time of the last measurement, s.
    pub(crate) fn at_s(&self) -> f64 {
        self.state.at_s
    }

    fn drop_oldest<'a>(&mut self, path_of: &impl Fn(SourceId) -> Option<&'a Path>) {
        let Some((id, oldest)) = self.window.pop_front() else { return };
        let Some(path) = path_of(id) else { return };
        match &mut self.anchor {
            Some(anchor) => anchor.take_in(id, &oldest, path),
            None => self.anchor = Some(State::new(id, &oldest, path, self.initial_frequency)),
        }
    }

    fn think_again<'a>(&mut self, path_of: &impl Fn(SourceId) -> Option<&'a Path>) {
        let mut state = self.anchor.clone();
        for (id, measured) in &self.window {
            let Some(path) = path_of(*id) else { continue };
            match &mut state {
                Some(state) => state.take_in(*id, measured, path),
                None => state = Some(State::new(*id, measured, path, self.initial_frequency)),
            }
        }
        if let Some(state) = state {
            self.state = state;
        }
    }
}

impl State {
    fn new(
        id: SourceId,
        measured: &Measurement,
        path: &Path,
        initial_frequency: (f64, f64),
    ) -> Self {
        let law = path.law(measured.round_trip_s);
        let (frequency, sigma) = initial_frequency;
        let bank = Bank::new(
            measured.offset_s,
            law.variance().sqrt(),
            bias_sigma_s(path),
            frequency,
            sigma,
        );
        Self { bank, at_s: measured.at_s, biases: BTreeMap::from([(id, FIRST_BIAS)]) }
    }

    fn take_in(&mut self, id: SourceId, measured: &Measurement, path: &Path) {
        let law: ErrorLaw = path.law(measured.round_trip_s);
        let elapsed_s = measured.at_s - self.at_s;
        // One that waited for the others to agree may be a little older than the bank.
        let late = if elapsed_s < 0.0 { elapsed_s * self.bank.estimate().frequency } else { 0.0 };
        let offset_s = measured.offset_s - late;
        self.bank.predict(elapsed_s.max(0.0));
        self.at_s = self.at_s.max(measured.at_s);
        let bias = match self.biases.get(&id) {
            Some(bias) => {
                if measured.way == Way::New {
                    self.bank.reset_bias(*bias, bias_sigma_s(path));
                }
                *bias
            }
            None => {
                let bias = self.bank.add_bias(bias_sigma_s(path));
                self.biases.insert(id, bias);
                bias
            }
        };
        self.bank.update(bias, offset_s, &law);
    }

    fn remove_source(&mut self, id: SourceId) {
        let Some(removed) = self.biases.remove(&id) else { return };
        self.bank.remove_bias(removed);
        for bias in self.biases.values_mut() {
            if *bias > removed {
                *bias -= 1;
            }
        }
    }
}

/// What is known of the bias of a way before anything was measured over it: half its delay bounds it.
fn bias_sigma_s(path: &Path) -> f64 {
    BIAS_SHARE * path.floor_s() / 2.0
}

/// A bias of the way as a part of half its least round trip, one standard deviation.
const BIAS_SHARE: f64 = 0.3;
/// Measurements kept.
const KEPT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    const QUEUE_S: f64 = 1e-4;
    const UNKNOWN: (f64, f64) = (0.0, 2e-4);

    /// A path that has seen so much queueing in its time.
    fn path(queue_s: f64) -> Path {
        let mut dice = Dice::new(5);
        let mut path = Path::new();
        for _ in 0..64 {
            path.learn_delay(0.01 + dice.exponential(queue_s) + dice.exponential(queue_s));
        }
        path
    }

    /// Measurements by two sources, 64 s apart, of an oscillator that gains 20 ppm.
    fn measurements(count: u32) -> Vec<(SourceId, Measurement)> {
        let mut dice = Dice::new(6);
        let one = |n: u32| {
            let (up, down) = (dice.exponential(QUEUE_S), dice.exponential(QUEUE_S));
            let at_s = 64.0 * f64::from(n);
            let measured = Measurement {
                at_s,
                offset_s: 2e-5 * at_s + (up - down) / 2.0,
                round_trip_s: 0.01 + up + down,
                contradiction_s: 0.0,
                way: Way::Known,
            };
            (SourceId(n % 2), measured)
        };
        (0..count).map(one).collect()
    }

    fn run(measurements: &[(SourceId, Measurement)], path: &Path) -> Estimator {
        let ((id, first), rest) = measurements.split_first().unwrap();
        let mut estimator = Estimator::new(*id, first, path, UNKNOWN);
        for (id, measured) in rest {
            estimator.take_in(*id, measured, |_| Some(path));
        }
        estimator
    }

    fn same(a: &Estimator, b: &Estimator) {
        let (a, b) = (a.estimate(), b.estimate());
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }

    #[test]
    fn thinking_again_is_having_known_it_from_the_start() {
        let measured = measurements(100);
        let (before, after) = (path(2e-5), path(QUEUE_S));
        let mut learned = run(&measured, &before);
        let known = run(&measured, &after);
        assert_ne!(format!("{:?}", learned.estimate()), format!("{:?}", known.estimate()));
        learned.think_again(&|_| Some(&after));
        same(&learned, &known);
    }

    #[test]
    fn a_change_of_opinion_is_noticed_by_itself() {
        let measured = measurements(100);
        let (before, after) = (path(2e-5), path(QUEUE_S));
        let (last, early) = measured.split_last().unwrap();
        let mut learned = run(early, &before);
        learned.take_in(last.0, &last.1, |_| Some(&after));
        same(&learned, &run(&measured, &after));
    }

    #[test]
    fn thinking_again_without_news_changes_nothing() {
        // The second number is beyond what is kept: the oldest are in the anchor.
        for count in [10, 1000] {
            let path = path(QUEUE_S);
            let mut estimator = run(&measurements(count), &path);
            let before = estimator.clone();
            estimator.think_again(&|_| Some(&path));
            same(&estimator, &before);
        }
    }

    #[test]
    fn memory_stays_bounded() {
        let path = path(QUEUE_S);
        let mut estimator = run(&measurements(1000), &path);
        assert_eq!(estimator.window.len(), KEPT);
        for n in 2..500 {
            let id = SourceId(n);
            let measured = Measurement { at_s: 64_000.0 + f64::from(n), ..measurements(1)[0].1 };
            estimator.take_in(id, &measured, |_| Some(&path));
            estimator.remove_source(id);
        }
        assert!(estimator.window.len() <= KEPT);
        assert_eq!((estimator.characters.len(), estimator.state.biases.len()), (2, 2));
    }

    #[test]
    fn a_new_way_does_not_move_the_clock() {
        let old = path(QUEUE_S);
        let mut estimator = run(&measurements(100), &old);
        let mut new = old.clone();
        let expected_s = 2e-5 * 64.0 * 120.0;
        // 5 ms longer on the way up.
        for (n, (_, measured)) in (100u32..121).zip(measurements(121).into_iter().skip(100)) {
            let round_trip_s = measured.round_trip_s + 5e-3;
            let offset_s = measured.offset_s + 2.5e-3;
            let learned = new.learn_delay(round_trip_s);
            let way = if n == 100 { Way::New } else { learned };
            let measured = Measurement { offset_s, round_trip_s, way, ..measured };
            if n == 100 {
                new = Path::new();
                new.learn_delay(round_trip_s);
            }
            estimator.take_in(SourceId(0), &measured, |_| Some(&new));
        }
        let found = estimator.estimate();
        assert!((found.offset_s - expected_s).abs() < 1e-3, "{found:?}, not {expected_s}");
        assert!((found.frequency - 2e-5).abs() < 2e-7, "{found:?}");
    }

    #[test]
    fn sources_that_leave_leave_what_they_taught() {
        let path = path(QUEUE_S);
        let mut estimator = run(&measurements(100), &path);
        let before = estimator.estimate();
        estimator.remove_source(SourceId(0));
        estimator.remove_source(SourceId(77));
        let after = estimator.estimate();
        assert!((after.offset_s - before.offset_s).abs() < 1e-9, "{after:?}");
        assert!((after.frequency - before.frequency).abs() < 1e-12, "{after:?}");
        estimator.remove_source(SourceId(1));
        let (id, measured) = measurements(101)[100];
        estimator.take_in(id, &measured, |_| Some(&path));
        assert_eq!(estimator.state.biases.len(), 1);
    }

    #[test]
    fn what_comes_late_is_taken_for_what_it_was() {
        let path = path(QUEUE_S);
        let mut estimator = run(&measurements(100), &path);
        let before = estimator.estimate();
        let late_s = estimator.at_s() - 30.0;
        let late = Measurement {
            at_s: late_s,
            offset_s: 2e-5 * late_s,
            round_trip_s: 0.01,
            contradiction_s: 0.0,
            way: Way::Known,
        };
        estimator.take_in(SourceId(0), &late, |_| Some(&path));
        assert!((estimator.estimate().offset_s - before.offset_s).abs() < 1e-4);
        assert!((estimator.at_s() - late_s - 30.0).abs() < 1e-9, "time does not go back");
    }
}
