//! A guest whose only neighbour on the wire is this machine's clock, and how wrong the guest's clock is all the while.
//!
//! The neighbour (`ntp-wire`) serves this machine's clock, so that is the truth. What the guest's clock shows is compared with it by
//! the cycle counter both have (`clock-truth`), never over the wire.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::image::Image;
use super::kernel::Kernel;
use super::machine::{Machine, Wire};
use crate::netns::Daemon;

/// An experiment with one guest on such a wire.
pub struct Wired<'a> {
    /// Its name, and that of its folder of files.
    pub name: &'a str,
    /// Whatever the script starts; `clock-truth` is in `/usr/bin`.
    pub image: Image,
    /// What the guest's clock shows at the start.
    pub starts_at: &'a str,
    /// How many ppm the guest's clock gains by itself, which nothing inside can find out but by comparing with its neighbour.
    pub oscillator_ppm: f64,
    /// Lines of the script that start what keeps the clock, and return.
    pub start: &'a str,
    /// For how long it is watched.
    pub seconds: u64,
}

impl Wired<'_> {
    /// The neighbour's address. The guest is 10.9.0.2.
    pub const SERVER: &'static str = "10.9.0.1";

    /// Runs it.
    ///
    /// # Errors
    /// What could not be started, or how the guest ended.
    pub fn run(self, kernel: &Kernel, target: &Path) -> Result<Course, String> {
        let desk = Desk::new(self.name)?;
        let program = |name: &str| Command::new(target.join("debug").join(name));
        let (outside_log, wire_log) = (desk.0.join("outside"), desk.0.join("wire-log"));
        let mut outside = program("clock-truth");
        outside.arg("outside").arg("--page").arg(desk.page()?);
        let mut outside = Daemon::start(&outside, "clock-truth".into(), &outside_log)?;
        let cycles_per_ns = outside.wait_for(Duration::from_secs(10), || {
            let said = fs::read_to_string(&outside_log).unwrap_or_default();
            let clocks: Vec<(i64, i64)> = said.lines().filter_map(clock).collect();
            if clocks.len() < 6 {
                Err("clock-truth has hardly begun".into())
            } else {
                speed(&clocks)
            }
        })?;
        let believed = cycles_per_ns * 1e6 / (1.0 + self.oscillator_ppm * 1e-6);
        let mut wire = program("ntp-wire");
        wire.arg("--mine").arg(desk.0.join("a")).arg("--theirs").arg(desk.0.join("b"));
        let mut wire = Daemon::start(&wire, "ntp-wire".into(), &wire_log)?;
        wire.wait_for(Duration::from_secs(5), || {
            let said = fs::read_to_string(&wire_log).unwrap_or_default();
            if said.contains("ready") { Ok(()) } else { Err("ntp-wire is not ready".into()) }
        })?;
        let mut image = self.image;
        let mut script = super::SCRIPT.to_owned();
        for (name, driver) in kernel.network_drivers()? {
            let inside = format!("drivers/{name}.ko");
            image.copy(&inside, &driver)?;
            script += &format!("insmod /{inside}\n");
        }
        script += "ifconfig lo 127.0.0.1 up; ifconfig eth0 10.9.0.2 netmask 255.255.255.0 up\n";
        script += "clock-truth inside --to /dev/ttyS1 &\n";
        script += &format!("{}\nsleep {}\npoweroff -f\n", self.start, self.seconds);
        image.init(&script);
        let machine = Machine {
            name: self.name,
            kernel,
            image,
            memory: 256,
            starts_at: self.starts_at,
            counter_khz: Some(believed.round() as u64),
            wire: Some(Wire { mine: desk.0.join("b"), theirs: desk.0.join("a") }),
            page: Some(desk.0.join("page")),
        };
        let mut guest = machine.boot(target)?;
        let console = guest.finish(Duration::from_secs(self.seconds + 90))?;
        let told = Course::from_samples(&guest.samples(), &outside.said(), &console);
        told.map_err(|problem| format!("{problem}\n{}", crate::child::last_lines(&console, 20)))
    }
}

/// The true error of a guest's clock over time.
#[derive(Clone, Debug)]
pub struct Course {
    /// How well the two cycle counters are known to be apart, µs: half the distance between the bounds.
    pub uncertainty_us: f64,
    /// Seconds since the first sample, and by how many ns the guest's clock was ahead.
    pub errors: Vec<(f64, i64)>,
    /// Seconds since the first sample, and how long before and after the truth the interval began and ended that was told for it,
    /// in ns; negative if it did not.
    pub intervals: Vec<(f64, [i64; 2])>,
}

impl Course {
    /// Puts both series on one time line.
    fn from_samples(inside: &str, outside: &str, console: &str) -> Result<Self, String> {
        let clocks = |text: &str| -> Vec<(i64, i64)> { text.lines().filter_map(clock).collect() };
        let (inside_clocks, outside_clocks) = (clocks(inside), clocks(outside));
        let ns_per_cycle = 1.0 / speed(&outside_clocks)?;
        let first = outside_clocks.first().copied().unwrap_or_default();
        let bounds =
            inside.lines().filter_map(counter).fold((i64::MIN, i64::MAX), |bounds, next| {
                (bounds.0.max(next.0), bounds.1.min(next.1))
            });
        let (Some(apart), true) = (bounds.1.checked_sub(bounds.0), bounds.0 <= bounds.1) else {
            return Err(format!("the counters are not a constant apart: {bounds:?}"));
        };
        let middle = bounds.0 + apart / 2;
        let seconds = |cycles: i64| (cycles - first.0) as f64 * ns_per_cycle / 1e9;
        let error = |&(cycles, real): &(i64, i64)| {
            let cycles = cycles + middle;
            Some((seconds(cycles), real - interpolate(&outside_clocks, cycles)?))
        };
        let mut errors: Vec<(f64, i64)> = inside_clocks.iter().filter_map(error).collect();
        let interval = |[cycles, earliest, latest]: [i64; 3]| {
            let cycles = cycles + middle;
            let truth = interpolate(&outside_clocks, cycles)?;
            Some((seconds(cycles), [truth - earliest, latest - truth]))
        };
        let told = console.lines().filter_map(|line| numbers(line, "interval "));
        let mut intervals: Vec<_> = told.filter_map(interval).collect();
        let begin = errors.first().map_or(0.0, |(at, _)| *at);
        errors.iter_mut().for_each(|(at, _)| *at -= begin);
        intervals.iter_mut().for_each(|(at, _)| *at -= begin);
        Ok(Self { uncertainty_us: apart as f64 / 2.0 * ns_per_cycle / 1e3, errors, intervals })
    }

    /// When the clock was first set: how many seconds after the first sample it jumped by more than a tenth of a second.
    ///
    /// # Errors
    /// A sentence, if it never did.
    pub fn set_at(&self) -> Result<f64, String> {
        let mut pairs = self.errors.iter().zip(self.errors.iter().skip(1));
        let jump = pairs.find(|(one, next)| (next.1 - one.1).abs() > 100_000_000);
        jump.map(|(_, next)| next.0).ok_or_else(|| "the clock was never set".into())
    }

    /// In how many of the intervals told from so many seconds after the first sample on the truth lay, and how many there were.
    pub fn inside_intervals(&self, begin: f64) -> (usize, usize) {
        let late = self.intervals.iter().filter(|(at, _)| *at >= begin);
        late.fold((0, 0), |(inside, all), (_, sides)| {
            (inside + usize::from(sides.iter().all(|side| *side >= 0)), all + 1)
        })
    }

    /// How many ppm the guest's clock gained between two moments, counted in seconds from the first sample on: the line nearest to
    /// all samples between (least squares).
    ///
    /// # Errors
    /// A sentence, if there are too few samples.
    pub fn rate_ppm(&self, between: std::ops::Range<f64>) -> Result<f64, String> {
        let samples: Vec<(f64, f64)> = self
            .errors
            .iter()
            .filter(|(at, _)| between.contains(at))
            .map(|&(at, error)| (at, error as f64 / 1e3))
            .collect();
        if samples.len() < 10 {
            return Err(format!("{} samples in {between:?} s", samples.len()));
        }
        let count = samples.len() as f64;
        let (mean_at, mean) = samples
            .iter()
            .fold((0.0, 0.0), |(t, e), (at, error)| (t + at / count, e + error / count));
        let (both, square) = samples.iter().fold((0.0, 0.0), |(both, square), (at, error)| {
            (both + (at - mean_at) * (error - mean), square + (at - mean_at) * (at - mean_at))
        });
        Ok(both / square)
    }

    /// Median and largest of the error without its sign, in µs, from so many seconds after the first sample on.
    ///
    /// # Errors
    /// A sentence, if there are too few samples for either to mean anything.
    pub fn error_after(&self, begin: f64) -> Result<(f64, f64), String> {
        let late = self.errors.iter().filter(|(at, _)| *at >= begin);
        let mut sizes: Vec<u64> = late.map(|(_, error)| error.unsigned_abs()).collect();
        sizes.sort_unstable();
        match (sizes.get(sizes.len() / 2), sizes.last()) {
            (Some(median), Some(worst)) if sizes.len() >= 20 => {
                Ok((*median as f64 / 1e3, *worst as f64 / 1e3))
            }
            _ => Err(format!("{} samples after {begin} s", sizes.len())),
        }
    }
}

/// A place for sockets, whose paths must be short, and for the shared page; gone with its owner.
struct Desk(PathBuf);

impl Desk {
    fn new(name: &str) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("noonmark-{}-{name}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self(folder))
    }

    /// The file that is the guest's page: as large as the device wants it.
    fn page(&self) -> Result<PathBuf, String> {
        let path = self.0.join("page");
        let make = || File::create(&path)?.set_len(1 << 20);
        make().map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Cycles per ns, from the first sample to the last.
fn speed(clocks: &[(i64, i64)]) -> Result<f64, String> {
    match (clocks.first(), clocks.last()) {
        (Some(first), Some(last)) if last.1 > first.1 => {
            Ok((last.0 - first.0) as f64 / (last.1 - first.1) as f64)
        }
        _ => Err("nothing was noted outside".into()),
    }
}

/// The cycles and the time of a line `clock CYCLES WIDTH NANOSECONDS`.
fn clock(line: &str) -> Option<(i64, i64)> {
    let [cycles, _width, real] = numbers(line, "clock ")?;
    Some((cycles, real))
}

/// The bounds of a line `counter LEAST MOST ROUNDS`, if anything was answered.
fn counter(line: &str) -> Option<(i64, i64)> {
    let [least, most, rounds] = numbers(line, "counter ")?;
    (rounds > 0).then_some((least, most))
}

/// The three numbers behind a word.
fn numbers(line: &str, word: &str) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> =
        line.strip_prefix(word)?.split(' ').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// The time at `cycles`, between the two samples around it.
fn interpolate(samples: &[(i64, i64)], cycles: i64) -> Option<i64> {
    let next = samples.partition_point(|(at, _)| *at <= cycles);
    let (before, after) = (samples.get(next.checked_sub(1)?)?, samples.get(next)?);
    let (wide, whole) = (i128::from(cycles - before.0), i128::from(after.0 - before.0));
    let passed = i128::from(after.1 - before.1) * wide / whole;
    Some(before.1 + i64::try_from(passed).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine counts 2 cycles per ns from 1000, the guest's counter is 5000 less.
    fn outside() -> String {
        (0..100_i64)
            .map(|n| {
                format!("clock {} 30 {}\n", 1000 + 2_000_000_000 * n, 7_000 + 1_000_000_000 * n)
            })
            .collect()
    }

    #[test]
    fn both_series_meet_on_one_time_line() {
        let mut inside = "counter 4990 5030 3000\nnoise\ncounter 4980 5010 2900\n".to_owned();
        for n in 0..40_i64 {
            // 500 ns ahead, then 300 behind.
            let off = if n < 20 { 500 } else { -300 };
            inside += &format!(
                "clock {} 700 {}\n",
                1000 - 5000 + 1_000_000_000 * n,
                7_000 + 500_000_000 * n + off
            );
        }
        // At the guest's count of -3000 it is 7500 ns; then two that miss it on either side.
        let told = "interval -3000 7400 7600\ninterval -3000 7501 7600\ninterval -3000 0 7499\ninterval 1 2\n";
        let course = Course::from_samples(&inside, &outside(), told).expect("two series");
        assert!((course.uncertainty_us - 0.005).abs() < 1e-9, "{course:?}");
        assert_eq!(course.errors.len(), 40);
        assert_eq!((course.errors[0], course.errors[39].1), ((0.0, 500), -300));
        assert_eq!((course.inside_intervals(0.0), course.inside_intervals(1.0)), ((1, 3), (0, 0)));
        assert_eq!(course.error_after(10.0), Ok((0.3, 0.3)));
        assert!(course.error_after(11.0).is_err());
        assert!(course.rate_ppm(0.0..10.0).expect("samples").abs() < 1e-9);
        let falling = Course {
            errors: (0..20).map(|n| (f64::from(n), -100_000 * i64::from(n))).collect(),
            ..course
        };
        assert!((falling.rate_ppm(0.0..20.0).expect("samples") + 100.0).abs() < 1e-9);
        assert!(falling.rate_ppm(0.0..5.0).is_err());
        assert!(falling.set_at().is_err());
        let set = Course {
            errors: vec![(0.0, -5_000_000_000), (0.5, -5_000_000_100), (1.0, 200)],
            ..falling
        };
        assert_eq!(set.set_at(), Ok(1.0));
    }

    #[test]
    fn bounds_that_exclude_each_other_are_no_constant() {
        let check =
            |counters: &str| assert!(Course::from_samples(counters, &outside(), "").is_err());
        check("counter 10 20 5\ncounter 30 40 5\n");
        check("counter -9223372036854775808 9223372036854775807 0\n");
        check("");
        assert!(Course::from_samples("counter 1 2 3\n", "", "").is_err());
    }
}
