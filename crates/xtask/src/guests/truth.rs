//! A guest whose only neighbour on the wire is this machine's clock, and how wrong the guest's clock is all the while.
//!
//! The neighbour (`ntp-wire`) serves this machine's clock, so that is the truth. What the guest's clock shows is compared with it by
//! the cycle counter both have (`clock-truth`), never over the wire.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::image::Image;
use super::kernel::Kernel;
use super::machine::{self, Machine, Wire};
use crate::netns::Daemon;

/// An experiment with one guest on such a wire.
pub struct Wired<'a> {
    /// Its name, and that of its folder of files.
    pub name: &'a str,
    /// Whatever the script starts; `clock-truth` is in `/usr/bin`.
    pub image: Image,
    /// What the guest's clock chip shows at the start.
    pub starts_at: &'a str,
    /// Where our programs were built.
    pub programs: &'a Path,
    /// Its hidden error, which nothing inside can find out but by comparing with its neighbour.
    pub oscillator: Oscillator,
    /// Whether it is plugged in when the script begins; else the script has to say [`PLUG_IN`].
    pub plugged_in: bool,
    /// Lines of the script: they start what keeps the clock, wait, and may say [`mark`].
    pub script: &'a str,
    /// At most so long it may take.
    pub limit: Duration,
}

/// How a guest's clock runs by itself.
#[derive(Clone, Copy, Debug)]
pub enum Oscillator {
    /// It gains so many ppm, to half a ppm or so.
    Gains(f64),
    /// As that of an earlier guest did, by [`Course::counter_khz`].
    As(u64),
}

/// The line of a script that plugs the guest in.
pub const PLUG_IN: &str = "ifconfig eth0 10.9.0.2 netmask 255.255.255.0 up";

/// The line of a script that notes when it was reached, in [`Course::marks`].
pub fn mark(name: &str) -> String {
    format!("clock-truth mark --to /dev/ttyS1 {name}")
}

/// Where a noonmarkd in a guest has its status socket, which is read all the while.
pub const STATUS: &str = "/run/status.sock";

impl Wired<'_> {
    /// The neighbour's address. The guest is 10.9.0.2.
    pub const SERVER: &'static str = "10.9.0.1";

    /// Runs it.
    ///
    /// # Errors
    /// What could not be started, or how the guest ended.
    pub fn run(self, kernel: &Kernel, target: &Path) -> Result<Course, String> {
        let desk = Desk::new(self.name)?;
        let program = |name: &str| {
            let mut command = machine::on_time();
            command.arg(self.programs.join(name));
            command
        };
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
        let counter_khz = match self.oscillator {
            Oscillator::Gains(ppm) => (cycles_per_ns * 1e6 / (1.0 + ppm * 1e-6)).round() as u64,
            Oscillator::As(khz) => khz,
        };
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
        image.program("usr/bin/clock-truth", &self.programs.join("clock-truth"))?;
        script += "ifconfig lo 127.0.0.1 up\n";
        if self.plugged_in {
            script += &format!("{PLUG_IN}\n");
        }
        script += &format!("clock-truth inside --to /dev/ttyS1 --status {STATUS} &\n");
        script += &format!("{}\npoweroff -f\n", self.script);
        image.init(&script);
        let machine = Machine {
            name: self.name,
            kernel,
            image,
            memory: 384,
            starts_at: self.starts_at,
            counter_khz: Some(counter_khz),
            wire: Some(Wire { mine: desk.0.join("b"), theirs: desk.0.join("a") }),
            generation: None,
            thaws: None,
            page: Some(desk.0.join("page")),
            is_exact: true,
        };
        let mut guest = machine.boot(target)?;
        let console = guest.finish(self.limit)?;
        let samples = guest.samples();
        Course::from_samples(&samples, &outside.said())
            .map(|course| Course { counter_khz, samples, console: console.clone(), ..course })
            .map_err(|problem| format!("{problem}\n{}", crate::child::last_lines(&console, 20)))
    }
}

/// The true error of a guest's clock over time. Moments are seconds since the first sample.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// What the guest believed its counter's frequency to be.
    pub counter_khz: u64,
    /// How well the two cycle counters are known to be apart, µs: half the distance between the bounds.
    pub uncertainty_us: f64,
    /// Moments, and by how many ns the guest's clock was ahead.
    pub errors: Vec<(f64, i64)>,
    /// Moments of which noonmarkd told bounds, and by how many ns the truth was above the lower and below the upper of them;
    /// negative if it was not.
    pub told: Vec<(f64, [i64; 2])>,
    /// What the script marked.
    pub marks: Vec<(String, f64)>,
    /// What the guest wrote on its console.
    pub console: String,
    /// And to its other serial line: samples, and what the script left there.
    pub samples: String,
}

/// How often the truth lay within bounds that were told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kept {
    /// Bounds it lay in.
    pub inside: usize,
    /// All there were.
    pub all: usize,
    /// Half the distance between them in the median, µs.
    pub half_width_us: f64,
}

impl Course {
    /// Puts both series on one time line.
    fn from_samples(inside: &str, outside: &str) -> Result<Self, String> {
        let clocks = |text: &str| -> Vec<(i64, i64)> { text.lines().filter_map(clock).collect() };
        let (inside_clocks, outside_clocks) = (clocks(inside), clocks(outside));
        let ns_per_cycle = 1.0 / speed(&outside_clocks)?;
        let bounds =
            inside.lines().filter_map(counter).fold((i64::MIN, i64::MAX), |bounds, next| {
                (bounds.0.max(next.0), bounds.1.min(next.1))
            });
        let (Some(apart), true) = (bounds.1.checked_sub(bounds.0), bounds.0 <= bounds.1) else {
            return Err(format!("the counters are not a constant apart: {bounds:?}"));
        };
        let middle = bounds.0 + apart / 2;
        let error = |&(cycles, real): &(i64, i64)| {
            Some((cycles, real - interpolate(&outside_clocks, cycles + middle)?))
        };
        let errors: Vec<(i64, i64)> = inside_clocks.iter().filter_map(error).collect();
        let first = errors.first().map_or(0, |(cycles, _)| *cycles);
        let moment = |cycles: i64| (cycles - first) as f64 * ns_per_cycle / 1e9;
        let told = |[cycles, age, earliest, latest]: [i64; 4]| {
            let at = cycles - (age as f64 / ns_per_cycle) as i64;
            let error = interpolate(&errors, at).filter(|_| !is_step_around(&errors, at))?;
            // The truth minus the clock is the error with its sign turned.
            Some((moment(at), [-error - earliest, latest + error]))
        };
        let lines = |word| inside.lines().filter_map(move |line| numbers(line, word));
        let mark = |line: &str| {
            let (name, cycles) = line.strip_prefix("mark ")?.split_once(' ')?;
            Some((name.to_owned(), moment(cycles.parse().ok()?)))
        };
        Ok(Self {
            uncertainty_us: apart as f64 / 2.0 * ns_per_cycle / 1e3,
            told: lines("told ").filter_map(told).collect(),
            marks: inside.lines().filter_map(mark).collect(),
            errors: errors.iter().map(|&(cycles, error)| (moment(cycles), error)).collect(),
            ..Self::default()
        })
    }

    /// When the script said that.
    ///
    /// # Errors
    /// A sentence, if it never did.
    pub fn mark(&self, name: &str) -> Result<f64, String> {
        let mut marks = self.marks.iter().filter(|(mark, _)| mark == name);
        marks.next().map(|(_, at)| *at).ok_or_else(|| format!("the script never came to {name:?}"))
    }

    /// From when on, to the end, the clock was wrong by less than a millisecond. `None` if it was not in the end.
    pub fn within_a_millisecond_from(&self) -> Option<f64> {
        let last_bad = self.errors.iter().rposition(|(_, error)| error.abs() >= 1_000_000);
        self.errors.get(last_bad.map_or(0, |at| at + 1)).map(|(at, _)| *at)
    }

    /// In how many of the bounds told from `begin` on the truth lay.
    pub fn kept_within(&self, begin: f64) -> Kept {
        let late: Vec<[i64; 2]> =
            self.told.iter().filter(|(at, _)| *at >= begin).map(|(_, sides)| *sides).collect();
        let mut widths: Vec<i64> = late.iter().map(|[below, above]| below + above).collect();
        widths.sort_unstable();
        Kept {
            inside: late.iter().filter(|sides| sides.iter().all(|side| *side >= 0)).count(),
            all: late.len(),
            half_width_us: widths.get(widths.len() / 2).map_or(0.0, |width| *width as f64 / 2e3),
        }
    }

    /// Mean of the error with its sign, in µs, from `begin` on, positive if the guest's clock was ahead; and its standard deviation
    /// from that.
    pub fn mean_error_after(&self, begin: f64) -> (f64, f64) {
        let late = self.errors.iter().filter(|(at, _)| *at >= begin);
        let late: Vec<f64> = late.map(|(_, error)| *error as f64 / 1e3).collect();
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        let square = late.iter().map(|error| (error - mean).powi(2)).sum::<f64>();
        (mean, (square / late.len() as f64).sqrt())
    }

    /// The first moment at or after `begin` of which there is a sample, and what the guest's clock was ahead by then, in s.
    ///
    /// # Errors
    /// A sentence, if there is none.
    pub fn error_at(&self, begin: f64) -> Result<(f64, f64), String> {
        let found = self.errors.iter().find(|(at, _)| *at >= begin);
        found
            .map(|(at, error)| (*at, *error as f64 / 1e9))
            .ok_or_else(|| format!("no sample after {begin} s"))
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

/// Whether the clock was stepped between the two samples around `cycles`: nothing can be said of it there.
fn is_step_around(errors: &[(i64, i64)], cycles: i64) -> bool {
    let next = errors.partition_point(|(at, _)| *at <= cycles);
    let pair = next.checked_sub(1).and_then(|before| errors.get(before..=next));
    pair.is_none_or(|pair| (pair[1].1 - pair[0].1).abs() > 100_000_000)
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

/// The numbers behind a word, if there are as many.
fn numbers<const N: usize>(line: &str, word: &str) -> Option<[i64; N]> {
    let numbers: Option<Vec<i64>> =
        line.strip_prefix(word)?.split(' ').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// What the second of a pair is at `cycles`, between the two samples around it.
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
        // Half a second, at 2 cycles per ns, after the guest's count of -3500 it was 500 ns ahead; told at its count of 1 000 000 000 - 3500.
        inside += "told 999996500 500000000 -600 0\ntold 999996500 500000000 -499 0\ntold 999996500 500000000 -600 -501\n";
        inside += "told 1 2 3\nmark begun 999996000\n";
        let course = Course::from_samples(&inside, &outside()).expect("two series");
        assert!((course.uncertainty_us - 0.005).abs() < 1e-9, "{course:?}");
        assert_eq!(course.errors.len(), 40);
        assert_eq!((course.errors[0], course.errors[39].1), ((0.0, 500), -300));
        let kept = course.kept_within(-1.0);
        assert_eq!((kept.inside, kept.all), (1, 3), "{course:?}");
        assert!((kept.half_width_us - 0.2495).abs() < 1e-9, "{kept:?}");
        assert_eq!(course.kept_within(1.0), Kept::default());
        assert_eq!((course.mark("begun"), course.mark("over").is_err()), (Ok(0.5), true));
        assert_eq!(course.within_a_millisecond_from(), Some(0.0));
        assert_eq!(
            (course.error_at(9.9), course.error_at(20.0).is_err()),
            (Ok((10.0, -3e-7)), true)
        );
        assert_eq!(course.error_after(10.0), Ok((0.3, 0.3)));
        let (mean, spread) = course.mean_error_after(10.0);
        assert!((mean + 0.3).abs() < 1e-9 && spread.abs() < 1e-9, "{mean} {spread}");
        assert!(course.error_after(11.0).is_err());
        assert!(course.rate_ppm(0.0..10.0).expect("samples").abs() < 1e-9);
        let falling = Course {
            errors: (0..20).map(|n| (f64::from(n), -100_000 * i64::from(n))).collect(),
            ..course
        };
        assert!((falling.rate_ppm(0.0..20.0).expect("samples") + 100.0).abs() < 1e-9);
        assert!(falling.rate_ppm(0.0..5.0).is_err());
        assert_eq!(falling.within_a_millisecond_from(), None);
        let set = Course {
            errors: vec![(0.0, -5_000_000_000), (0.5, -5_000_000_100), (1.0, 200)],
            ..falling
        };
        assert_eq!(set.within_a_millisecond_from(), Some(1.0));
    }

    #[test]
    fn bounds_that_exclude_each_other_are_no_constant() {
        let check = |counters: &str| assert!(Course::from_samples(counters, &outside()).is_err());
        check("counter 10 20 5\ncounter 30 40 5\n");
        check("counter -9223372036854775808 9223372036854775807 0\n");
        check("");
        assert!(Course::from_samples("counter 1 2 3\n", "").is_err());
    }
}
