//! Stage `guests`: what sets a clock, in machines whose clock is their own.
//!
//! Each guest is a Debian kernel under QEMU's emulation with a file system in memory: busybox, our programs and their libraries,
//! and a script that runs them, prints a verdict and switches off. QEMU holds no right to the clock of this machine, like
//! everything started from here. Another experiment is another script ([`SCRIPT`]) and another list of programs; one whose guest
//! keeps time by a server, and whose true error is wanted, is a [`truth::Wired`].

mod hands;
pub(crate) mod image;
mod kernel;
mod leap;
mod machine;
mod subject;
mod truth;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::apt::{self, Consent, Needed};
use crate::build;
use crate::peers::Peers;
use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::Metadata;
use image::Image;
pub use kernel::Kernel;
use machine::Machine;
pub use subject::{Polls, Subject};
use truth::{Course, Oscillator};

/// What the machine needs.
const TOOLS: &[Needed] = &[
    Needed { program: "qemu-system-x86_64", package: "qemu-system-x86" },
    Needed { program: "busybox", package: "busybox-static" },
];

/// The beginning of every guest's first script.
const SCRIPT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
";

/// A guest and what it has to show.
struct Experiment {
    name: &'static str,
    /// It measures to the microsecond, so no other that does runs beside it.
    is_exact: bool,
    run: fn(&Place<'_>) -> Result<Vec<Promise>, String>,
}

/// What experiments share.
struct Place<'a> {
    kernel: &'a Kernel,
    target: &'a Path,
    consent: Consent,
}

impl Place<'_> {
    /// Where our programs were built.
    fn programs(&self) -> PathBuf {
        self.target.join("debug")
    }
}

/// A thing that was to be shown, and whether it was.
type Promise = (String, Result<(), String>);

const EXPERIMENTS: &[Experiment] = &[
    Experiment { name: "kernel clock", is_exact: true, run: kernel_clock },
    Experiment { name: "chronyd in a guest", is_exact: true, run: chronyd },
    Experiment { name: "noonmarkd in a guest", is_exact: true, run: noonmarkd },
    Experiment { name: "foreign hands", is_exact: false, run: hands::foreign },
    Experiment { name: "cloned machine", is_exact: false, run: hands::cloned },
    Experiment { name: "leap second by the kernel", is_exact: false, run: leap::kernel },
    Experiment { name: "leap second by a step", is_exact: false, run: leap::step },
    Experiment { name: "leap second by a slew", is_exact: false, run: leap::slew },
    Experiment { name: "leap second smeared", is_exact: false, run: leap::smear },
];

/// Boots the guests.
pub fn run(wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    let chosen = |experiment: &&Experiment| {
        wish.cell.as_ref().is_none_or(|text| experiment.name.contains(text.as_str()))
    };
    let prepared = Metadata::read().and_then(|metadata| {
        let kernel = prepare(&metadata.target_directory, wish.consent)?;
        Ok((metadata.target_directory, kernel))
    });
    let (target, kernel) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => {
            for experiment in EXPERIMENTS.iter().filter(chosen) {
                tally.record_not_run(experiment.name, &reason);
            }
            return tally;
        }
    };
    if let Err(problem) = build::everything() {
        tally.record("the programs", Err(problem));
        return tally;
    }
    println!("kernel: {}", kernel.package());
    let place = Place { kernel: &kernel, target: &target, consent: wish.consent };
    let tally = Mutex::new(tally);
    let run = |experiment: &Experiment| {
        let result = (experiment.run)(&place);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(promises) => {
                for (name, result) in promises {
                    tally.record(&format!("{}: {name}", experiment.name), result);
                }
            }
            Err(problem) => tally.record(experiment.name, Err(problem)),
        }
    };
    let (exact, rough): (Vec<_>, Vec<_>) =
        EXPERIMENTS.iter().filter(chosen).partition(|experiment| experiment.is_exact);
    std::thread::scope(|scope| {
        // Emulation takes a core while a guest works; those that mostly wait may do so at the same time.
        scope.spawn(|| exact.into_iter().for_each(&run));
        for share in rough.chunks(rough.len().div_ceil(ROUGH_AT_A_TIME).max(1)) {
            scope.spawn(|| share.iter().for_each(|experiment| run(experiment)));
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What every guest needs.
///
/// # Errors
/// Why there can be none here.
pub fn prepare(target: &Path, consent: Consent) -> Result<Kernel, String> {
    if !cfg!(target_arch = "x86_64") {
        return Err("guests are made for x86-64 machines".to_owned());
    }
    apt::ensure(TOOLS, consent)?;
    Kernel::prepare(target)
}

/// Steers a guest's clock for real through the crate `os`.
fn kernel_clock(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let script = format!("{SCRIPT}clock-proof\npoweroff -f\n");
    let mut image = Image::new()?;
    image.init(&script);
    image.program("usr/bin/clock-proof", &place.programs().join("clock-proof"))?;
    let machine = Machine {
        name: "kernel-clock",
        kernel: place.kernel,
        image,
        memory: 256,
        starts_at: "2026-01-01T00:00:00",
        counter_khz: None,
        wire: None,
        generation: None,
        thaws: None,
        page: None,
        is_exact: true,
    };
    let console = machine.boot(place.target)?.finish(Duration::from_secs(150))?;
    promises(&console)
}

/// The control that shows the rig itself works: another daemon sets and keeps a guest's clock.
fn chronyd(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let task = Task {
        name: Subject::Chronyd.name().into(),
        subject: Subject::Chronyd,
        polls: POLLS,
        oscillator_ppm: 100.0,
        ahead_hours: 5,
        keep_for: Duration::from_secs(45),
    };
    let peers = Peers::prepare(place.target, place.consent)?;
    let course = task.run(place.kernel, &peers, place.target, &place.programs())?;
    figures(&course, task.oscillator_ppm)
}

/// Keeping a guest's clock for a while that was left alone before.
pub struct Task {
    /// Of the guest and its folder of files.
    pub name: String,
    /// Who does.
    pub subject: Subject,
    /// How often it asks.
    pub polls: Polls,
    /// What the guest's clock gains by itself.
    pub oscillator_ppm: f64,
    /// What it shows at the start, before or after the true time.
    pub ahead_hours: i64,
    /// From its start to the guest's end.
    pub keep_for: Duration,
}

impl Task {
    /// Runs it.
    ///
    /// # Errors
    /// What could not be started, or how the guest ended.
    pub fn run(
        &self,
        kernel: &Kernel,
        peers: &Peers,
        target: &Path,
        programs: &Path,
    ) -> Result<Course, String> {
        let seconds = self.keep_for.as_secs();
        let keep = format!("{} &\nsleep {seconds}\n", self.subject.command());
        let wired = truth::Wired {
            name: &self.name,
            image: self.subject.image(self.polls, Some(peers), programs)?,
            starts_at: &hours_from_now(self.ahead_hours),
            programs,
            oscillator: Oscillator::Gains(self.oscillator_ppm),
            plugged_in: true,
            script: &alone_then(self.subject, &keep),
            limit: LIMIT + self.keep_for,
        };
        wired.run(kernel, target)
    }
}

/// The daemon as it is shipped, all roles, with its rules: the same task with the oscillator's error the other way round, and then, in
/// another guest, a second start from what it stored.
fn noonmarkd(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let subject = Subject::Noonmarkd;
    let (command, status) = (subject.command(), truth::STATUS);
    let image = subject.image(POLLS, None, &place.programs())?;
    let keep = format!(
        "{command} --once
echo once ended with $?
test -e /state/drift && echo drift stored
{command} & daemon=$!
noonmark wait-sync --timeout 60 --max-error 0.01 --socket {status}
echo waiting ended with $?
sleep 45
noonmark tracking --socket {status}
echo tracking ended with $?
echo now is $(date +%s)
kill $daemon; wait $daemon
echo noonmarkd ended with $?
for file in /state/*; do echo stored $file $(hexdump -v -e '1/1 \"%02x\"' $file) >/dev/ttyS1; done
"
    );
    let wired = truth::Wired {
        name: subject.name(),
        image: image.clone(),
        starts_at: &hours_from_now(-3),
        programs: &place.programs(),
        oscillator: Oscillator::Gains(-100.0),
        plugged_in: true,
        script: &alone_then(subject, &keep),
        limit: LIMIT,
    };
    let course = wired.run(place.kernel, place.target)?;
    let mut promises = figures(&course, -100.0)?;
    promises.push(truth_was_told(&course, course.mark(BEGUN)?));
    let says = |words: &str| {
        holds(course.console.contains(words), &format!("not on the console: {words}"))
    };
    promises.push(("--once sets the clock and ends well".into(), says("once ended with 0")));
    promises.push(("what it learned of the oscillator is stored".into(), says("drift stored")));
    promises.push(("wait-sync ends well".into(), says("waiting ended with 0")));
    promises.push(("tracking is good".into(), says("tracking ended with 0")));
    promises.push(("noonmarkd ends well".into(), says("noonmarkd ended with 0")));
    promises.extend(started_again(place, image, &course)?);
    Ok(promises)
}

/// The same machine without a clock chip's battery, started again: it has what was stored, begins in 1970, and for a while is on no
/// network.
fn started_again(
    place: &Place<'_>,
    mut image: Image,
    before: &Course,
) -> Result<Vec<Promise>, String> {
    let files: Vec<_> = before.samples.lines().filter_map(stored).collect();
    let ended_at = before.console.lines().find_map(|line| line.strip_prefix("now is "));
    let ended_at: i64 = ended_at.and_then(|at| at.parse().ok()).ok_or("no time at the end")?;
    for (path, octets) in &files {
        image.file(path, 0o600, octets.clone());
    }
    let subject = Subject::Noonmarkd;
    let keep = format!(
        "{} &\nsleep 1\n{}\necho now is $(date +%s)\nsleep 12\n{}\n{}\nsleep 25\n",
        subject.command(),
        truth::mark("a-second-later"),
        truth::mark("plugged-in"),
        truth::PLUG_IN,
    );
    let wired = truth::Wired {
        name: "noonmarkd-again",
        image,
        starts_at: "1970-01-01T00:00:00",
        programs: &place.programs(),
        oscillator: Oscillator::As(before.counter_khz),
        plugged_in: false,
        script: &alone_then(subject, &keep),
        limit: LIMIT,
    };
    let course = wired.run(place.kernel, place.target)?;
    let (alone, plugged_in) = (course.mark("a-second-later")?, course.mark("plugged-in")?);
    let began_at = course.console.lines().find_map(|line| line.strip_prefix("now is "));
    let began_at: i64 = began_at.and_then(|at| at.parse().ok()).ok_or("no time at the start")?;
    let rate = course.rate_ppm(alone..plugged_in)?;
    let later = began_at - ended_at;
    let good_from = course.within_a_millisecond_from();
    Ok(vec![
        (
            format!(
                "started again in 1970, the clock was set to the last time stored: {later} s after the first run's end"
            ),
            holds((-5..60).contains(&later), "-5 to 60 s would be good"),
        ),
        (
            format!(
                "started again, with nobody to ask: from 1 s on the clock gains {rate:.2} ppm of its oscillator's -100"
            ),
            holds(rate.abs() <= 3.0, "3 ppm would be good"),
        ),
        (
            match good_from {
                Some(at) => format!(
                    "plugged in, the clock was right to 1 ms after {:.1} s",
                    at - plugged_in
                ),
                None => "plugged in, the clock was not right to 1 ms".into(),
            },
            holds(good_from.is_some_and(|at| at <= plugged_in + 20.0), "20 s would be good"),
        ),
        truth_was_told(&course, plugged_in),
    ])
}

/// A guest's script: its clock is left alone for a while, and then kept by `subject`, as `keep` says.
fn alone_then(subject: Subject, keep: &str) -> String {
    format!("{}\nsleep 6\n{}\n{keep}", subject.prepare(), truth::mark(BEGUN))
}

/// What a course has to show whoever kept the clock.
fn figures(course: &Course, oscillator_ppm: f64) -> Result<Vec<Promise>, String> {
    let begun = course.mark(BEGUN)?;
    let alone = course.rate_ppm(0.0..begun)?;
    let (median, worst) = course.error_after(begun + SETTLING_S)?;
    let (_, off) = course.error_at(0.0)?;
    Ok(vec![
        (
            format!("counters a constant apart, known within {:.3} µs", course.uncertainty_us),
            holds(course.uncertainty_us <= 5.0, "5 µs would be good"),
        ),
        (
            format!(
                "the clock begins {:.1} h off, and left alone gains {alone:.1} ppm",
                off / 3600.0
            ),
            holds(
                (alone - oscillator_ppm).abs() <= 5.0 && off.abs() > 3600.0,
                &format!("it was to gain {oscillator_ppm} ppm, hours off"),
            ),
        ),
        (
            format!(
                "true error from {SETTLING_S} s after the start: {median:.1} µs in the median, {worst:.1} µs at most"
            ),
            holds(median <= 10_000.0, "10 ms would be good"),
        ),
    ])
}

/// Whether the truth lay within all bounds published from `begin` on.
fn truth_was_told(course: &Course, begin: f64) -> Promise {
    let kept = course.kept_within(begin);
    (
        format!(
            "true time lay within the interval published {} of {} times, {:.0} µs to each side in the median",
            kept.inside, kept.all, kept.half_width_us
        ),
        holds(kept.inside == kept.all && kept.all >= 15, "every time, and 15 times, would be good"),
    )
}

/// Path and content of a line `stored PATH HEXADECIMAL`.
fn stored(line: &str) -> Option<(&str, Vec<u8>)> {
    let (path, digits) = line.strip_prefix("stored /")?.split_once(' ')?;
    let octet = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    Some((path, (0..digits.len()).step_by(2).map(octet).collect::<Option<_>>()?))
}

/// That time as QEMU takes it.
fn hours_from_now(hours: i64) -> String {
    let mut then = noonmark_os::clock::realtime();
    then.seconds += hours * 3600;
    then.to_string().chars().take("2026-01-01T00:00:00".len()).collect()
}

/// So many of those that mostly wait run beside one that measures.
const ROUGH_AT_A_TIME: usize = 2;
/// The mark at the start of what keeps the clock.
pub const BEGUN: &str = "begun";
/// How long after its start a clock has to be right, in seconds.
pub const SETTLING_S: f64 = 25.0;
/// From every second to every four.
const POLLS: Polls = Polls(0, 2);
/// A guest's whole life, or what it may take besides its task.
const LIMIT: Duration = Duration::from_secs(150);

fn holds(good: bool, else_what: &str) -> Result<(), String> {
    if good { Ok(()) } else { Err(else_what.to_owned()) }
}

/// The lines `held NAME: …` and `broken NAME: …` of a console, which has to end with a verdict.
fn promises(console: &str) -> Result<Vec<Promise>, String> {
    let mut promises = Vec::new();
    for line in console.lines() {
        if let Some(held) = line.strip_prefix("held ") {
            promises.push((held.to_owned(), Ok(())));
        } else if let Some(broken) = line.strip_prefix("broken ") {
            let (name, why) = broken.split_once(": ").unwrap_or((broken, "no reason was given"));
            promises.push((name.to_owned(), Err(why.to_owned())));
        }
    }
    let all_held = promises.iter().all(|(_, result)| result.is_ok());
    let good = console.lines().any(|line| line == "verdict: good");
    if promises.is_empty() || all_held != good {
        return Err(format!(
            "the guest came to no verdict:\n{}",
            crate::child::last_lines(console, 20)
        ));
    }
    Ok(promises)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_without_a_verdict_is_no_success() {
        let check = |console: &str, expected: Option<(usize, usize)>| {
            let counted = promises(console).ok().map(|promises| {
                let held = promises.iter().filter(|(_, result)| result.is_ok()).count();
                (held, promises.len() - held)
            });
            assert_eq!(counted, expected, "{console}");
        };
        check("", None);
        check("held a: 1\n", None);
        check("verdict: good\n", None);
        check("held a: 1\nverdict: good\n", Some((1, 0)));
        check("noise\nheld a: 1\nbroken b: c: d\nverdict: bad\n", Some((1, 1)));
        check("broken b: c\nverdict: good\n", None);
    }
}
