//! `clock-proof`: steers the clock of a guest for real and looks whether it did what it was told.
//!
//! Runs only in a guest. Prints a line per promise, `held NAME: what was seen` or `broken NAME: why`, and last `verdict: good` or
//! `verdict: bad`. The measure is `CLOCK_MONOTONIC_RAW`, which nothing steers.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use noonmark_clock::{Adjusted, Adjustment, KernelStatus, SystemClock};
use noonmark_os::clock::{self, ClockWatch, KernelClock, REARM_AFTER};
use noonmark_os::{caps, poll, schedule};
use noonmark_packet::Leap;
use noonmark_rig::guest::{Guest, Look};
use noonmark_rig::promise::tell;
use noonmark_units::{Frequency, Span, Timestamp, UnixTime};

fn main() -> ExitCode {
    let guest = match Guest::enter() {
        Ok(guest) => guest,
        Err(problem) => {
            eprintln!("clock-proof: {problem}");
            return ExitCode::from(70);
        }
    };
    let promises: [(&str, Promise); 9] = [
        ("without the right there is no clock to steer", right),
        ("what others left to do is ended", takeover),
        ("rates are those asked for, and without a jump", rates),
        ("steps are exact and leave the rate alone", steps),
        ("status is what was told, until a step", status),
        ("steps by others are noticed and our own forgiven", watch),
        ("sleep is noticed and is no step", sleep_told_apart),
        ("an armed leap second comes, though the clock was stepped", leap_second),
        ("priority and locked memory are had by root", on_time),
    ];
    // Each is told before the next is tried.
    tell("clock-proof", Ok(promises.into_iter().map(|(name, promise)| (name, promise(guest)))))
}

type Promise = fn(Guest) -> Result<String, String>;

fn right(_: Guest) -> Result<String, String> {
    let thread = std::thread::spawn(|| {
        caps::drop_sys_time().map_err(said)?;
        KernelClock::open().map(drop).map_err(said)
    });
    match thread.join().map_err(|_| "panic")? {
        Ok(()) => Err("opened without CAP_SYS_TIME".into()),
        Err(complaint) => Ok(complaint),
    }
}

fn takeover(guest: Guest) -> Result<String, String> {
    let mut disturbed = 0.0_f64;
    // The kernel begins it at the next full second it notices, a kernel without anything to do notices none for a while, and whatever sets its
    // clock while it starts makes it forget.
    for _ in 0..10 {
        guest.leave_things_to_do().map_err(said)?;
        (0..12).for_each(|_| sleep(Duration::from_millis(100)));
        disturbed = measure(guest, 1500);
        if disturbed.abs() > 100.0 {
            break;
        }
    }
    hold(disturbed.abs() > 100.0, || format!("nothing was left to do: {disturbed:.3} ppm"))?;
    let mut clock = open()?;
    adjust(&mut clock, Adjustment::Rate(Frequency::ZERO))?;
    let still = measure(guest, 1500);
    hold(still.abs() < 2.0, || format!("the clock still moves at {still:.3} ppm"))?;
    let state = clock::discipline().map_err(said)?;
    hold(state.status & LOOP == 0, || format!("the kernel's loop is on: {:#x}", state.status))?;
    Ok(format!("{disturbed:.1} ppm before, {still:.3} ppm after"))
}

fn rates(guest: Guest) -> Result<String, String> {
    let mut clock = open()?;
    let mut worst = (0.0_f64, 0.0_f64);
    for ppm in [0.0, 100.0, -500.0, 500.7, 83_333.0, -83_333.0, 100_500.0, -12.345_67, 0.0] {
        let before = guest.look();
        let done = adjust(&mut clock, Adjustment::Rate(Frequency::from_ppm(ppm)))?;
        let Adjustment::Rate(effective) = done.adjustment else { return Err("not a rate".into()) };
        hold((effective.as_ppm() - ppm).abs() < 1e-4, || format!("{ppm} ppm became {effective}"))?;
        let after = guest.look();
        let told = clock.rate().map_err(said)?;
        hold((told - effective).abs().as_ppm() < 1e-4, || format!("{effective} reads as {told}"))?;
        // What was told of the moment of the change, carried on at the rate told, is where the clock is now.
        let jump = (after.real - before.real - (after.raw - before.raw)) as f64 / 1e3;
        let most = after.since(before).as_secs_f64() * 0.21 * 1e6 + 3.0;
        hold(jump.abs() < most, || {
            format!("{ppm} ppm: the clock jumped {jump:.1} µs, {most:.1} can be")
        })?;
        sleep(Duration::from_millis(1000));
        let later = guest.look();
        let error = later.ppm_since(after) - effective.as_ppm();
        worst.0 = worst.0.max(error.abs());
        worst.1 = worst.1.max(jump.abs());
    }
    hold(worst.0 < 2.5, || format!("off by up to {:.3} ppm", worst.0))?;
    Ok(format!("within {:.3} ppm over a second, {:.1} µs at each change", worst.0, worst.1))
}

fn steps(guest: Guest) -> Result<String, String> {
    let mut clock = open()?;
    adjust(&mut clock, Adjustment::Rate(Frequency::from_ppm(7.0)))?;
    let mut worst = 0;
    for nanos in [1_500_000_000_i64, -1_500_000_000, 1_000, -999_999_999, 3_600_000_000_000] {
        let before = guest.look();
        let done = adjust(&mut clock, Adjustment::Step(Span::from_nanos(nanos)))?;
        let after = guest.look();
        let moved = after.real - before.real - (after.raw - before.raw);
        worst = worst.max((moved - nanos).abs());
        let drift = after.ahead_of(done.at.real).as_seconds_f64();
        hold((0.0..1.0).contains(&drift), || format!("told {drift} s off"))?;
    }
    hold(worst < 3_000, || format!("off by up to {worst} ns"))?;
    let rate = clock.rate().map_err(said)?;
    hold((rate.as_ppm() - 7.0).abs() < 1e-3, || format!("the rate is {rate} now"))?;
    let unsynchronised = !clock::discipline().map_err(said)?.is_synchronised();
    hold(unsynchronised, || "a stepped clock calls itself synchronised".into())?;
    // Before 1970 there is nothing: refused whole, and the clock goes on.
    let before = guest.look();
    let refused = clock.adjust(&Adjustment::Step(Span::MIN));
    let after = guest.look();
    hold(refused.is_err(), || format!("stepped to before 1970: {refused:?}"))?;
    let moved = after.real - before.real - (after.raw - before.raw);
    hold(moved.abs() < 10_000, || format!("a refused step moved the clock by {moved} ns"))?;
    Ok(format!("within {worst} ns"))
}

fn status(guest: Guest) -> Result<String, String> {
    let mut clock = open()?;
    adjust(&mut clock, Adjustment::Rate(Frequency::ZERO))?;
    sleep(REARM_AFTER);
    let wanted = KernelStatus {
        synchronised: true,
        max_error: Span::from_nanos(12_000_500),
        estimated_error: Span::from_nanos(3_000),
        leap: Leap::None,
        tai_offset: Some(37),
    };
    adjust(&mut clock, Adjustment::Status(wanted))?;
    let state = clock::discipline().map_err(said)?;
    hold(state.is_synchronised(), || format!("not synchronised: {state:?}"))?;
    let bound = 12_001..=12_001 + 1_000;
    hold(bound.contains(&state.max_error_us), || format!("bound: {state:?}"))?;
    hold(state.estimated_error_us == 3, || format!("estimate: {state:?}"))?;
    hold(state.tai_offset == 37 && guest.tai_offset() == 37, || format!("TAI: {state:?}"))?;
    hold(state.status & LOOP == 0, || format!("the kernel's loop is on: {state:?}"))?;
    let leap = KernelStatus { leap: Leap::InsertSecond, ..wanted };
    adjust(&mut clock, Adjustment::Status(leap))?;
    let armed = clock::discipline().map_err(said)?;
    hold(armed.inserts_second(), || format!("no leap second: {armed:?}"))?;
    adjust(&mut clock, Adjustment::Status(KernelStatus { synchronised: false, ..wanted }))?;
    let state = clock::discipline().map_err(said)?;
    let quiet = !state.is_synchronised() && !state.inserts_second();
    hold(quiet, || format!("still synchronised: {state:?}"))?;
    Ok(format!("bound {} µs, TAI − UTC {} s", armed.max_error_us, state.tai_offset))
}

fn watch(guest: Guest) -> Result<String, String> {
    let mut clock = open()?;
    let mut watch = ClockWatch::new().map_err(said)?;
    let ready =
        |watch: &ClockWatch| poll::readable(&[watch.as_fd()], Some(Duration::from_millis(500)));
    hold(ready(&watch).map_err(said)? == [false], || "it rings by itself".into())?;
    let mut worst = 0;
    for nanos in [2_000_000_000_i64, -300_000_000, 100_000_000] {
        guest.set_clock(clock::realtime() + Span::from_nanos(nanos)).map_err(said)?;
        hold(ready(&watch).map_err(said)? == [true], || format!("{nanos} ns did not ring"))?;
        let seen = watch.look().map_err(said)?;
        let off = seen.stepped.as_nanos() - nanos;
        hold(off.abs() < 50_000_000, || format!("{nanos} ns was seen as {}", seen.stepped))?;
        hold(seen.slept.is_zero(), || format!("nobody slept: {seen:?}"))?;
        worst = worst.max(off.abs());
        hold(ready(&watch).map_err(said)? == [false], || "it goes on ringing".into())?;
        let again = watch.look().map_err(said)?;
        hold(!again.anything(), || format!("told twice: {again:?}"))?;
    }
    let by = Span::from_seconds(-1);
    adjust(&mut clock, Adjustment::Step(by))?;
    watch.expect(by);
    let rang = ready(&watch).map_err(said)? == [true];
    let seen = watch.look().map_err(said)?;
    hold(rang && !seen.anything(), || format!("our own step: rang {rang}, {seen:?}"))?;
    adjust(&mut clock, Adjustment::Rate(Frequency::from_ppm(50_000.0)))?;
    sleep(Duration::from_millis(500));
    let seen = watch.look().map_err(said)?;
    adjust(&mut clock, Adjustment::Rate(Frequency::ZERO))?;
    hold(!seen.anything(), || format!("a rate is no step: {seen:?}"))?;
    Ok(format!("three steps, each measured within {} µs of the call", worst / 1000))
}

fn sleep_told_apart(guest: Guest) -> Result<String, String> {
    let mut watch = ClockWatch::new().map_err(said)?;
    let before = clock::boot_time();
    guest.sleep(4)?;
    let away = clock::boot_time().since(before);
    let rang = poll::readable(&[watch.as_fd()], Some(Duration::from_millis(500))).map_err(said)?;
    let seen = watch.look().map_err(said)?;
    hold(rang == [true], || "it did not ring".into())?;
    hold(seen.stepped == Span::ZERO, || format!("nobody set the clock: {seen:?}"))?;
    let slept = seen.slept <= away && away < seen.slept + Duration::from_secs(3);
    hold(slept && seen.slept >= Duration::from_secs(1), || {
        format!("{seen:?} while {away:?} went by")
    })?;
    let again = watch.look().map_err(said)?;
    hold(!again.anything(), || format!("told twice: {again:?}"))?;
    Ok(format!("{:.1} s", seen.slept.as_secs_f64()))
}

/// Two and a half seconds to midnight are needed twice, once before and once after the clock is stepped again.
fn leap_second(guest: Guest) -> Result<String, String> {
    let mut clock = open()?;
    let midnight = UnixTime::new(1_861_920_000, 0); // 2029-01-01
    let before = midnight - Span::from_seconds(11);
    let by = Timestamp::from_unix(before) - clock.read().real;
    adjust(&mut clock, Adjustment::Step(by))?;
    let wanted = KernelStatus {
        synchronised: true,
        max_error: Span::from_nanos(1_000_000),
        estimated_error: Span::ZERO,
        leap: Leap::InsertSecond,
        tai_offset: Some(37),
    };
    let arm = |clock: &mut KernelClock| match adjust(clock, Adjustment::Status(wanted))?.adjustment
    {
        Adjustment::Status(status) => Ok(status.leap),
        other => Err(format!("{other:?}")),
    };
    let withheld = arm(&mut clock)?;
    hold(withheld == Leap::None, || "armed at once after a step".into())?;
    sleep(REARM_AFTER);
    hold(arm(&mut clock)? == Leap::InsertSecond, || "not armed".into())?;
    sleep(Duration::from_millis(1500));
    adjust(&mut clock, Adjustment::Step(Span::from_nanos(10_000_000)))?;
    hold(arm(&mut clock)? == Leap::None, || "armed at once after the second step".into())?;
    sleep(REARM_AFTER);
    hold(arm(&mut clock)? == Leap::InsertSecond, || "not armed again".into())?;
    let start = guest.look();
    hold(start.real < 1_861_920_000_000_000_000, || "the proof was too slow".into())?;
    while guest.look().since(start) < Duration::from_secs(8) {
        sleep(Duration::from_millis(50));
        if guest.tai_offset() == 38 {
            let now = guest.look();
            let lost = now.real - start.real - (now.raw - start.raw);
            hold((lost + 1_000_000_000).abs() < 1_000_000, || {
                format!("the clock moved by {lost} ns")
            })?;
            let past = (now.real - 1_861_920_000_000_000_000) / 1_000_000 + 1000;
            adjust(
                &mut clock,
                Adjustment::Status(KernelStatus { leap: Leap::None, tai_offset: None, ..wanted }),
            )?;
            return Ok(format!(
                "within {past} ms of midnight the clock went back a second and TAI − UTC became 38 s"
            ));
        }
    }
    Err(format!("no leap second: {:?}", clock::discipline()))
}

fn on_time(_: Guest) -> Result<String, String> {
    let thread = std::thread::spawn(|| schedule::run_first(50));
    thread.join().map_err(|_| "panic")?.map_err(said)?;
    schedule::lock_memory().map_err(said)?;
    Ok("SCHED_FIFO 50, mlockall".into())
}

/// `STA_PLL`, `STA_FLL`, `STA_FREQHOLD`: the kernel's own loop.
const LOOP: i32 = libc::STA_PLL | libc::STA_FLL | libc::STA_FREQHOLD;

fn open() -> Result<KernelClock, String> {
    KernelClock::open().map_err(said)
}

fn adjust(clock: &mut KernelClock, adjustment: Adjustment) -> Result<Adjusted, String> {
    clock.adjust(&adjustment).map_err(|refused| format!("{adjustment:?}: {refused:?}"))
}

/// How fast the clock runs, over so many milliseconds, in ppm.
fn measure(guest: Guest, milliseconds: u64) -> f64 {
    let before: Look = guest.look();
    sleep(Duration::from_millis(milliseconds));
    guest.look().ppm_since(before)
}

fn hold(condition: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(why()) }
}

fn said(problem: impl std::fmt::Display) -> String {
    problem.to_string()
}
