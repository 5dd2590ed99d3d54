//! Stage `contain`: what a role that was broken into can do, tried from inside each.
//!
//! The daemon of the build runs with all its roles, and a role that serves makes one forbidden call after the other (`noonmarkd --probe`,
//! which a release does not have), each in a daemon of its own, because most of them end the role. The launcher makes those that its own
//! list refuses. What came of it is the table in SECURITY.md. Then the same without the list of system calls, which shows what the rest of the sandbox refuses by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use noonmark_os::sandbox::landlock;
use noonmark_os::sandbox::probe::{ATTEMPTS, Attempt, OF_THE_LAUNCHER};

use crate::interop::authority::Authority;
use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::{self, Metadata};
use crate::{build, child};

const ROLES: [&str; 5] = ["warden", "sources", "ntp", "ke", "observe"];
/// Sources serves once the warden has greeted it, so a warden that is killed for its attempt would keep it from its own.
const LAUNCHER: &str = "launcher";
const TOGETHER: [&[&str]; 2] = [&["warden"], &["sources", "ntp", "ke", "observe"]];
/// Daemons at a time.
const AT_ONCE: usize = 4;
/// A daemon starts within a second; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Outcomes by attempt and role.
type Outcomes = BTreeMap<(&'static str, &'static str), String>;

/// Tries everything, and compares with SECURITY.md.
pub fn run(_wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    let (filtered, unfiltered) = match everything() {
        Ok(outcomes) => outcomes,
        Err(problem) => {
            tally.record("attempts from inside the roles", Err(problem));
            return tally;
        }
    };
    for attempt in ATTEMPTS {
        tally.record(&format!("contained: {}", attempt.words), judge(attempt, &filtered, true));
    }
    for attempt in ATTEMPTS.iter().filter(|attempt| attempt.twice) {
        let name = format!("contained without a list of system calls: {}", attempt.words);
        if NEEDS_SCOPES.contains(&attempt.name) && landlock::version() < landlock::SCOPES_FROM {
            tally.record_not_run(&name, "this kernel's Landlock knows no signals (Linux 6.12)");
        } else {
            tally.record(&name, judge(attempt, &unfiltered, false));
        }
    }
    const TABLE: &str = "the table in SECURITY.md is what came of it";
    if landlock::version() < landlock::SCOPES_FROM {
        tally.record_not_run(
            TABLE,
            "this kernel's Landlock is too old to make it with (Linux 6.12)",
        );
    } else {
        tally.record(TABLE, compare(&filtered, &unfiltered));
    }
    tally
}

/// Tries everything and writes the table into SECURITY.md.
///
/// # Errors
/// A sentence, when something forbidden was done or the table cannot be written.
pub fn write() -> Result<ExitCode, String> {
    let (filtered, unfiltered) = everything()?;
    for attempt in ATTEMPTS {
        judge(attempt, &filtered, true).map_err(|what| format!("{}: {what}", attempt.words))?;
    }
    let path = document_path();
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let text = with_table(&text, &table(&filtered, &unfiltered))?;
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("{} is written", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Attempts that only Landlock's scopes refuse where all roles are one user.
const NEEDS_SCOPES: [&str; 3] = ["signal-launcher", "signal-role", "signal-thread"];

fn everything() -> Result<(Outcomes, Outcomes), String> {
    build::everything()?;
    let target = Metadata::read()?.target_directory;
    let (program, folder) = (target.join("debug/noonmarkd"), target.join("contain"));
    let twice: Vec<_> = ATTEMPTS.iter().filter(|attempt| attempt.twice).collect();
    let all: Vec<_> = ATTEMPTS.iter().collect();
    Ok((try_all(&program, &folder, &all, false)?, try_all(&program, &folder, &twice, true)?))
}

/// Makes each attempt in each role, some daemons at a time.
fn try_all(
    program: &Path,
    folder: &Path,
    attempts: &[&'static Attempt],
    unfiltered: bool,
) -> Result<Outcomes, String> {
    let mut jobs: Vec<_> =
        attempts.iter().flat_map(|one| TOGETHER.map(|roles| (*one, roles))).collect();
    if !unfiltered {
        let of_launcher = attempts.iter().filter(|one| OF_THE_LAUNCHER.contains(&one.name));
        jobs.extend(of_launcher.map(|one| (*one, &[LAUNCHER] as &[&str])));
    }
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Ok(Outcomes::new())));
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (next, outcomes, jobs) = (&next, &outcomes, &jobs);
            let place = folder.join(worker.to_string());
            scope.spawn(move || {
                while let Some((attempt, roles)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = try_one(program, &place, attempt, roles, unfiltered);
                    let mut all = outcomes.lock().expect("nobody panics with it");
                    match (&mut *all, found) {
                        (Ok(all), Ok(found)) => all.extend(found),
                        (all @ Ok(_), Err(problem)) => *all = Err(problem),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    outcomes.into_inner().expect("nobody panics with it")
}

/// Makes one attempt in some roles of one daemon.
fn try_one(
    program: &Path,
    folder: &Path,
    attempt: &'static Attempt,
    roles: &[&'static str],
    unfiltered: bool,
) -> Result<Outcomes, String> {
    prepare(folder)?;
    let mut inner = Command::new(program);
    inner.arg("--config").arg(folder.join("noonmark.toml"));
    inner.arg("--probe").arg(format!("{}:{}", roles.join(","), attempt.name));
    if unfiltered {
        inner.arg("--unfiltered");
    }
    let mut command = child::bounded(PATIENCE, &inner);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut daemon = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
    let stderr = daemon.stderr.take().expect("standard error was asked to be a pipe");
    let started = Instant::now();
    let (mut outcomes, mut said) = (Outcomes::new(), String::new());
    let mut left: BTreeSet<&str> = roles.iter().copied().collect();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let _ = writeln!(said, "{line}");
        if let Some((role, outcome)) = outcome(&line, attempt.name, roles)
            && left.remove(role)
        {
            outcomes.insert((attempt.name, role), outcome);
        }
        if left.is_empty() || started.elapsed() > PATIENCE {
            break;
        }
    }
    // It is `timeout` that hears this and passes it on; the next daemon waits for what this one still holds.
    let _ = noonmark_os::process::terminate(&daemon);
    let _ = daemon.wait();
    if left.is_empty() {
        return Ok(outcomes);
    }
    let missing: Vec<_> = left.into_iter().collect();
    let last = child::last_lines(&said, 12);
    Err(format!("{}: no outcome from {}\n{last}", attempt.name, missing.join(", ")))
}

/// What a line of the daemon says of an attempt: the role's own word, or the launcher's of its end.
fn outcome(line: &str, name: &str, roles: &[&'static str]) -> Option<(&'static str, String)> {
    let of = |word: &str| roles.iter().copied().find(|role| *role == word);
    if let Some(told) = line.strip_prefix("probe ") {
        let (role, told) = told.split_once(' ')?;
        return Some((of(role)?, told.strip_prefix(name)?.trim().to_owned()));
    }
    let (_, ended) = line.split_once("launcher: role ended role=")?;
    let (role, how) = ended.split_once(' ')?;
    how.contains("killed by its sandbox").then_some(())?;
    Some((of(role)?, KILLED.to_owned()))
}

const KILLED: &str = "killed";
const DONE: &str = "done";

/// Whether the attempt succeeded in those roles whose work it is and in no other; and, `filtered`, not in the launcher, which nothing but its list
/// keeps from anything.
fn judge(attempt: &Attempt, outcomes: &Outcomes, filtered: bool) -> Result<(), String> {
    let mut wrong = Vec::new();
    for role in ROLES {
        let outcome = outcomes.get(&(attempt.name, role)).map_or("not tried", String::as_str);
        // What is a role's work may fail for another reason; that it is let through is enough.
        let is_refused = outcome == KILLED || REFUSALS.contains(&outcome);
        if is_refused == attempt.allowed.contains(&role) {
            wrong.push(format!("{role}: {outcome}"));
        }
    }
    if filtered && OF_THE_LAUNCHER.contains(&attempt.name) {
        let outcome = outcomes.get(&(attempt.name, LAUNCHER)).map_or("not tried", String::as_str);
        if outcome != UNKNOWN {
            wrong.push(format!("{LAUNCHER}: {outcome}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

/// What the launcher's list answers, and nothing else does to these calls: a missing right says `EPERM`.
const UNKNOWN: &str = "ENOSYS";

/// What a call answers that was not made.
const REFUSALS: [&str; 6] = ["EACCES", "EPERM", "ENOSYS", "EAGAIN", "ENOTTY", "EINVAL"];

fn prepare(folder: &Path) -> Result<(), String> {
    if folder.join("noonmark.toml").exists() {
        return Ok(());
    }
    let problem = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::create_dir_all(folder).map_err(problem)?;
    Authority::new()?.write(folder)?;
    std::fs::write(folder.join("noonmark.toml"), CONFIGURATION).map_err(problem)
}

/// Every role has something to do, on free ports of the loopback device, and nobody touches the clock.
const CONFIGURATION: &str = r#"
[server]
listen = ["127.0.0.1:0"]
threads = 1
[nts]
listen = ["127.0.0.1:0"]
certificate = "chain.pem"
key = "key.pem"
[[source]]
server = "127.0.0.1"
port = 9
[clock]
clock = "observe"
[state]
folder = "state"
[status]
socket = "status.sock"
"#;

fn compare(filtered: &Outcomes, unfiltered: &Outcomes) -> Result<(), String> {
    let path = document_path();
    let found = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let expected = with_table(&found, &table(filtered, unfiltered))?;
    let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    match differs {
        Some((expected, found)) => {
            Err(format!("`cargo xtask contain` would write\n{expected}\nwhere it says\n{found}"))
        }
        None if expected.lines().count() != found.lines().count() => {
            Err("`cargo xtask contain` would write another number of lines".into())
        }
        None => Ok(()),
    }
}

const BEGIN: &str = "<!-- made by `cargo xtask contain` from here -->\n";
const END: &str = "<!-- to here -->\n";

/// The document with another table.
fn with_table(text: &str, table: &str) -> Result<String, String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or("SECURITY.md has no place for the table")?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

fn table(filtered: &Outcomes, unfiltered: &Outcomes) -> String {
    let mut text = format!(
        "| attempt | {} | without the list of calls | launcher |\n|---|{}---|---|\n",
        ROLES.map(|role| format!("`{role}`")).join(" | "),
        "---|".repeat(ROLES.len())
    );
    for attempt in ATTEMPTS {
        let cells = ROLES.map(|role| cell(filtered, attempt, role));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            attempt.words,
            cells.join(" | "),
            summary(unfiltered, attempt),
            if OF_THE_LAUNCHER.contains(&attempt.name) {
                cell(filtered, attempt, LAUNCHER)
            } else {
                String::new()
            }
        );
    }
    text
}

fn cell(outcomes: &Outcomes, attempt: &Attempt, role: &str) -> String {
    let outcome = outcomes.iter().find(|((name, by), _)| *name == attempt.name && *by == role);
    match outcome.map(|(_, outcome)| outcome.as_str()) {
        Some(DONE) => "**its work**".to_owned(),
        Some(outcome) => outcome.to_owned(),
        None => "not tried".to_owned(),
    }
}

/// One word where all roles agree.
fn summary(outcomes: &Outcomes, attempt: &Attempt) -> String {
    if !attempt.twice {
        return String::new();
    }
    let found: BTreeSet<String> = ROLES
        .iter()
        .filter(|role| !attempt.allowed.contains(role))
        .map(|role| cell(outcomes, attempt, role))
        .collect();
    found.into_iter().collect::<Vec<_>>().join(", ")
}

fn document_path() -> PathBuf {
    workspace::root().join("SECURITY.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_daemon_are_understood() {
        let check = |line: &str, expected: Option<(&str, &str)>| {
            let found = outcome(line, "fork", &["ntp", "ke"]);
            let found = found.as_ref().map(|(role, outcome)| (*role, outcome.as_str()));
            assert_eq!(found, expected, "{line}");
        };
        check("probe ntp fork EPERM", Some(("ntp", "EPERM")));
        check("probe ntp read EPERM", None);
        check("probe warden fork done", None);
        let ended = "2026-11-22T07:49:49Z warn launcher: role ended role=ke how=";
        let killed = format!("{ended}\"killed by its sandbox (signal 31)\" reason=\"x\"");
        check(&killed, Some(("ke", "killed")));
        check(&format!("{ended}\"signal 9\""), None);
    }

    #[test]
    fn what_is_let_through_where_it_should_not_be_is_seen() {
        let of = |name| ATTEMPTS.iter().find(|attempt| attempt.name == name).expect("there");
        let outcomes = |attempt: &'static Attempt, of: &dyn Fn(&str) -> &'static str| {
            let who = ROLES.into_iter().chain([LAUNCHER]);
            who.map(|role| ((attempt.name, role), of(role).to_owned())).collect()
        };
        let check = |name, outcome: &dyn Fn(&str) -> &'static str, good| {
            let attempt = of(name);
            let judged = judge(attempt, &outcomes(attempt, outcome), true);
            assert_eq!(judged.is_ok(), good, "{name}: {judged:?}");
        };
        check("fork", &|_| "killed", true);
        check("fork", &|role| if role == "ke" { "done" } else { "killed" }, false);
        check("fork", &|_| "ESRCH", false);
        check("read-resolver", &|role| if role == "sources" { "done" } else { "EACCES" }, true);
        check("read-resolver", &|_| "EACCES", false);
        let of_launcher = |said| move |who: &str| if who == LAUNCHER { said } else { "killed" };
        check("mount", &of_launcher("ENOSYS"), true);
        check("mount", &of_launcher("EPERM"), false);
        check("fork", &of_launcher("done"), true);
        assert!(judge(of("fork"), &Outcomes::new(), true).is_err(), "not tried");
        // Without its list nobody asks what the launcher can do.
        let mut roles = outcomes(of("mount"), &|_| "EPERM");
        roles.remove(&("mount", LAUNCHER));
        assert!(judge(of("mount"), &roles, false).is_ok());
        assert!(judge(of("mount"), &roles, true).is_err(), "not tried");
    }

    #[test]
    fn the_table_is_put_in_its_place() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let expected = format!("before\n{BEGIN}\nnew\n\n{END}after\n");
        assert_eq!(with_table(&text, "new\n").as_deref(), Ok(expected.as_str()));
        assert!(with_table("nothing", "new").is_err());
    }
}
