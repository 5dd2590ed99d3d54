//! Programs we start: each bounded in time, each in a process group of its own, none outliving us.
//!
//! Two helpers of the base system do what would need `unsafe` here: `setpriv --pdeathsig` has the kernel end the child
//! when we die, and `timeout` puts it in a process group and ends that whole group when its time is up.
//! Nothing is ever ended by name.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A command wrapped so that it ends with us and after `limit` at the latest, with everything it started.
pub fn bounded(limit: Duration, inner: &Command) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "timeout", "--kill-after=10"]);
    command.arg(limit.as_secs().max(1).to_string());
    transplant(inner, &mut command);
    command.stdin(Stdio::null());
    command
}

/// Appends program and arguments of `inner` to `outer`, with its folder and its changes to the environment.
pub fn transplant(inner: &Command, outer: &mut Command) {
    outer.arg(inner.get_program()).args(inner.get_args());
    if let Some(folder) = inner.get_current_dir() {
        outer.current_dir(folder);
    }
    for (key, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(key, value),
            None => outer.env_remove(key),
        };
    }
}

/// How a bounded command ended.
#[derive(Debug, Eq, PartialEq)]
pub enum Ending {
    /// Status 0.
    Good,
    /// Its time was up.
    TooLong(Duration),
    /// Any other status, or a signal.
    Bad(String),
}

impl Ending {
    /// `Ok`, or what went wrong as a sentence that names the command.
    pub fn or_say(self, what: &str) -> Result<(), String> {
        match self {
            Self::Good => Ok(()),
            Self::TooLong(limit) => {
                Err(format!("{what}: still running after {} s, ended", limit.as_secs()))
            }
            Self::Bad(how) => Err(format!("{what}: {how}")),
        }
    }
}

/// Runs a command with its output shown as it comes.
pub fn run(limit: Duration, command: &Command) -> Ending {
    let mut wrapped = bounded(limit, command);
    ending(limit, wrapped.status())
}

/// Runs a command and hands each line of its standard output to `each`; standard error is shown as it comes.
pub fn run_lines(limit: Duration, command: &Command, mut each: impl FnMut(&str)) -> Ending {
    let mut wrapped = bounded(limit, command);
    let mut child = match wrapped.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(problem) => return Ending::Bad(problem.to_string()),
    };
    let stdout = child.stdout.take().expect("standard output was asked to be a pipe");
    for line in BufReader::new(stdout).split(b'\n') {
        match line {
            Ok(line) => each(&String::from_utf8_lossy(&line)),
            Err(_) => break,
        }
    }
    ending(limit, child.wait())
}

/// Runs a command quietly; its standard output if it ended well, else a sentence with what it said.
///
/// # Errors
/// The command's name, its status and the end of what it wrote.
pub fn output(limit: Duration, command: &Command) -> Result<String, String> {
    let name = describe(command);
    let mut wrapped = bounded(limit, command);
    let output = wrapped.output().map_err(|e| format!("{name}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match ending(limit, Ok(output.status)) {
        Ending::Good => Ok(said),
        bad => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bad.or_say(&name).map_err(|sentence| {
                let tail = format!("{}\n{}", said.trim_end(), complaint.trim_end());
                format!("{sentence}\n{}", last_lines(tail.trim(), 15))
            })?;
            Ok(said)
        }
    }
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Program and arguments on one line, for messages.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn ending(limit: Duration, status: std::io::Result<std::process::ExitStatus>) -> Ending {
    match status {
        Err(problem) => Ending::Bad(problem.to_string()),
        Ok(status) if status.success() => Ending::Good,
        // `timeout` says 124 when it had to ask, 137 when it had to insist.
        Ok(status) if matches!(status.code(), Some(124 | 137)) => Ending::TooLong(limit),
        Ok(status) => Ending::Bad(status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_ends_well_gives_its_output() {
        assert_eq!(output(Duration::from_secs(5), &shell("echo noon")).as_deref(), Ok("noon\n"));
    }

    #[test]
    fn a_command_that_ends_badly_says_how_and_what_it_wrote() {
        let complaint =
            output(Duration::from_secs(5), &shell("echo no clock >&2; exit 3")).unwrap_err();
        assert!(
            complaint.contains("exit status: 3") && complaint.contains("no clock"),
            "{complaint}"
        );
    }

    #[test]
    fn a_command_that_does_not_end_is_ended_with_its_children() {
        let script = "sleep 60 & echo $!; wait";
        let mut child = None;
        let started = std::time::Instant::now();
        let how =
            run_lines(Duration::from_secs(1), &shell(script), |line| child = Some(line.to_owned()));
        assert_eq!(how, Ending::TooLong(Duration::from_secs(1)));
        assert!(started.elapsed() < Duration::from_secs(9));
        let child = child.expect("the shell told its child's id");
        // The signal is sent; being scheduled to die, and being reaped by init, may take the child a moment more.
        let gone = || {
            let status =
                std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            status.is_empty() || status.contains("State:\tZ")
        };
        assert!(
            (0..50).any(|_| gone() || {
                std::thread::sleep(Duration::from_millis(100));
                false
            }),
            "{child} runs on"
        );
    }
}
