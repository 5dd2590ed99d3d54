//! What the program prints for whoever calls it, and what becomes of it where nothing can be printed.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::fixture::{CONFIGURATION, Place};

fn noonmarkd(place: &Place, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    noonmark_os::caps::drop_sys_time().expect("dropping needs no right");
    Command::new(env!("CARGO_BIN_EXE_noonmarkd"))
        .args(arguments)
        .arg("--config")
        .arg(place.folder.join("noonmark.toml"))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("built")
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("a device").into()
}

#[test]
fn lost_output_is_a_failure_and_a_closed_pipe_is_none() {
    let place = Place::new();
    for arguments in [&["--check"][..], &["--check", "--json"], &["--help"], &["--version"]] {
        let lost = noonmarkd(&place, arguments, full(), Stdio::piped());
        let said = String::from_utf8_lossy(&lost.stderr).into_owned();
        assert_eq!(lost.status.code(), Some(74), "{arguments:?}: {said}");
        assert!(said.contains("standard output cannot be written"), "{arguments:?}: {said}");
        let closed = std::io::pipe().expect("a pipe").1;
        let closed = noonmarkd(&place, arguments, closed.into(), Stdio::piped());
        assert_eq!((closed.status.code(), closed.stderr), (Some(0), Vec::new()), "{arguments:?}");
    }
}

#[test]
fn a_dry_run_that_cannot_print_ends_with_the_reason() {
    let (server, place) = (Place::new(), Place::new());
    let serving = server.start();
    let port = serving.address("ntp").port();
    place.configure(&format!("[[source]]\nserver = \"127.0.0.1\"\nport = {port}\nminpoll = 0\n"));
    let lost = noonmarkd(&place, &["--dry-run"], full(), Stdio::piped());
    let said = String::from_utf8_lossy(&lost.stderr);
    assert_eq!(lost.status.code(), Some(74), "{said}");
    assert!(said.contains("standard output cannot be written"), "{said}");
}

#[test]
fn where_standard_error_is_full_it_ends_as_it_would() {
    let place = Place::new();
    place.configure("[server]\nlisten = [\"nowhere\"]\n");
    for arguments in [&["--check"][..], &[], &["--frobnicate"]] {
        let status = noonmarkd(&place, arguments, Stdio::null(), full()).status.code();
        assert_eq!(
            status,
            Some(if arguments == ["--frobnicate"] { 64 } else { 78 }),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_check_tells_people_and_programs_the_same() {
    let place = Place::new();
    let check = |status: i32, said: &str| -> Value {
        let people = noonmarkd(&place, &["--check"], Stdio::piped(), Stdio::piped());
        let all = String::from_utf8([people.stdout, people.stderr].concat()).expect("text");
        assert_eq!(people.status.code(), Some(status), "{all}");
        assert!(all.contains(said), "{said} in {all}");
        let programs = noonmarkd(&place, &["--check", "--json"], Stdio::piped(), Stdio::null());
        assert_eq!(programs.status.code(), Some(status));
        serde_json::from_slice(&programs.stdout).expect("one object")
    };
    let good = check(0, "noonmark.toml: good");
    assert_eq!(
        (&good["good"], &good["certificate"]["names"][0]),
        (&true.into(), &"localhost".into())
    );
    let now = SystemTime::now();
    let days = |count: u64| Duration::from_secs(count * 86_400);
    place.authority.issue_for(&place.folder, now - days(90), now - days(1));
    let expired = check(0, "warning: nts.certificate");
    assert!(
        expired["warnings"][0].as_str().is_some_and(|text| text.contains("expired at")),
        "{expired}"
    );
    place.authority.issue_for(&place.folder, now + days(1), now + days(90));
    check(0, "is not valid before");
    let other = Place::new();
    std::fs::copy(other.folder.join("key.pem"), place.folder.join("key.pem")).expect("ours");
    let mismatch = check(65, "does not belong to the certificate in");
    assert_eq!(
        (&mismatch["good"], &mismatch["problems"][0]["key"]),
        (&false.into(), &"nts.key".into())
    );
    place.configure(&CONFIGURATION.replace("local-stratum", "local-stratm"));
    assert_eq!(check(78, "local-stratm")["problems"][0]["line"], 5);
}

#[test]
fn what_ends_the_daemon_is_said_once_and_with_what_to_do() {
    let place = Place::new();
    let state = place.folder.join("state");
    std::fs::create_dir(&state).expect("a new name");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).expect("ours");
    let (status, said) = place.start_in_vain();
    assert_eq!(status, Some(73), "{said}");
    assert_eq!(
        said.matches("others may write into it; accepted is 0755 or less").count(),
        1,
        "{said}"
    );
    assert!(!said.contains("next_start_ms"), "nothing is tried again: {said}");
    place.configure(&CONFIGURATION.replace("status.sock", "missing/status.sock"));
    let (status, said) = place.start_in_vain();
    assert_eq!(status, Some(71), "{said}");
    assert!(said.contains("missing is not there: make it"), "{said}");
}

#[test]
fn setting_the_clock_once_says_how_it_ended() {
    let place = Place::new();
    place.configure("[[source]]\nserver = \"127.0.0.1\"\n[clock]\nclock = \"observe\"\n");
    let output = noonmarkd(&place, &["--once", "--json"], Stdio::piped(), Stdio::null());
    assert_eq!(output.status.code(), Some(78));
    let said: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((&said["set"], &said["tracking"]), (&false.into(), &Value::Null));
    assert!(said["error"].as_str().is_some_and(|text| text.contains("clock = \"keep\"")), "{said}");
    place.configure("[[source]]\nserver = 7\n");
    let output = noonmarkd(&place, &["--once", "--json"], Stdio::piped(), Stdio::null());
    let said: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((output.status.code(), &said["set"]), (Some(78), &false.into()));
}
