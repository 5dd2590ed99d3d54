//! What becomes of a clock that is far off when the daemon starts (WC-24, WC-28, ER-04).

use std::time::Duration;

use noonmark_clock::guard::{Facts, Guard, Life, Refusal, Request, Rule, Rules};
use noonmark_clock::{
    Adjusted, Adjustment, Keeper, KernelStatus, NotAdjusted, Output, Reading, Sample, Settings,
    SourceId, SourceOptions,
};
use noonmark_conformance::check::{Check, Failure};
use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Mono, Precision, Span, Timestamp, UnixTime};

use super::bench::ensure;
use super::fault::Fault;
use crate::{FaultKind, Lab};

pub const CHECKS: &[Check<Lab>] = &[
    Check {
        ids: &["WC-24"],
        name: "error_above_the_largest_step_is_refused_at_every_start",
        run: panic_threshold,
    },
    Check { ids: &["WC-28"], name: "clock_within_68_years_is_set_and_no_other", run: any_year },
    Check { ids: &["ER-04"], name: "era_is_that_of_build_and_last_saved_time", run: era },
];

/// A machine with one server that tells the truth, and what is kept of it between starts.
struct Machine {
    fault: Option<Fault>,
    rules: Rules,
    settings: Settings,
    /// What time it is, and what the clock shows.
    truth: UnixTime,
    shown: UnixTime,
    /// The clock runs faster by so much, s/s.
    rate: f64,
    mono: Mono,
    starts: u8,
    /// The guard's account.
    stored: Option<Vec<u8>>,
}

/// A run of the daemon.
struct Run {
    guard: Guard,
    keeper: Keeper,
    refusals: Vec<Refusal>,
}

impl Machine {
    fn new(lab: &Lab, built: UnixTime, truth: UnixTime, shown: UnixTime) -> Self {
        let fault = match lab.fault {
            Some(FaultKind::Client(fault)) => Some(fault),
            _ => None,
        };
        let floor = if fault == Some(Fault::EraByClock) { UnixTime::EPOCH } else { built };
        let (rules, settings) = (Rules::new(floor), Settings::default());
        let mono = Mono(1_000_000_000);
        Self { fault, rules, settings, truth, shown, rate: 0.0, mono, starts: 0, stored: None }
    }

    fn reading(&self) -> Reading {
        Reading { mono: self.mono, real: Timestamp::from_unix(self.shown) }
    }

    /// As the daemon starts: the account is read, and the clock is no earlier than the floor.
    fn start(&mut self) -> Run {
        self.starts += 1;
        let life = Life { boot: [1; 16], run: [self.starts; 16] };
        let now = self.reading();
        let mut guard = match &self.stored {
            Some(octets) => Guard::from_octets(self.rules, life, octets, now).expect("as written"),
            None => Guard::new(self.rules, life, now),
        };
        while let Some(by) = guard.behind_floor(self.shown) {
            self.shown = self.shown + by;
        }
        let _ = guard.handle_loss(now);
        self.rate = 0.0;
        let now = self.reading();
        let mut keeper = Keeper::new(self.settings, None, now);
        keeper.add_source(SourceId(0), SourceOptions::default(), now);
        self.stored = Some(guard.to_octets());
        Run { guard, keeper, refusals: Vec::new() }
    }

    /// The server is asked every 16 s.
    fn pass(&mut self, run: &mut Run, seconds: u32) {
        for second in 0..seconds {
            let shown_s = 1.0 + self.rate;
            self.truth = self.truth + Span::from_seconds(1);
            self.shown = self.shown + Span::from_seconds_f64(shown_s);
            self.mono = self.mono + Duration::from_secs_f64(shown_s);
            let now = self.reading();
            if run.keeper.deadline() <= now.mono {
                run.keeper.handle_timeout(now);
            }
            if second % 16 == 0 {
                let truth = Timestamp::from_unix(self.truth);
                run.keeper.handle_sample(SourceId(0), &answer(now.real, truth), now);
            }
            while let Some(output) = run.keeper.poll_output() {
                if let Output::Adjust(adjustment) = output {
                    self.adjust(run, adjustment);
                }
            }
        }
    }

    /// What the guard permits is done.
    fn adjust(&mut self, run: &mut Run, adjustment: Adjustment) {
        let agreeing = u32::try_from(run.keeper.agreeing()).expect("one source");
        let facts = Facts { agreeing, updates: run.keeper.updates_since_step() };
        let verdict = run.guard.permit(&Request { adjustment, facts }, self.reading(), self.shown);
        self.stored = Some(run.guard.to_octets());
        let is_done = match &verdict {
            Ok(()) => true,
            Err(Refusal { rule: Rule::OtherEra { .. }, .. }) => self.fault == Some(Fault::AnyEra),
            Err(Refusal { rule: Rule::LongStep { .. }, .. }) => {
                self.fault == Some(Fault::StepsAnyway)
            }
            Err(_) => false,
        };
        if is_done {
            match adjustment {
                Adjustment::Step(by) => self.shown = self.shown + by,
                Adjustment::Rate(rate) => self.rate = rate.as_ratio(),
                Adjustment::Status(_) => {}
            }
        }
        run.refusals.extend(verdict.err());
        let now = self.reading();
        let outcome = match run.refusals.last() {
            Some(refusal) if !is_done => Err(NotAdjusted::from(*refusal)),
            _ => Ok(Adjusted { adjustment, at: now }),
        };
        run.keeper.handle_adjusted(&outcome, now);
    }

    /// By how much the clock is ahead, s. Of more than an era, too.
    fn ahead_s(&self) -> f64 {
        let seconds = self.shown.seconds - self.truth.seconds;
        seconds as f64 + (f64::from(self.shown.nanos) - f64::from(self.truth.nanos)) * 1e-9
    }
}

/// An answer of a server that is right, to a question asked just now.
fn answer(asked: Timestamp, truth: Timestamp) -> Sample {
    Sample {
        origin: asked - Span::from_nanos(1_000_000),
        receive: truth - Span::from_nanos(500_000),
        transmit: truth - Span::from_nanos(500_000),
        destination: asked,
        leap: Leap::None,
        stratum: 1,
        root_delay: Span::ZERO,
        root_dispersion: Span::ZERO,
        reference_id: ReferenceId(*b"GPS\0"),
        reference_time: truth - Span::from_seconds(1),
        precision: Precision(-23),
        authenticated: false,
    }
}

fn panic_threshold(lab: &mut Lab) -> Result<(), Failure> {
    let largest = Span::from_seconds(1000);
    let machine = |ahead_s| {
        let mut machine = Machine::new(lab, BUILT, NOW, NOW + Span::from_seconds(ahead_s));
        machine.rules.largest_step = Some(largest);
        machine.settings.largest_slewed = largest;
        machine
    };
    for ahead_s in [900, -900] {
        let mut machine = machine(ahead_s);
        let mut run = machine.start();
        machine.pass(&mut run, MINUTES_10);
        let left_s = machine.ahead_s();
        ensure(left_s.abs() < 0.1, || format!("{ahead_s} s: {left_s} s are left"))?;
    }
    for ahead_s in [2000, -2000] {
        let mut machine = machine(ahead_s);
        for start in 1..=5 {
            let mut run = machine.start();
            machine.pass(&mut run, MINUTES_10);
            let moved_s = machine.ahead_s() - ahead_s as f64;
            ensure(moved_s.abs() < 1.0, || format!("start {start}: moved by {moved_s} s"))?;
            let first = run.refusals.first().map(ToString::to_string).unwrap_or_default();
            ensure(first.ends_with("no step may be larger than 1000.000 s"), || {
                format!("start {start}: {first:?} is the reason")
            })?;
            let tracking = run.keeper.tracking(machine.reading());
            ensure(tracking.root_dispersion >= Span::from_seconds(16), || {
                format!("start {start}: it is said to be right within {}", tracking.root_dispersion)
            })?;
        }
    }
    // Nor later, when no step is due any more.
    let mut machine = machine(0);
    let mut run = machine.start();
    machine.pass(&mut run, MINUTES_10);
    machine.truth = machine.truth + Span::from_seconds(2000);
    machine.pass(&mut run, MINUTES_10);
    let moved_s = machine.ahead_s() + 2000.0;
    ensure(moved_s.abs() < 1.0, || format!("moved by {moved_s} s"))?;
    ensure(!run.refusals.is_empty(), || "nobody says why".to_owned())
}

fn any_year(lab: &mut Lab) -> Result<(), Failure> {
    for years in -60..=136 {
        let shown = NOW + Span::from_seconds(years / 2 * YEAR_S);
        let shown = shown + Span::from_seconds((years - years / 2) * YEAR_S);
        let mut machine = Machine::new(lab, BUILT, NOW, shown);
        let mut run = machine.start();
        machine.pass(&mut run, 64);
        let ahead_s = machine.ahead_s();
        if years <= 68 {
            ensure(ahead_s.abs() < 0.1, || format!("{years} years: {ahead_s} s are left"))?;
        } else {
            let left_s = ahead_s - (years * YEAR_S) as f64;
            ensure(left_s.abs() < 1.0, || format!("{years} years: moved by {left_s} s"))?;
            let rule = run.refusals.first().map(|refusal| refusal.rule.word());
            ensure(rule == Some("other-era"), || format!("{years} years: {rule:?}"))?;
        }
    }
    Ok(())
}

/// Clocks without a battery begin at 1970, in any era.
fn era(lab: &mut Lab) -> Result<(), Failure> {
    let year = |year: i64| UnixTime::new((year - 1970) * YEAR_S, 0);
    let rows: [(i64, &[i64], i64); 7] = [
        (2026, &[], 2027),
        (2026, &[], 2040),
        (2026, &[2035], 2037),
        (2026, &[2090], 2100),
        (2026, &[2090, 2170], 2175),
        (2040, &[], 2041),
        (2110, &[2120], 2180),
    ];
    for (built, saved, now) in rows {
        let mut machine = Machine::new(lab, year(built), year(now), UnixTime::EPOCH);
        let forgets = machine.fault == Some(Fault::EraByClock);
        for &time in saved.iter().filter(|_| !forgets) {
            let mut run = machine.start();
            let status = KernelStatus {
                synchronised: true,
                max_error: Span::ZERO,
                estimated_error: Span::ZERO,
                leap: Leap::None,
                tai_offset: None,
            };
            let facts = Facts { agreeing: 1, updates: 0 };
            let request = Request { adjustment: Adjustment::Status(status), facts };
            let permitted = run.guard.permit(&request, machine.reading(), year(time));
            permitted.map_err(|refusal| refusal.to_string())?;
            machine.stored = Some(run.guard.to_octets());
            machine.shown = UnixTime::EPOCH;
        }
        let mut run = machine.start();
        machine.pass(&mut run, 64);
        let ahead_s = machine.ahead_s();
        ensure(ahead_s.abs() < 0.1, || {
            format!("built {built}, saved {saved:?}, in {now}: {ahead_s} s ahead")
        })?;
    }
    Ok(())
}

/// 2026-11-22, and a month later.
const BUILT: UnixTime = UnixTime { seconds: 1_795_305_600, nanos: 0 };
const NOW: UnixTime = UnixTime { seconds: 1_797_984_000, nanos: 0 };
const YEAR_S: i64 = 31_557_600;
const MINUTES_10: u32 = 600;
