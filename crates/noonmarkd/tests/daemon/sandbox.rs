//! What the roles give up, as it is told and as the kernel says.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use noonmark_os::sandbox::landlock;
use noonmark_os::{caps, process};
use serde_json::{Value, json};

use crate::fixture::{CONFIGURATION, Place, process_of};

const ROLES: [&str; 4] = ["warden", "ntp", "ke", "observe"];

/// A line of `/proc/PID/status`.
fn field(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
}

fn given_up(status: &Value, role: &str) -> bool {
    process_of(status, role)["sandbox"].is_object()
}

#[test]
fn every_role_gives_up_all_that_the_kernel_can_take() {
    let place = Place::new();
    let daemon = place.start();
    let status = daemon.wait_until("all have said what they gave up", |status| {
        ROLES.iter().all(|role| given_up(status, role))
    });
    let as_root = process::effective_uid() == 0;
    for role in ROLES {
        let sandbox = &process_of(&status, role)["sandbox"];
        let pid = daemon.pid_of(role);
        if landlock::version() >= landlock::SCOPES_FROM {
            assert_eq!(sandbox["lacking"], json!([]), "{role}");
        }
        assert_ne!(sandbox["user"], 0, "{role}");
        assert_eq!(field(pid, "Uid"), sandbox["user"].to_string(), "{role}");
        assert_eq!(field(pid, "CapPrm"), "0000000000000000", "{role}");
        assert_eq!(field(pid, "NoNewPrivs"), "1", "{role}");
        assert_eq!(field(pid, "Seccomp"), "2", "{role}: it has a list of system calls");
        // Less than half is in use, and the kernel gives no more than all.
        let bound = process_of(&status, role)["memory_bound_bytes"].as_u64().expect("bounded");
        let used: u64 = field(pid, "VmData").trim_end_matches(" kB").parse().expect("a number");
        assert!(used * 1024 * 2 < bound, "{role}: {used} kB of {bound} octets");
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max data size")).expect("a limit");
        assert!(line.contains(&format!(" {bound} ")), "{role}: {line}");
    }
    let launcher = daemon.pid();
    assert_eq!(
        (field(launcher, "Seccomp"), field(launcher, "NoNewPrivs")),
        ("2".into(), "1".into())
    );
    if as_root {
        let owner = |name: &str| std::fs::metadata(place.folder.join(name)).expect("made").uid();
        let user = process_of(&status, "warden")["sandbox"]["user"].as_u64().expect("a number");
        assert_eq!(u64::from(owner("state")), user, "handed over");
        assert_eq!(u64::from(owner("state/keyring")), user);
        assert_eq!(owner("key.pem"), 0, "and nothing else");
    }
}

#[test]
fn a_sandbox_that_is_off_leaves_calls_and_files() {
    let place = Place::new();
    place.configure(&format!("{CONFIGURATION}\n[daemon]\nsandbox = \"off\"\n"));
    let daemon = place.start();
    let pid = daemon.pid_of("ntp");
    assert_eq!(field(pid, "Seccomp"), "0");
    assert_eq!(field(pid, "CapPrm"), "0000000000000000", "rights are given up all the same");
    assert_ne!(field(pid, "Uid"), "0", "and the user is another");
}

#[test]
fn what_cannot_be_had_is_refused_at_the_start() {
    let place = Place::new();
    let with = |daemon: &str| place.configure(&format!("{CONFIGURATION}\n[daemon]\n{daemon}\n"));
    if process::effective_uid() == 0 {
        with("user = \"nobody-has-this-name\"");
        let (status, log) = place.start_in_vain();
        assert_eq!(status, Some(78), "{log}");
        assert!(log.contains("there is no account \"nobody-has-this-name\""), "{log}");
        with("user = \"0\"\nsandbox = \"required\"");
        let (status, log) = place.start_in_vain();
        assert_eq!(status, Some(78), "{log}");
        assert!(log.contains("cannot be taken from the roles: user"), "{log}");
    }
    with("sandbox = \"required\"");
    if landlock::version() >= landlock::SCOPES_FROM {
        drop(place.start());
    } else {
        assert_eq!(place.start_in_vain().0, Some(78));
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_complained_of() {
    caps::drop_sys_time().expect("dropping needs no right");
    let place = Place::new();
    let output = Command::new("sh")
        .args(["-euc", "ulimit -f 0; exec \"$0\" --config \"$1\"", env!("CARGO_BIN_EXE_noonmarkd")])
        .arg(place.folder.join("noonmark.toml"))
        .env_remove("NOTIFY_SOCKET")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code != 0), "{}: {said}", output.status);
    assert!(said.contains("File too large"), "{said}");
}

#[test]
fn the_list_of_leap_seconds_is_readable_from_wherever_it_is_named() {
    let check = |list: &str, prepare: fn(&Path)| {
        let place = Place::new();
        // The warden reads it as a user that owns nothing here.
        std::fs::set_permissions(&place.folder, PermissionsExt::from_mode(0o755)).expect("ours");
        std::fs::create_dir(place.folder.join("lists")).expect("a new name");
        prepare(&place.folder);
        place.configure(&format!("{CONFIGURATION}\n[clock]\nleap-seconds = {list:?}\n"));
        let daemon = place.start_from(&place.folder, ["--config", "noonmark.toml"], &[]);
        daemon.wait_until("the daemon serves", |status| status["ready"] == true);
        let log = daemon.log();
        assert!(log.contains("the list of leap seconds has expired"), "{list}: {log}");
    };
    const LIST: &str = "Leap 2016 Dec 31 23:59:60 + S\n#expires 1500000000\n";
    check("leap.list", |folder| std::fs::write(folder.join("leap.list"), LIST).expect("room"));
    check("lists/leap.list", |folder| {
        std::fs::write(folder.join("lists/leap.list"), LIST).expect("room");
    });
    check("leap.list", |folder| {
        std::fs::write(folder.join("lists/a"), LIST).expect("room");
        symlink("lists/a", folder.join("leap.list")).expect("room");
    });
    check("lists/leap.list", |folder| {
        std::fs::write(folder.join("a"), LIST).expect("room");
        symlink("../a", folder.join("lists/leap.list")).expect("room");
    });
}
