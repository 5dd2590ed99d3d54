//! Scenarios run over many seeds on all processors, and what came of them beside another program's figures.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use serde::Serialize;

use super::daemon::{Daemon, Setup};
use super::figures::{bootstrap_of_median, geometric_mean, median, ranked};
use super::metrics::Record;
use super::scenario::{Figures, Scenario, ScenarioFile};
use super::variant::Variant;
use super::world::World;

/// One variant of one scenario.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The variant's name.
    pub name: &'a str,
    /// The variant.
    pub variant: &'a Variant,
    /// Seconds a run takes.
    pub seconds: u64,
}

/// What remains of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// RMS of the true offset over the last 80 %, s.
    pub rms: f64,
    /// Largest there, s.
    pub max: f64,
    /// When it came below 1 ms to stay until the event or the end, s.
    pub sync_1ms: Option<f64>,
    /// The same, counted from the event to the end.
    pub resync_1ms: Option<f64>,
    /// Datagrams sent.
    pub packets: f64,
    /// Seconds in which the published interval did not hold true time.
    pub outside: u64,
    /// Median half-width of that interval over the last 80 %, s.
    pub half_width: f64,
}

/// All runs of one trial.
#[derive(Clone, Debug)]
pub struct Result {
    /// The scenario's name.
    pub id: String,
    /// The variant's name.
    pub variant: String,
    /// What its runs gave, by seed.
    pub outcomes: Vec<Outcome>,
    /// The other program's figures.
    pub chronyd: Figures,
    /// Whether the scenario has an event.
    pub has_event: bool,
}

/// A row as machines read it; seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The scenario.
    pub id: String,
    /// The variant.
    pub variant: String,
    /// Runs.
    pub seeds: usize,
    /// Median RMS of the true offset.
    pub rms: f64,
    /// Its 90th percentile.
    pub rms_p90: Option<f64>,
    /// chronyd's median.
    pub rms_chronyd: Option<f64>,
    /// Ours through chronyd's.
    pub ratio: Option<f64>,
    /// Median time until the offset stays under 1 ms; null for never.
    pub sync_1ms: Option<f64>,
    /// Median of the largest offset.
    pub max: f64,
    /// Median number of packets sent.
    pub packets: f64,
    /// Seconds outside the published interval, all runs together.
    pub outside_interval: u64,
}

/// The last line as machines read it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// Geometric mean of the ratios, each counted as at least 0.3.
    pub geomean_ratio: Option<f64>,
    /// The largest ratio.
    pub worst_ratio: Option<f64>,
}

impl<'a> Trial<'a> {
    /// Every trial of a file whose scenario, or scenario/variant, is in `only`; all if that is empty.
    #[must_use]
    pub fn all(file: &'a ScenarioFile, only: &[String]) -> Vec<Self> {
        let trials = file.scenarios.iter().flat_map(|scenario| {
            scenario.variants(&file.defaults).iter().map(|(name, variant)| Self {
                scenario,
                name,
                variant,
                seconds: scenario.duration(&file.defaults),
            })
        });
        let wanted = |trial: &Self| {
            let full = format!("{}/{}", trial.scenario.id, trial.name);
            only.is_empty() || only.iter().any(|one| *one == trial.scenario.id || *one == full)
        };
        trials.filter(wanted).collect()
    }

    /// One run, second by second.
    #[must_use]
    pub fn record(&self, seed: u64) -> Record {
        let model = &self.scenario.model;
        let mut world = World::new(model, seed, self.variant.server_precision);
        let setup = Setup::new(self.variant, model.servers.len());
        let mut daemon = Daemon::new(setup, World::node_random(seed), world.reading());
        Record::of(&mut world, &mut daemon, self.seconds)
    }

    /// One run.
    #[must_use]
    pub fn run(&self, seed: u64) -> Outcome {
        let record = self.record(seed);
        let event = self.scenario.event;
        let seconds = |second: u64| second as f64;
        let from_event = event.and_then(|event| {
            let end = record.stays_below(1e-3, None)?;
            Some(seconds(end.max(event) - event))
        });
        Outcome {
            rms: record.rms(),
            max: record.max(),
            sync_1ms: record.stays_below(1e-3, event).map(seconds),
            resync_1ms: from_event,
            packets: record.packets as f64,
            outside: record.outside,
            half_width: median(
                record.half_widths.get(record.half_widths.len() / 5..).unwrap_or_default(),
            ),
        }
    }
}

/// Runs each trial with the seeds 0..`seeds` on all processors and hands over each result as soon as it and all before it are there.
pub fn run_all(trials: &[Trial<'_>], seeds: u64, mut done: impl FnMut(&Result)) -> Vec<Result> {
    let next = AtomicUsize::new(0);
    let seeds_each = usize::try_from(seeds).unwrap_or(usize::MAX);
    let total = trials.len() * seeds_each;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (sender, receiver) = mpsc::channel();
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    let Some(trial) = trials.get(job / seeds_each.max(1)).filter(|_| job < total)
                    else {
                        return;
                    };
                    let seed = (job % seeds_each) as u64;
                    if sender.send((job, trial.run(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut outcomes: Vec<Option<Outcome>> = vec![None; total];
        for (job, outcome) in receiver {
            if let Some(place) = outcomes.get_mut(job) {
                *place = Some(outcome);
            }
            while let Some(trial) = trials.get(results.len()) {
                let from = results.len() * seeds_each;
                let part = outcomes.get(from..from + seeds_each).unwrap_or_default();
                let Some(whole) = part.iter().cloned().collect::<Option<Vec<Outcome>>>() else {
                    break;
                };
                let result = Result::new(trial, whole);
                done(&result);
                results.push(result);
            }
        }
    });
    results
}

/// Runs `job` for each of `0..count` on all processors; the values in order.
pub fn in_parallel<T: Send>(count: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let values: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let value = job(number);
                    values.lock().unwrap_or_else(PoisonError::into_inner).push((number, value));
                }
            });
        }
    });
    let mut values = values.into_inner().unwrap_or_else(PoisonError::into_inner);
    values.sort_by_key(|(number, _)| *number);
    values.into_iter().map(|(_, value)| value).collect()
}

impl Result {
    fn new(trial: &Trial<'_>, outcomes: Vec<Outcome>) -> Self {
        Self {
            id: trial.scenario.id.clone(),
            variant: trial.name.to_owned(),
            outcomes,
            chronyd: trial.scenario.chronyd.get(trial.name).cloned().unwrap_or_default(),
            has_event: trial.scenario.event.is_some(),
        }
    }

    /// One figure of each run.
    #[must_use]
    pub fn each(&self, figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.outcomes.iter().map(figure).collect()
    }

    /// Median and 90th percentile of a figure that may never be reached.
    #[must_use]
    pub fn middle_and_late(
        &self,
        figure: impl Fn(&Outcome) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        let each: Vec<Option<f64>> = self.outcomes.iter().map(figure).collect();
        (ranked(&each, 0.5), ranked(&each, 0.9))
    }

    /// Our median RMS through chronyd's.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.chronyd.median("rms").map(|other| median(&self.each(|run| run.rms)) / other)
    }

    /// Where that ratio lies in 95 of 100 cases, as far as our runs leave it open.
    #[must_use]
    pub fn ratio_interval(&self) -> Option<(f64, f64)> {
        let other = self.chronyd.median("rms")?;
        let (low, high) = bootstrap_of_median(&self.each(|run| run.rms));
        Some((low / other, high / other))
    }

    /// The row as machines read it.
    #[must_use]
    pub fn row(&self) -> Row {
        let (sync_1ms, _) = self.middle_and_late(|run| run.sync_1ms);
        let (_, rms_p90) = self.middle_and_late(|run| Some(run.rms));
        Row {
            id: self.id.clone(),
            variant: self.variant.clone(),
            seeds: self.outcomes.len(),
            rms: median(&self.each(|run| run.rms)),
            rms_p90,
            rms_chronyd: self.chronyd.median("rms"),
            ratio: self.ratio(),
            sync_1ms,
            max: median(&self.each(|run| run.max)),
            packets: median(&self.each(|run| run.packets)),
            outside_interval: self.outcomes.iter().map(|run| run.outside).sum(),
        }
    }

    /// Whether our median of packets is above chronyd's.
    #[must_use]
    pub fn exceeds_packets(&self) -> bool {
        let ours = median(&self.each(|run| run.packets));
        self.chronyd.median("packets").is_some_and(|theirs| ours > theirs)
    }

    /// Whether our median time to stay under 1 ms is above chronyd's, by at least the second both are counted in.
    #[must_use]
    pub fn syncs_later(&self) -> bool {
        let (ours, _) = self.middle_and_late(|run| run.sync_1ms);
        match (ours, self.chronyd.median("sync_1ms")) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(ours), Some(theirs)) => ours > theirs,
        }
    }
}

impl Summary {
    /// Of these results.
    #[must_use]
    pub fn of(results: &[Result]) -> Self {
        let ratios: Vec<f64> = results.iter().filter_map(Result::ratio).collect();
        let counted: Vec<f64> = ratios.iter().map(|ratio| ratio.max(LEAST_RATIO)).collect();
        Self {
            geomean_ratio: Some(geometric_mean(&counted)).filter(|mean| mean.is_finite()),
            worst_ratio: ratios.into_iter().reduce(f64::max),
        }
    }
}

/// No better ratio counts, so that one scenario in which the other fails does not make up for many.
const LEAST_RATIO: f64 = 0.3;
