//! Stage `fuzz`: each target of `conformance/fuzz` against its kept corpus, then for a while with inputs of its own.
//!
//! The coverage instrumentation is the compiler's own, so stable Rust and no further tool will do. What a run finds new
//! stays under the target folder; a crash is kept there too and named in the report.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

mod coverage;

use crate::child;
use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::{self, Metadata, Package};

const PACKAGE: &str = "noonmark-fuzz";

/// Runs the compiler with instrumentation for libFuzzer: edges counted, comparisons reported. Build scripts have no engine that takes them.
const INSTRUMENT: &str = "#!/bin/sh
case \"$*\" in *'--crate-name build_script'*) exec \"$@\" ;; esac
exec \"$@\" -Cpasses=sancov-module \\
    -Cllvm-args=-sanitizer-coverage-level=4 \\
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \\
    -Cllvm-args=-sanitizer-coverage-pc-table \\
    -Cllvm-args=-sanitizer-coverage-trace-compares \\
    -Ccodegen-units=4
";

/// Runs the compiler with coverage; names stay readable so that nothing has to be unpacked.
const COVER: &str =
    "#!/bin/sh\nexec \"$@\" -Cinstrument-coverage -Cllvm-args=-enable-name-compression=false\n";
/// The kept inputs reach at least so many of the parsers' lines.
const LEAST_PERCENT: usize = 95;
/// Whatever reads octets that came from outside the process.
const PARSERS: [&str; 44] = [
    "crates/packet/src/packet.rs",
    "crates/packet/src/contents.rs",
    "crates/packet/src/field.rs",
    "crates/packet/src/header.rs",
    "crates/nts/src/authenticator.rs",
    "crates/nts/src/ke_request.rs",
    "crates/nts/src/ke_response.rs",
    "crates/nts/src/record.rs",
    "crates/nts/src/ntp_server.rs",
    "crates/nts/src/certificate.rs",
    "crates/nts/src/message.rs",
    "crates/nts/src/request.rs",
    "crates/client/src/kept.rs",
    "crates/clock/src/leap/list.rs",
    "crates/clock/src/leap/sha1.rs",
    "crates/clock/src/leap/calendar.rs",
    "crates/config/src/reading.rs",
    "crates/config/src/section.rs",
    "crates/config/src/source.rs",
    "crates/config/src/value.rs",
    "crates/config/src/clock.rs",
    "crates/noonmarkd/src/message.rs",
    "crates/noonmarkd/src/message/clock.rs",
    "crates/noonmarkd/src/message/codec.rs",
    "crates/noonmarkd/src/message/confined.rs",
    "crates/noonmarkd/src/message/keys.rs",
    "crates/noonmarkd/src/message/leap.rs",
    "crates/noonmarkd/src/message/report.rs",
    "crates/noonmarkd/src/sources/report.rs",
    "crates/noonmarkd/src/warden/bequest.rs",
    "crates/os/src/route/message.rs",
    "crates/os/src/store.rs",
    "crates/server/src/request.rs",
    "crates/server/src/state.rs",
    "conformance/prober/src/decode.rs",
    "conformance/prober/src/decode/capture.rs",
    "conformance/prober/src/decode/control.rs",
    "conformance/prober/src/decode/field.rs",
    "conformance/prober/src/decode/frame.rs",
    "conformance/prober/src/decode/header.rs",
    "conformance/prober/src/decode/keys.rs",
    "conformance/prober/src/decode/nts.rs",
    "conformance/prober/src/decode/pair.rs",
    "conformance/prober/src/decode/record.rs",
];

/// Time for the whole stage's fuzzing; shared among the targets, two at a time.
const ROOM: Duration = Duration::from_secs(75);
/// Most and least time one target gets.
const EACH: (Duration, Duration) = (Duration::from_secs(40), Duration::from_secs(15));
/// Time for one target with `--long`.
const EACH_LONG: Duration = Duration::from_secs(15 * 60);
/// Fewer executions than this mean that the target did not really run.
const LEAST_EXECUTIONS: u64 = 1000;
/// Targets that run at the same time.
const AT_ONCE: usize = 2;

/// Where the engine's random numbers come from.
#[derive(Clone, Copy)]
enum Seed {
    /// As in every run: what fails for one who tests a commit fails for the next, too.
    Same,
    /// Other inputs each time.
    Other,
}

/// Builds the targets once and runs each.
pub fn run(wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    let metadata = match Metadata::read() {
        Ok(metadata) => metadata,
        Err(problem) => {
            tally.record("lock file", Err(problem));
            return tally;
        }
    };
    let programs = metadata.member(PACKAGE).into_iter().flat_map(Package::programs);
    let targets: Vec<String> = programs.map(str::to_owned).collect();
    if targets.is_empty() {
        tally.record_not_run("fuzz targets", "the package has none");
        return tally;
    }
    match cover(&metadata.target_directory) {
        Ok((said, result)) => tally.record(&format!("lines of parsers reached{said}"), result),
        Err(problem) => tally.record("lines of parsers reached", Err(problem)),
    }
    let home = match build(&metadata.target_directory, &targets) {
        Ok(home) => home,
        Err(problem) => {
            tally.record("fuzz targets build", Err(problem));
            return tally;
        }
    };
    let (each, seed) =
        if wish.long { (EACH_LONG, Seed::Other) } else { (share(targets.len()), Seed::Same) };
    let queue = Mutex::new(targets.into_iter());
    let results = Mutex::new(&mut tally);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(target) = next(&queue) {
                    let (said, result) = match fuzz(&home, &target, each, seed) {
                        Ok(figures) => (figures, Ok(())),
                        Err(problem) => (String::new(), Err(problem)),
                    };
                    let mut tally = results.lock().expect("no other runner panicked");
                    tally.record(&format!("fuzz {target}{said}"), result);
                }
            });
        }
    });
    tally
}

/// Replays the kept inputs in a program that counts, and says which part of the parsers' lines they reach.
fn cover(target_directory: &Path) -> Result<(String, Result<(), String>), String> {
    let home = target_directory.join("coverage");
    let mut build = compiling_ours(&home, COVER)?;
    // With the features that the whole workspace has, as everything is built in the stages before.
    build.args(["--workspace", "--example", "replay"]);
    // Build scripts of ours count, too, and would leave that beside their manifest.
    build.env("LLVM_PROFILE_FILE", home.join("build.profraw"));
    child::run(Duration::from_secs(15 * 60), &build).or_say("cargo build of the replay")?;
    let (program, profile) =
        (target_directory.join("debug/examples/replay"), home.join("replay.profraw"));
    let mut replay = Command::new(&program);
    replay.env("LLVM_PROFILE_FILE", &profile);
    child::run(Duration::from_secs(120), &replay).or_say("the replay")?;
    let lines = coverage::lines(&program, &profile, &PARSERS)?;
    let (mut reached, mut all) = (0, 0);
    for (file, lines) in &lines {
        println!("        {file}: {} of {} lines", lines.reached, lines.all);
        if lines.all == 0 {
            return Err(format!("{file} has no lines"));
        }
        (reached, all) = (reached + lines.reached, all + lines.all);
    }
    let said = format!(" ({reached} of {all})");
    let is_enough = reached * 100 >= all * LEAST_PERCENT;
    let problem = || format!("{reached} of {all} lines; it takes {LEAST_PERCENT} %");
    Ok((said, is_enough.then_some(()).ok_or_else(problem)))
}

fn next(queue: &Mutex<std::vec::IntoIter<String>>) -> Option<String> {
    queue.lock().expect("no other runner panicked").next()
}

/// Each target's part of the stage's time.
fn share(targets: usize) -> Duration {
    let rounds = u32::try_from(targets.div_ceil(AT_ONCE).max(1)).unwrap_or(u32::MAX);
    (ROOM / rounds).clamp(EACH.1, EACH.0)
}

/// Builds all targets with instrumentation; the folder they are in.
fn build(target_directory: &Path, targets: &[String]) -> Result<PathBuf, String> {
    let home = target_directory.join("fuzz");
    let mut build = compiling_ours(&home, INSTRUMENT)?;
    build.args(["--package", PACKAGE, "--bins", "--features", "engine"]);
    // With optimisation, or little is tried in the time; overflow checks and assertions stay on.
    build.args(["--config", "profile.dev.opt-level=2"]).env("CARGO_INCREMENTAL", "0");
    child::run(Duration::from_secs(15 * 60), &build).or_say("cargo build of the fuzz targets")?;
    // The next build of the package puts programs without an engine in their place.
    for target in targets {
        let (from, to) = (target_directory.join("debug").join(target), home.join(target));
        std::fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    Ok(home)
}

/// A build in which the script `wrapper`, kept in `home`, compiles our crates. Everybody else's are as for other stages.
fn compiling_ours(home: &Path, wrapper: &str) -> Result<Command, String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(home).map_err(|error| failed(home, error))?;
    let script = home.join("rustc");
    std::fs::write(&script, wrapper).map_err(|error| failed(&script, error))?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| failed(&script, error))?;
    let mut build = workspace::cargo();
    build.args(["build", "--locked"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", &script);
    Ok(build)
}

/// Runs one target; its figures for the report.
fn fuzz(home: &Path, target: &str, time: Duration, seed: Seed) -> Result<String, String> {
    let found = home.join("found").join(target);
    let artifacts = home.join("crashes").join(target);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let mut fuzz = Command::new(home.join(target));
    // New inputs go to the first folder; the kept corpus is only read.
    fuzz.arg(&found);
    let kept = workspace::root().join("conformance/fuzz/corpus").join(target);
    if kept.is_dir() {
        fuzz.arg(kept);
    }
    fuzz.arg(format!("-max_total_time={}", time.as_secs()));
    fuzz.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzz.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    if let Seed::Same = seed {
        fuzz.arg("-seed=8915");
    }
    let log = home.join(format!("{target}.log"));
    let written = std::fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let limit = time + Duration::from_secs(90);
    let mut wrapped = child::bounded(limit, &fuzz);
    let both = written.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
    let status =
        wrapped.stdout(both).stderr(written).status().map_err(|e| format!("{target}: {e}"))?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    if !status.success() {
        return Err(format!("{status}\n{}", complaint(&said)));
    }
    let executions = statistic(&said, "number_of_executed_units").unwrap_or(0);
    if executions < LEAST_EXECUTIONS {
        return Err(format!(
            "only {executions} executions in {} s\n{}",
            time.as_secs(),
            child::last_lines(&said, 10)
        ));
    }
    let fresh = statistic(&said, "new_units_added").unwrap_or(0);
    Ok(format!(" ({executions} inputs in {} s, {fresh} new)", time.as_secs()))
}

/// What a target said as it ended: why it panicked, from where, and the input.
fn complaint(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let Some(at) = lines.iter().position(|line| line.contains(" panicked at ")) else {
        return child::last_lines(said, 25);
    };
    let cause = lines.iter().skip(at).take(16).copied().collect::<Vec<_>>().join("\n");
    // The last line is the input in Base64; those before have it octet by octet.
    format!("{cause}\n{}", child::last_lines(said, 1))
}

/// A figure of libFuzzer's closing statistics, `stat::NAME: VALUE`.
fn statistic(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_is_found_by_its_name() {
        let text = "Done 5 runs\nstat::number_of_executed_units: 514229\nstat::new_units_added:          17\n";
        assert_eq!(statistic(text, "number_of_executed_units"), Some(514_229));
        assert_eq!(statistic(text, "new_units_added"), Some(17));
        assert_eq!(statistic(text, "peak_rss_mb"), None);
    }

    #[test]
    fn a_complaint_begins_with_the_panic_and_ends_with_the_input() {
        let text =
            "INFO: seed\nthread 'main' panicked at a.rs:1:2:\nstays behind\n0x9,0x1\nBase64: CQE=";
        let said = complaint(text);
        assert!(said.starts_with("thread 'main' panicked at a.rs:1:2:\nstays behind\n"), "{said}");
        assert!(said.ends_with("\nBase64: CQE="), "{said}");
        assert_eq!(complaint("killed"), "killed");
    }

    #[test]
    fn targets_share_the_time() {
        assert_eq!(share(1), Duration::from_secs(40));
        assert_eq!(share(8), Duration::from_millis(18_750));
        assert_eq!(share(40), Duration::from_secs(15));
    }
}
