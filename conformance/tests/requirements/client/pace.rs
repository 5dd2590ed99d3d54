//! When the client asks (WC-15 to WC-19, WC-23, KE-40, KE-42, KE-70 to KE-72).

use std::net::IpAddr;
use std::time::Duration;

use noonmark_client::{
    Action, Endpoint, KeFailure, Output, Plan, Polling, SourceEvent, SourceKind, SourceSpec,
    Sources,
};
use noonmark_clock::{Adjusted, Adjustment, Keeper, Reading, Settings, SourceState, StepRule};
use noonmark_conformance::check::{Check, Failure};
use noonmark_nts::Aead;
use noonmark_packet::ReferenceId;
use noonmark_units::{Frequency, Mono, PollExponent, Precision, Short, Span, Timestamp};

use super::bench::{Bench, POLLED, ensure};
use super::server::{Answer, agreement, cookies, keys};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["WC-15"], name: "server_that_follows_us_is_not_followed", run: timing_loop },
    Check { ids: &["WC-16"], name: "interval_stays_within_its_limits", run: limits },
    Check { ids: &["WC-17"], name: "interval_is_stretched_by_chance", run: chance },
    Check { ids: &["WC-18"], name: "first_burst_is_four_to_eight_questions_2_s_apart", run: burst },
    Check { ids: &["WC-19"], name: "silent_server_is_asked_less_and_less", run: silence },
    Check { ids: &["WC-20"], name: "majority_is_found_and_a_draw_moves_nothing", run: majority },
    Check { ids: &["WC-21"], name: "fewer_sources_than_wanted_move_nothing", run: too_few },
    Check { ids: &["WC-22"], name: "distant_server_is_not_followed", run: too_far },
    Check { ids: &["WC-25"], name: "corrections_are_bounded", run: bounded },
    Check { ids: &["WC-23"], name: "late_jump_of_a_server_does_not_step_the_clock", run: no_step },
    Check { ids: &["KE-40"], name: "request_called_bad_is_not_repeated", run: bad_request },
    Check {
        ids: &["KE-42", "KE-70", "KE-71"],
        name: "failed_key_establishment_waits_10_15_22_s",
        run: backoff,
    },
    Check { ids: &["KE-72"], name: "only_a_proven_answer_ends_the_backoff", run: no_reset },
];

/// Seconds from one question to the next; `answered` says which are answered.
fn gaps(
    bench: &mut Bench,
    questions: usize,
    answered: impl Fn(usize) -> bool,
) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::new();
    for number in 0..questions {
        bench.question()?;
        times.push(bench.now);
        if answered(number) {
            let answer = bench.answer();
            bench.arrive(&answer);
        }
    }
    Ok(times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect())
}

fn polling(min: i8, max: i8) -> Polling {
    let (min_poll, max_poll) = (PollExponent(min), PollExponent(max));
    Polling { min_poll, max_poll, initial_burst: false, burst: false }
}

fn limits(lab: &mut Lab) -> Result<(), Failure> {
    for (min, max, wanted, expected) in [
        (6, 10, 1.0, 64.0),
        (6, 10, 350.0, 350.0),
        (6, 10, 1e7, 1024.0),
        (17, 17, 1.0, 131_072.0),
        (24, 24, 1.0, 131_072.0),
        (-4, -4, 1.0, 0.0625),
        (-7, -7, 1.0, 0.0625),
    ] {
        let mut bench = Bench::plain(lab, Plan::Polled(polling(min, max)));
        bench.association.set_interval(Duration::from_secs_f64(wanted), bench.now);
        let gaps = gaps(&mut bench, 10, |_| true)?;
        let right = gaps.iter().all(|gap| (expected..=expected * 1.0201).contains(gap));
        ensure(right, || format!("{min}..{max}, {wanted} s wanted: {gaps:?}"))?;
    }
    // The server's poll exponent is shown, not obeyed.
    let mut bench = Bench::plain(lab, POLLED);
    bench.question()?;
    let asked = bench.now;
    let mut answer = bench.answer();
    answer.header.poll = PollExponent(17);
    bench.arrive(&answer);
    bench.question()?;
    ensure(bench.now.since(asked) < Duration::from_secs(17), || "poll 17 is obeyed".to_owned())
}

fn chance(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    let gaps = gaps(&mut bench, 50, |_| true)?;
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    // Evenly over 2 %: a standard deviation of 0.58 % of 16 s.
    ensure((0.06..0.13).contains(&variance.sqrt()), || format!("{} s", variance.sqrt()))
}

fn burst(lab: &mut Lab) -> Result<(), Failure> {
    let plan = Plan::Polled(Polling { initial_burst: true, ..polling(6, 10) });
    for (answered, burst) in [(true, 4), (false, 8)] {
        let mut bench = Bench::plain(lab, plan);
        let gaps = gaps(&mut bench, 10, |_| answered)?;
        let (near, far) = gaps.split_at(burst - 1);
        let right = near.iter().all(|gap| *gap == 2.0) && far.iter().all(|gap| *gap >= 64.0);
        ensure(right, || format!("answered: {answered}: {gaps:?}"))?;
    }
    Ok(())
}

fn silence(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    let gaps = gaps(&mut bench, 40, |_| false)?;
    // Stretched by at most 2 % each.
    let steps: Vec<_> = gaps.iter().map(|gap| (gap / 16.0).log2().floor()).collect();
    let begins = steps.iter().position(|step| *step > 0.0).ok_or("it never grows")?;
    ensure((7..24).contains(&begins), || format!("it grows after {} losses", begins + 1))?;
    let expected = (0..steps.len()).map(|number| (number + 1).saturating_sub(begins).min(6) as f64);
    ensure(steps.iter().copied().eq(expected), || format!("{gaps:?}"))
}

fn bad_request(lab: &mut Lab) -> Result<(), Failure> {
    for code in [0, 1] {
        let mut bench = Bench::bare_nts(lab, POLLED);
        bench.time_out();
        bench.association.handle_ke_failure(KeFailure::Refused { code }, bench.now);
        ensure(bench.association.deadline() == Mono::NEVER, || format!("error {code}: goes on"))?;
    }
    Ok(())
}

fn backoff(lab: &mut Lab) -> Result<(), Failure> {
    let failures = [KeFailure::Unreachable, KeFailure::Untrusted, KeFailure::Refused { code: 2 }];
    for failure in failures {
        let mut bench = Bench::bare_nts(lab, POLLED);
        let mut times = Vec::new();
        for _ in 0..40 {
            let outputs = bench.time_out();
            ensure(outputs == [Output::Rekey], || format!("{outputs:?}"))?;
            times.push(bench.now);
            bench.association.handle_ke_failure(failure, bench.now);
        }
        for (number, pair) in times.windows(2).enumerate() {
            let wait = pair[1].since(pair[0]).as_secs_f64();
            let expected = (10.0 * 1.5_f64.powi(number as i32)).min(432_000.0);
            ensure((wait - expected).abs() < 1e-3, || format!("{wait} s, not {expected} s"))?;
        }
    }
    Ok(())
}

fn no_reset(lab: &mut Lab) -> Result<(), Failure> {
    // Key establishment works, and NTP is black-holed.
    let mut bench = Bench::bare_nts(lab, Plan::Polled(polling(0, 0)));
    let mut times = Vec::new();
    for _ in 0..400 {
        if bench.time_out().contains(&Output::Rekey) {
            times.push(bench.now);
            let session = keys(Aead::SivCmac256, 3);
            let agreed = agreement(session, None, cookies(8, 100, 0));
            bench.association.handle_agreement(agreed, bench.now);
        }
    }
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect();
    ensure(waits.len() >= 8, || format!("{waits:?}"))?;
    for (number, wait) in waits.iter().enumerate() {
        let least = (10.0 * 1.5_f64.powi(number as i32)).min(432_000.0);
        ensure(*wait >= least - 1e-3, || format!("wait {number} is {wait} s, below {least} s"))?;
    }
    Ok(())
}

/// Plain servers and a real keeper, on a clock that steps when it is told to and never slews.
struct Kept {
    sources: Sources,
    /// Time that passed.
    time: Duration,
    /// Our clock is ahead of the truth by so much.
    error: Span,
    /// Each server, 192.0.2.1 and so on, is ahead of the truth by so much.
    servers: Vec<Span>,
    server_id: ReferenceId,
    root_dispersion: Short,
    steps: Vec<Span>,
    rates: Vec<Frequency>,
    measured: usize,
    looped: bool,
}

impl Kept {
    fn new(settings: Settings, servers: &[Span]) -> Self {
        let spec = |number| {
            let endpoint = Endpoint::new(format!("192.0.2.{number}"), 123);
            let mut spec = SourceSpec::new(SourceKind::Server(endpoint));
            spec.options.min_poll = PollExponent(4);
            spec.options.max_poll = PollExponent(4);
            spec
        };
        let now = Self::reading_at(Duration::ZERO, Span::ZERO);
        let keeper = Keeper::new(settings, None, now);
        let mut state = 1_u32;
        let random = Box::new(move |out: &mut [u8]| {
            for octet in out {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *octet = (state >> 24) as u8;
            }
        });
        let specs = (1..=servers.len()).map(spec).collect();
        Self {
            sources: Sources::new(specs, keeper, Precision(-25), random, now),
            time: Duration::ZERO,
            error: Span::ZERO,
            servers: servers.to_vec(),
            server_id: ReferenceId([192, 0, 2, 99]),
            root_dispersion: Short::from_bits(1 << 8),
            steps: Vec::new(),
            rates: Vec::new(),
            measured: 0,
            looped: false,
        }
    }

    fn reading_at(time: Duration, error: Span) -> Reading {
        let mono = Mono(1_000_000_000) + time;
        let truth = Timestamp::from_bits(0xee00_0000 << 32) + Span::from_duration(time);
        Reading { mono, real: truth + error }
    }

    fn now(&self) -> Reading {
        Self::reading_at(self.time, self.error)
    }

    fn run(&mut self, time: Duration) {
        let end = self.time + time;
        loop {
            while let Some(action) = self.sources.poll_output() {
                self.carry_out(action);
            }
            let passed = self.sources.deadline().since(self.now().mono);
            if self.time + passed > end {
                self.time = end;
                return;
            }
            self.time += passed.max(Duration::from_nanos(1));
            let now = self.now();
            self.sources.handle_timeout(now);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Transmit { id, to, datagram } => {
                let IpAddr::V4(address) = to.ip() else { panic!("{to}") };
                let ahead = self.servers[usize::from(address.octets()[3]) - 1];
                let now = self.now();
                self.sources.handle_sent(id, now.real);
                let mut answer = Answer::plain(&datagram, now.real - self.error, ahead);
                answer.header.reference_id = self.server_id;
                answer.header.root_dispersion = self.root_dispersion;
                self.time += Duration::from_millis(1);
                let now = self.now();
                self.sources.handle_datagram(id, &answer.octets(), now.real, now);
                self.measured += 1;
            }
            Action::Adjust(adjustment) => {
                match adjustment {
                    Adjustment::Step(by) => {
                        self.error += by;
                        self.steps.push(by);
                    }
                    Adjustment::Rate(rate) => self.rates.push(rate),
                    Adjustment::Status(_) => {}
                }
                let now = self.now();
                self.sources.handle_adjusted(&Ok(Adjusted { adjustment, at: now }), now);
            }
            Action::Told(SourceEvent::Loop(_)) => self.looped = true,
            _ => {}
        }
    }

    fn updates(&self) -> u32 {
        self.sources.keeper().tracking(self.now()).updates
    }
}

const TEN_MINUTES: Duration = Duration::from_secs(600);

fn no_step(_: &mut Lab) -> Result<(), Failure> {
    let mut kept = Kept::new(Settings::default(), &[Span::from_seconds(100)]);
    kept.run(TEN_MINUTES);
    // The positive control: an error found at the start is stepped.
    ensure(!kept.steps.is_empty(), || "no step at the start".to_owned())?;
    let before = kept.steps.len();
    kept.servers[0] += Span::from_nanos(500_000_000);
    kept.run(TEN_MINUTES);
    let steps = &kept.steps[before..];
    ensure(steps.is_empty(), || format!("stepped by {steps:?}"))?;
    ensure(kept.measured > 60, || format!("only {} answers", kept.measured))
}

fn timing_loop(_: &mut Lab) -> Result<(), Failure> {
    let own = ReferenceId([198, 51, 100, 7]);
    for (is_loop, id) in [(false, ReferenceId([198, 51, 100, 8])), (true, own)] {
        let mut kept = Kept::new(Settings::default(), &[Span::ZERO]);
        kept.sources.set_own_reference_ids(vec![own]);
        kept.server_id = id;
        kept.run(TEN_MINUTES);
        ensure(kept.looped == is_loop, || format!("{id:?}: told of a loop: {}", kept.looped))?;
        let updates = kept.updates();
        ensure((updates == 0) == is_loop, || format!("{id:?}: {updates} updates"))?;
    }
    Ok(())
}

fn majority(_: &mut Lab) -> Result<(), Failure> {
    let (right, wrong) = (Span::from_seconds(50), Span::from_seconds(90));
    let mut kept = Kept::new(Settings::default(), &[right, wrong, right, wrong, right]);
    kept.run(TEN_MINUTES);
    let off = kept.error - right;
    ensure(off.abs() < Span::from_nanos(10_000_000), || format!("off by {off} with 3 of 5"))?;
    let reports = kept.sources.keeper().sources(kept.now());
    let liars = reports.iter().filter(|report| report.state == SourceState::Falseticker).count();
    ensure(liars == 2, || format!("{liars} of 2 are found out"))?;

    let mut kept = Kept::new(Settings::default(), &[right, wrong, right, wrong]);
    kept.run(TEN_MINUTES);
    ensure(kept.updates() == 0 && kept.steps.is_empty(), || "2 against 2 move it".to_owned())
}

fn too_few(_: &mut Lab) -> Result<(), Failure> {
    let settings = Settings { min_sources: 3, ..Settings::default() };
    for (servers, moves) in [(3, true), (2, false)] {
        let mut kept = Kept::new(settings, &vec![Span::from_seconds(50); servers]);
        kept.run(TEN_MINUTES);
        let found = (kept.updates(), kept.steps.len());
        ensure((found != (0, 0)) == moves, || format!("{servers} servers of 3: {found:?}"))?;
    }
    Ok(())
}

fn too_far(_: &mut Lab) -> Result<(), Failure> {
    let settings = Settings { max_distance: Span::from_seconds(1), ..Settings::default() };
    for (dispersion_s, is_followed) in [(0.8, true), (1.2, false)] {
        let mut kept = Kept::new(settings, &[Span::from_seconds(50)]);
        kept.root_dispersion = Short::from_span_ceil(Span::from_seconds_f64(dispersion_s));
        kept.run(TEN_MINUTES);
        let updates = kept.updates();
        ensure((updates > 0) == is_followed, || format!("{dispersion_s} s: {updates} updates"))?;
    }
    Ok(())
}

fn bounded(_: &mut Lab) -> Result<(), Failure> {
    let settings = Settings {
        steps: StepRule::NEVER,
        max_slew: Frequency::from_ppm(500.0),
        max_frequency: Frequency::from_ppm(500.0),
        ..Settings::default()
    };
    for seconds in [30, -30] {
        // The clock does not slew here, so the keeper sees no effect and tries what it may.
        let mut kept = Kept::new(settings, &[Span::from_seconds(seconds)]);
        kept.run(TEN_MINUTES);
        ensure(kept.steps.is_empty(), || format!("stepped by {:?}", kept.steps))?;
        let most = kept.rates.iter().map(|rate| rate.as_ppm().abs()).fold(0.0, f64::max);
        ensure((1.0..=1000.5).contains(&most), || format!("{most} ppm for {seconds} s"))?;
    }
    Ok(())
}
