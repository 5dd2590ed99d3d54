//! The demonstration as `cargo demo` starts it: the real noonmarkd, the real client.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A place for temporary files of its own, so that what is left behind is seen.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("demo-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("room");
        Self(path)
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_noonmark-demo"));
        command.args(arguments).env("TMPDIR", &self.0).stdin(Stdio::null());
        command
    }

    /// Nothing is left: no file, and no process that was started in the place.
    fn assert_clean(&self) {
        let left: Vec<_> =
            fs::read_dir(&self.0).expect("it exists").flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let running = processes_in(&self.0);
        assert!(running.is_empty(), "still running: {running:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Processes that were started with a file of this folder, or work in it.
fn processes_in(folder: &Path) -> Vec<String> {
    let of = |process: &Path| {
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let here = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        (here || arguments.contains(&*folder.to_string_lossy())).then_some(arguments)
    };
    fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| of(&entry.path())).collect()
}

#[test]
fn samples_are_authenticated_and_nothing_is_left_behind() {
    let place = Place::new("samples");
    let output =
        place.demo(&["--for", "3s", "--interval", "500ms", "--json"]).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    let samples: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}")))
        .collect();
    assert!(samples.len() >= 3, "{text}");
    for sample in samples {
        let mut members: Vec<_> = sample.as_object().expect("an object").keys().cloned().collect();
        members.sort();
        assert_eq!(members, ["authenticated", "delay", "nts", "offset", "time"]);
        assert_eq!(sample["authenticated"], true);
        // The server serves the clock the client reads.
        assert!(sample["offset"].as_f64().expect("a number").abs() < 0.1, "{sample}");
        assert!(sample["delay"].as_f64().expect("a number") < 0.5, "{sample}");
        assert!(sample["nts"]["aead"].is_u64(), "{sample}");
        assert_eq!(sample["nts"]["cookies"], 8);
        assert!(sample["time"].as_str().expect("text").ends_with('Z'));
    }
    place.assert_clean();
}

#[test]
fn a_signal_ends_it_cleanly_in_the_middle() {
    for signal in ["INT", "TERM"] {
        let place = Place::new(signal);
        let mut demo =
            place.demo(&["--interval", "200ms"]).stdout(Stdio::piped()).spawn().expect("it runs");
        let lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
        let mut shown = String::new();
        for line in lines {
            let line = line.expect("text");
            shown.push_str(&line);
            if line.contains("verified") {
                break;
            }
        }
        for part in [
            "offset (+ server ahead)",
            "answers/s",
            "ntstrustedcerts",
            "nts ntsport",
            "query localhost --nts",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains('\x1b'), "no escape codes where there is no terminal");
        assert!(!processes_in(&place.0).is_empty(), "noonmarkd runs");
        send(signal, &demo);
        assert_eq!(wait(&mut demo), Some(0), "{signal}");
        place.assert_clean();
    }
}

#[test]
fn wrong_usage_is_64_and_starts_nothing() {
    let place = Place::new("usage");
    for arguments in [&["--for", "soon"][..], &["--for"], &["--interval", "0s"], &["now"]] {
        let output = place.demo(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
    place.assert_clean();
}

fn send(signal: &str, process: &Child) {
    let status =
        Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", process.id())).status();
    assert!(status.expect("a shell").success());
}

/// The exit status, which must come soon.
fn wait(process: &mut Child) -> Option<i32> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if let Some(status) = process.try_wait().expect("our child") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = process.kill();
    panic!("it does not end");
}
