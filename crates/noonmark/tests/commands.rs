//! `noonmark config` and `noonmark status` as people and monitors call them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noonmark-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("room");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("room");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn noonmark(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_noonmark")).args(arguments).output().expect("it runs")
}

fn check(file: &Path, status: i32) -> (String, Value) {
    let file = file.to_string_lossy();
    let people = noonmark(&["config", "check", &file]);
    let programs = noonmark(&["config", "check", &file, "--json"]);
    assert_eq!(
        (people.status.code(), programs.status.code()),
        (Some(status), Some(status)),
        "{file}"
    );
    let said = [people.stdout, people.stderr].concat();
    (
        String::from_utf8(said).expect("text"),
        serde_json::from_slice(&programs.stdout).expect("JSON"),
    )
}

#[test]
fn a_good_configuration_is_called_good() {
    let folder = Folder::new("good");
    let file = folder.file("noonmark.toml", "[server]\nlisten = [\"127.0.0.1:11123\"]\n");
    let (said, json) = check(&file, 0);
    assert!(said.ends_with("good\n"), "{said}");
    assert_eq!((&json["good"], &json["problems"]), (&json!(true), &json!([])));
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let folder = Folder::new("bad");
    let file = folder.file("noonmark.toml", "[server]\nlisten = [\"nowhere\"]\nlocal-stratm = 3\n");
    let (said, json) = check(&file, 2);
    assert!(said.contains("noonmark.toml:2:") && said.contains("noonmark.toml:3:"), "{said}");
    assert_eq!(json["good"], false);
    let lines: Vec<_> = json["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|problem| &problem["line"])
        .collect();
    assert_eq!(lines, [2, 3]);
}

#[test]
fn a_key_that_does_not_belong_to_its_certificate_is_found() {
    let folder = Folder::new("identity");
    let pair = || rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&pair()).expect("a certificate");
    folder.file("cert.pem", &certificate.pem());
    folder.file("key.pem", &pair().serialize_pem());
    let text = "[server]\nlisten = [\"127.0.0.1:11123\"]\n[nts]\nlisten = [\"127.0.0.1:14460\"]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    let (said, json) = check(&folder.file("noonmark.toml", text), 2);
    assert!(said.contains("does not belong to the certificate in"), "{said}");
    assert!(json["identity"].is_string(), "{json}");
}

#[test]
fn a_certificate_is_named_and_one_out_of_its_time_is_a_warning() {
    let folder = Folder::new("validity");
    let text =
        "[nts]\nlisten = [\"127.0.0.1:14460\"]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    let file = folder.file("noonmark.toml", text);
    for (years, status, words) in [
        ((2020, 2090), 0, "valid until 2090-01-01T00:00:00Z"),
        ((2020, 2021), 1, "time.example expired at 2021-01-01T00:00:00Z"),
        ((2089, 2090), 1, "time.example is not valid before 2089-01-01T00:00:00Z"),
    ] {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params =
            rcgen::CertificateParams::new(vec!["time.example".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        folder.file("cert.pem", &params.self_signed(&key).expect("a certificate").pem());
        folder.file("key.pem", &key.serialize_pem());
        let (said, json) = check(&file, status);
        assert!(said.contains(words) && said.contains("certificate for time.example"), "{said}");
        assert_eq!(
            (&json["good"], &json["certificate"]["names"][0]),
            (&json!(true), &json!("time.example"))
        );
        assert_eq!(json["warnings"].as_array().map(Vec::len), usize::try_from(status).ok());
    }
}

#[test]
fn a_missing_or_empty_file_is_an_error() {
    let folder = Folder::new("empty");
    check(&folder.0.join("missing.toml"), 2);
    check(&folder.file("empty.toml", ""), 2);
}

#[test]
fn the_defaults_are_a_configuration_and_a_list() {
    let text = String::from_utf8(noonmark(&["config", "show", "--defaults"]).stdout).expect("text");
    noonmark_config::parse(&text, Path::new("/etc/noonmark/noonmark.toml"))
        .expect("the defaults are good");
    let list: Value =
        serde_json::from_slice(&noonmark(&["config", "show", "--defaults", "--json"]).stdout)
            .expect("JSON");
    let list = list.as_array().expect("a list");
    assert!(list.iter().any(|key| key["table"] == "server"
        && key["key"] == "listen"
        && key["default"].is_string()));
}

/// The least that is a state.
fn bare_state() -> Value {
    json!({ "schema": 1, "version": "0.1.0", "ready": true, "configuration": {}, "listening": [],
        "clock": { "synchronised": true, "stratum": 2 }, "tracking": null, "sources": [], "roles": [], "counters": {} })
}

/// A daemon that says `answer` to everybody who connects.
fn daemon(folder: &Folder, answer: Vec<u8>) -> String {
    let path = folder.0.join("status.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(&answer);
        }
    });
    path.to_string_lossy().into_owned()
}

#[test]
fn the_state_of_a_daemon_is_shown_and_judged() {
    for (ready, role, status) in [
        (true, json!({ "state": "ready" }), 0),
        (false, json!({ "state": "starting" }), 1),
        (
            true,
            json!({ "state": "ready", "last_end": "signal 9", "last_end_seconds_ago": 10.5 }),
            1,
        ),
        (
            true,
            json!({ "state": "ready", "last_end": "signal 9", "last_end_seconds_ago": 4000 }),
            0,
        ),
        (false, json!({ "state": "hung", "silent_seconds": 7.5 }), 2),
    ] {
        let folder = Folder::new(&format!("status-{}", role["last_end_seconds_ago"]));
        let mut state = bare_state();
        state["ready"] = json!(ready);
        state["counters"] = json!({ "ntp": { "received": 7 } });
        state["roles"] = json!([role]);
        state["roles"][0]["role"] = json!("ntp");
        let socket = daemon(&folder, state.to_string().into_bytes());
        let people = noonmark(&["status", "--socket", &socket]);
        assert_eq!(people.status.code(), Some(status));
        let said = String::from_utf8(people.stdout).expect("text");
        assert!(said.contains("received") && said.contains("0.1.0"), "{said}");
        let programs = noonmark(&["status", "--socket", &socket, "--json"]);
        assert_eq!(programs.status.code(), Some(status));
        assert_eq!(serde_json::from_slice::<Value>(&programs.stdout).expect("JSON"), state);
    }
}

#[test]
fn no_daemon_and_no_sense_are_critical() {
    let folder = Folder::new("nobody");
    let nobody = folder.0.join("status.sock").to_string_lossy().into_owned();
    let output = noonmark(&["status", "--socket", &nobody, "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(said["error"].as_str().expect("a reason").contains("is noonmarkd running"), "{said}");
    for (answer, words) in [
        ("no JSON", "is not answered with JSON"),
        ("{}", "its member schema is missing"),
        (r#"{"schema":9,"version":"7.0"}"#, "in schema 9 by noonmarkd 7.0"),
    ] {
        let socket = daemon(&folder, answer.into());
        for command in ["status", "tracking", "sources"] {
            let output = noonmark(&[command, "--socket", &socket]);
            let said = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains(words), "{command}: {said}");
        }
        fs::remove_file(socket).expect("ours");
    }
}

#[test]
fn a_daemon_that_is_stopped_is_waited_for_as_long_as_was_asked() {
    let folder = Folder::new("mute");
    let path = folder.0.join("status.sock");
    let _listener = UnixListener::bind(&path).expect("a socket");
    let path = path.to_string_lossy();
    let start = Instant::now();
    let output = noonmark(&["wait-sync", "--timeout", "0.5", "--json", "--socket", &path]);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
    assert!(waited < Duration::from_secs(4), "less than every other command waits: {waited:?}");
    assert_eq!(output.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(said["result"].as_str().expect("words").contains("not answered in time"), "{said}");
}

#[test]
fn lost_output_is_no_success_and_a_closed_pipe_is_none_of_our_business() {
    let folder = Folder::new("full");
    let file = folder.file("noonmark.toml", "[server]\nlisten = [\"127.0.0.1:11123\"]\n");
    let file = file.to_string_lossy();
    let socket = daemon(&folder, bare_state().to_string().into_bytes());
    let nobody = "/nonexistent/status.sock";
    let full = || File::options().write(true).open("/dev/full").expect("a device");
    let closed = || std::io::pipe().expect("a pipe").1;
    for (arguments, found) in [
        (&["config", "check", &file][..], 0),
        (&["config", "show", "--defaults", "--json"], 0),
        (&["status", "--socket", &socket], 0),
        (&["status", "--socket", &socket, "--json"], 0),
        (&["status", "--socket", nobody, "--json"], 2),
        (&["--help"], 0),
    ] {
        let run = |stdout: Stdio| {
            let output = Command::new(env!("CARGO_BIN_EXE_noonmark"))
                .args(arguments)
                .stdout(stdout)
                .stderr(Stdio::piped())
                .output()
                .expect("it runs");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (status, errors) = run(full().into());
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(errors.contains("standard output cannot be written"), "{errors}");
        assert_eq!(run(closed().into()).0, Some(found), "{arguments:?}");
    }
}
