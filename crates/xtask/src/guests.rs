//! Stage `guests`: what sets a clock, in machines whose clock is their own.
//!
//! Each guest is a Debian kernel under QEMU's emulation with a file system in memory: busybox, our programs and their libraries,
//! and a script that runs them, prints a verdict and switches off. QEMU holds no right to the clock of this machine, like
//! everything started from here. Another experiment is another script ([`SCRIPT`]) and another list of programs; one whose guest
//! keeps time by a server, and whose true error is wanted, is a [`truth::Wired`].

mod image;
mod kernel;
mod machine;
mod truth;

use std::path::Path;
use std::time::Duration;

use crate::apt::{self, Consent, Needed};
use crate::build;
use crate::peers::Peers;
use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::Metadata;
use image::Image;
use kernel::Kernel;
use machine::Machine;
use truth::Course;

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
    run: fn(&Place<'_>) -> Result<Vec<Promise>, String>,
}

/// What experiments share.
struct Place<'a> {
    kernel: &'a Kernel,
    target: &'a Path,
    consent: Consent,
}

/// A thing that was to be shown, and whether it was.
type Promise = (String, Result<(), String>);

const EXPERIMENTS: &[Experiment] = &[
    Experiment { name: "kernel clock", run: kernel_clock },
    Experiment { name: "chronyd in a guest", run: chronyd },
    Experiment { name: "keeper in a guest", run: keeper },
    Experiment { name: "noonmarkd in a guest", run: noonmarkd },
];

/// Boots the guests, one after the other: emulation takes a core each.
pub fn run(wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    let chosen = |experiment: &&Experiment| {
        wish.cell.as_ref().is_none_or(|text| experiment.name.contains(text.as_str()))
    };
    let prepared = Metadata::read().and_then(|metadata| {
        if !cfg!(target_arch = "x86_64") {
            return Err("guests are made for x86-64 machines".to_owned());
        }
        apt::ensure(TOOLS, wish.consent)?;
        let kernel = Kernel::prepare(&metadata.target_directory)?;
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
    for experiment in EXPERIMENTS.iter().filter(chosen) {
        match (experiment.run)(&Place { kernel: &kernel, target: &target, consent: wish.consent }) {
            Ok(promises) => {
                for (name, result) in promises {
                    tally.record(&format!("{}: {name}", experiment.name), result);
                }
            }
            Err(problem) => tally.record(experiment.name, Err(problem)),
        }
    }
    tally
}

/// Steers a guest's clock for real through the crate `os`.
fn kernel_clock(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let script = format!("{SCRIPT}clock-proof\npoweroff -f\n");
    let mut image = Image::new()?;
    image.init(&script);
    image.program("usr/bin/clock-proof", &place.target.join("debug/clock-proof"))?;
    let machine = Machine {
        name: "kernel-clock",
        kernel: place.kernel,
        image,
        memory: 256,
        starts_at: "2026-01-01T00:00:00",
        counter_khz: None,
        wire: None,
        page: None,
    };
    let console = machine.boot(place.target)?.finish(Duration::from_secs(150))?;
    promises(&console)
}

/// The control that shows the rig itself works: another daemon sets and keeps a guest's clock.
fn chronyd(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let peers = Peers::prepare(place.target, place.consent)?;
    let mut image = Image::new()?;
    image.peer(&peers, Peers::CHRONYD, "peer")?;
    let server = truth::Wired::SERVER;
    let settings = format!("server {server} iburst minpoll 0 maxpoll 2\nmakestep 1 3\ncmdport 0\n");
    image.file("peer/etc/chrony.conf", 0o644, settings.into_bytes());
    let start = "mkdir -p /peer/run /peer/dev /peer/proc
mount -t devtmpfs dev /peer/dev; mount -t proc proc /peer/proc
chroot /peer /peers/chrony/usr/sbin/chronyd -u root -d -f /etc/chrony.conf &
";
    let course = kept(place, "chronyd", image, start)?;
    figures(&course)
}

/// What we keep time with, whole, but in one process: the same task as chronyd's.
fn keeper(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let mut image = Image::new()?;
    image.program("usr/bin/clock-keeper", &place.target.join("debug/clock-keeper"))?;
    let server = truth::Wired::SERVER;
    let start = format!("clock-keeper --server {server} --minpoll 0 --maxpoll 2 &\n");
    let course = kept(place, "keeper", image, &start)?;
    let mut promises = figures(&course)?;
    let (inside, all) = course.inside_intervals(course.set_at()? + SETTLING_S);
    promises.push((
        format!("the truth lay within the interval told {inside} of {all} times"),
        holds(inside == all && all >= 15, "every time would be good"),
    ));
    Ok(promises)
}

/// The daemon as it is shipped, all roles, with its rules: the same task again.
fn noonmarkd(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let mut image = Image::new()?;
    for name in ["noonmarkd", "noonmark"] {
        image.program(&format!("usr/bin/{name}"), &place.target.join("debug").join(name))?;
    }
    let server = truth::Wired::SERVER;
    let settings = format!(
        "[[source]]\nserver = \"{server}\"\nminpoll = 0\nmaxpoll = 2\n[clock]\nclock = \"keep\"\n\
         [state]\nfolder = \"/state\"\n[status]\nsocket = \"/run/status.sock\"\n"
    );
    image.file("etc/noonmark.toml", 0o600, settings.into_bytes());
    let start = "mkdir -m 0700 /state
noonmarkd --config /etc/noonmark.toml --once
echo once ended with $?
test -e /state/drift && echo drift stored
(noonmarkd --config /etc/noonmark.toml &
noonmark wait-sync --timeout 60 --max-error 0.01 --socket /run/status.sock
echo waiting ended with $?
sleep 20
noonmark tracking --socket /run/status.sock
echo tracking ended with $?) &
";
    let course = kept(place, "noonmarkd", image, start)?;
    let mut promises = figures(&course)?;
    let console = machine::console(place.target, "noonmarkd")?;
    let says =
        |words: &str| holds(console.contains(words), &format!("not on the console: {words}"));
    promises.push(("--once sets the clock and ends well".into(), says("once ended with 0")));
    promises.push(("what it learned of the oscillator is stored".into(), says("drift stored")));
    promises.push(("wait-sync ends well".into(), says("waiting ended with 0")));
    promises.push(("tracking is good".into(), says("tracking ended with 0")));
    Ok(promises)
}

/// A guest whose clock begins months off and loses 100 ppm, left alone for 10 s and then kept for 50 s by what `start` starts.
fn kept(place: &Place<'_>, name: &str, mut image: Image, start: &str) -> Result<Course, String> {
    image.program("usr/bin/clock-truth", &place.target.join("debug/clock-truth"))?;
    let wired = truth::Wired {
        name,
        image,
        starts_at: "2026-01-01T00:00:00",
        oscillator_ppm: -100.0,
        start: &format!("sleep 10\n{start}"),
        seconds: 50,
    };
    wired.run(place.kernel, place.target)
}

/// What a course has to show whoever kept the clock.
fn figures(course: &Course) -> Result<Vec<Promise>, String> {
    let set_at = course.set_at()?;
    let alone = course.rate_ppm(0.0..set_at - 0.5)?;
    let (median, worst) = course.error_after(set_at + SETTLING_S)?;
    Ok(vec![
        (
            format!("counters a constant apart, known within {:.3} µs", course.uncertainty_us),
            holds(course.uncertainty_us <= 5.0, "5 µs would be good"),
        ),
        (
            format!("left alone, the clock gains {alone:.1} ppm"),
            holds((alone + 100.0).abs() <= 5.0, "its oscillator was to gain -100 ppm"),
        ),
        (
            format!(
                "true error from {SETTLING_S} s after it was set: {median:.1} µs in the median, {worst:.1} µs at most"
            ),
            holds(median <= 10_000.0, "10 ms would be good"),
        ),
    ])
}

/// How long after it was set a clock has to be right, in seconds.
const SETTLING_S: f64 = 25.0;

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
