//! `noonmark status`: the state of a running noonmarkd, as it gives it over its Unix socket (docs/status.md).

use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Verdict;
use crate::command::StatusArguments;
use crate::output::{deliver, write_json, write_text};
use crate::paint::Paint;
use crate::query::unsigned;
use crate::sheet::{Sheet, columns};

/// Prints the state. Warning if something in it deserves a look, critical if there is none.
#[must_use]
pub fn run(arguments: &StatusArguments) -> Verdict {
    let state = match read(&arguments.socket, PATIENCE) {
        Ok(state) => state,
        Err(error) => {
            let written = if arguments.json {
                write_json(&serde_json::json!({ "error": error.to_string() }))
            } else {
                Ok(())
            };
            eprintln!("noonmark: {error}");
            return deliver(Verdict::Critical, written);
        }
    };
    let concerns = concerns(&state);
    let written = if arguments.json {
        write_json(&state)
    } else {
        write_text(&for_people(&state, &concerns, Paint::for_stream(&io::stdout())))
    };
    deliver(if concerns.is_empty() { Verdict::Good } else { Verdict::Warning }, written)
}

/// Reads the state of the daemon behind `socket`, for at most `patience`.
///
/// # Errors
/// [`NoStatus`] says at which step it failed.
pub fn read(socket: &Path, patience: Duration) -> Result<Value, NoStatus> {
    let failed = |what, error| NoStatus { socket: socket.to_owned(), what, error };
    let octets = read_to_end(socket, patience).map_err(|(what, error)| failed(what, error))?;
    serde_json::from_slice(&octets)
        .map_err(|error| failed("is not answered with JSON", error.into()))
}

fn read_to_end(socket: &Path, patience: Duration) -> Result<Vec<u8>, (&'static str, io::Error)> {
    let give_up_at = Instant::now() + patience;
    let mut stream = UnixStream::connect(socket).map_err(|error| ("cannot be reached", error))?;
    let mut octets = Vec::new();
    let mut part = [0; 4096];
    loop {
        let left = give_up_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(("is not answered in time", io::ErrorKind::TimedOut.into()));
        }
        stream.set_read_timeout(Some(left)).map_err(|error| ("cannot be read", error))?;
        match stream.read(&mut part) {
            Ok(0) => return Ok(octets),
            Ok(len) => octets.extend_from_slice(part.get(..len).unwrap_or_default()),
            // The time for reading is over: the turn of the loop above says so.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(("cannot be read", error)),
        }
        if octets.len() > LONGEST_STATUS {
            return Err(("is answered with more than a state", io::ErrorKind::InvalidData.into()));
        }
    }
}

/// The state of the daemon could not be read.
#[derive(Debug)]
pub struct NoStatus {
    socket: PathBuf,
    what: &'static str,
    error: io::Error,
}

impl fmt::Display for NoStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the status socket {} {}: {}", self.socket.display(), self.what, self.error)?;
        match self.error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                f.write_str("; is noonmarkd running, with [status] socket set to this path?")
            }
            io::ErrorKind::PermissionDenied => f.write_str("; its owner and group may ask"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for NoStatus {}

/// What in a state deserves a look, in words.
fn concerns(state: &Value) -> Vec<String> {
    let mut concerns = Vec::new();
    if state["ready"] == false {
        concerns.push("not ready: a role has not started yet, or is not serving".to_owned());
    }
    for (part, name) in
        [("configuration", "a new configuration"), ("certificate", "a new certificate")]
    {
        if let Some(reason) = state[part]["refused"]["reason"].as_str() {
            concerns.push(format!("{name} was refused, the one before stays in force: {reason}"));
        }
    }
    if state["clock"]["stale"] == true {
        concerns.push("the clock state is stale: the warden no longer writes it".to_owned());
    }
    for role in list(&state["roles"]) {
        if role["state"] == "waiting" {
            concerns.push(format!(
                "the role {} ended and waits to be started again",
                text(&role["role"])
            ));
        }
    }
    concerns
}

fn for_people(state: &Value, concerns: &[String], paint: Paint) -> String {
    let mut sheet = Sheet::new(paint);
    sheet.line(
        "state",
        if concerns.is_empty() { paint.good("good") } else { paint.warning(&concerns.join("\n")) },
    );
    sheet.line("version", text(&state["version"]));
    sheet.line("started", text(&state["started"]));
    sheet.line("up for", seconds(&state["uptime_seconds"]));
    for part in ["configuration", "certificate"] {
        if state[part].is_object() {
            let file =
                state[part]["file"].as_str().map(|file| format!("{file}, ")).unwrap_or_default();
            let generation = text(&state[part]["generation"]);
            sheet.line(
                part,
                format!("{file}generation {generation} of {}", text(&state[part]["loaded"])),
            );
        }
    }
    let clock = &state["clock"];
    if clock.is_object() {
        sheet.heading("clock as served");
        sheet.line("synchronised", if clock["synchronised"] == true { "yes" } else { "no" });
        sheet.line("leap", text(&clock["leap"]));
        sheet.line("stratum", text(&clock["stratum"]));
        sheet.line("reference", text(&clock["reference_id"]));
        sheet.line("root delay", seconds(&clock["root_delay_seconds"]));
        sheet.line("root dispersion", seconds(&clock["root_dispersion_seconds"]));
        sheet.line("precision", format!("2^{} s", text(&clock["precision_log2_seconds"])));
    }
    let cookies = &state["cookies"];
    if cookies.is_object() {
        sheet.heading("cookie keys");
        sheet.line(
            "epoch",
            format!(
                "{}, honoured from {}",
                text(&cookies["epoch"]),
                text(&cookies["oldest_epoch"])
            ),
        );
        sheet.line("next rotation", text(&cookies["next_rotation"]));
    }
    for (part, heading) in [("ntp", "NTP counters"), ("ke", "key-establishment counters")] {
        sheet.heading(heading);
        for (name, value) in state["counters"][part].as_object().into_iter().flatten() {
            // Most reasons never occur; a person looks for those that did. --json has them all.
            if value.as_f64() != Some(0.0) {
                sheet.line(name, text(value));
            }
        }
    }
    let listening = columns(
        ["listening", "address", "interface"],
        list(&state["listening"])
            .map(|one| [text(&one["protocol"]), text(&one["address"]), text(&one["interface"])]),
    );
    let roles = columns(
        ["role", "state", "pid", "restarts", "last end", "memory"],
        list(&state["roles"]).map(|role| {
            [
                text(&role["role"]),
                text(&role["state"]),
                text(&role["pid"]),
                text(&role["restarts"]),
                text(&role["last_end"]),
                role["memory_bytes"]
                    .as_f64()
                    .map_or_else(dash, |octets| format!("{:.1} MiB", octets / 1_048_576.0)),
            ]
        }),
    );
    format!("{}\n{listening}\n{roles}", sheet.render())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value as a person reads it; control characters from wherever do not reach the terminal.
fn text(value: &Value) -> String {
    match value {
        Value::Null => dash(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        other => other.to_string(),
    }
}

fn seconds(value: &Value) -> String {
    match value.as_f64() {
        Some(long) if long >= 60.0 => {
            let whole = long as u64;
            let (days, rest) = (whole / 86_400, whole % 86_400);
            let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
            if days > 0 { format!("{days} d {clock}") } else { format!("{clock} h") }
        }
        Some(short) => unsigned(short),
        None => dash(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

/// The daemon answers from memory; a local socket is quick.
const PATIENCE: Duration = Duration::from_secs(5);
/// A state is some kilobytes.
const LONGEST_STATUS: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state() -> Value {
        json!({
            "schema": 1, "version": "0.1.0", "started": "2026-11-22T11:00:00Z", "uptime_seconds": 90061.5, "ready": true,
            "configuration": { "file": "/etc/x.toml", "generation": 2, "loaded": "2026-11-22T11:00:00Z", "refused": null },
            "certificate": null,
            "listening": [{ "protocol": "ntp", "address": "127.0.0.1:123", "interface": null }],
            "clock": { "synchronised": true, "leap": "none", "stratum": 2, "reference_id": "127.127.1.1",
                "root_delay_seconds": 0.0, "root_dispersion_seconds": 0.001, "precision_log2_seconds": -25, "stale": false },
            "cookies": { "epoch": 7, "oldest_epoch": 0, "next_rotation": "2026-11-23T00:00:00Z" },
            "roles": [{ "role": "ntp", "state": "ready", "pid": 7, "restarts": 0, "last_end": null, "memory_bytes": 1048576 }],
            "counters": { "ntp": { "received": 10, "dropped_short": 0 }, "ke": {} }
        })
    }

    #[test]
    fn a_state_is_shown_with_what_happened_and_without_what_did_not() {
        let shown = for_people(&state(), &[], Paint::PLAIN);
        for part in [
            "1 d 01:01:01",
            "generation 2",
            "127.127.1.1",
            "+1.000 ms".trim_start_matches('+'),
            "2^-25 s",
            "1.0 MiB",
            "received",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(!shown.contains("dropped_short") && !shown.contains("certificate"), "{shown}");
    }

    #[test]
    fn what_deserves_a_look_is_said() {
        fn check(path: &str, value: Value, expected: Option<&str>) {
            let mut state = state();
            *state.pointer_mut(path).expect(path) = value;
            let found = concerns(&state);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{path}: {found:?}");
            assert!(expected.is_none_or(|word| found[0].contains(word)), "{found:?}");
        }
        check("/ready", json!(true), None);
        check("/ready", json!(false), Some("not ready"));
        check("/configuration/refused", json!({ "reason": "line 3" }), Some("line 3"));
        check("/certificate", json!({ "refused": { "reason": "expired" } }), Some("expired"));
        check("/clock/stale", json!(true), Some("stale"));
        check("/roles/0/state", json!("waiting"), Some("ntp"));
    }

    #[test]
    fn a_state_of_another_shape_is_shown_as_far_as_it_is_known() {
        for odd in [
            json!(null),
            json!([]),
            json!({ "roles": 7, "counters": { "ntp": [1] }, "clock": "x" }),
        ] {
            let _ = for_people(&odd, &concerns(&odd), Paint::PLAIN);
        }
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_waited_for_no_longer_than_that() {
        let path = std::env::temp_dir().join(format!("noonmark-mute-{}", std::process::id()));
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a new name");
        let error = read(&path, Duration::from_millis(100)).expect_err("mute").to_string();
        std::fs::remove_file(&path).expect("ours");
        assert!(error.contains("is not answered in time"), "{error}");
    }

    #[test]
    fn a_missing_daemon_is_said_with_the_socket() {
        let error = read(Path::new("/nonexistent/status.sock"), PATIENCE)
            .expect_err("nobody there")
            .to_string();
        assert!(
            error.contains("/nonexistent/status.sock") && error.contains("is noonmarkd running"),
            "{error}"
        );
    }
}
