//! What starts and stops the daemon on a real system: a service manager, the shipped unit, the init script.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::fixture::{CONFIGURATION, PATIENCE, Place, is_alive};

#[test]
fn service_manager_hears_of_ready_reloading_and_stopping() {
    let place = Place::new();
    let path = place.folder.join("notify");
    let manager = UnixDatagram::bind(&path).expect("free");
    manager.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let next = || {
        let mut buffer = [0; 2048];
        let len = manager.recv(&mut buffer).expect("told in time");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let mut daemon = place.start_without_waiting(&[("NOTIFY_SOCKET", &path)]);
    let text = next();
    assert!(text.starts_with("READY=1\nSTATUS=serving ntp 127.0.0.1:"), "{text}");
    let status = daemon.status().expect("ready means that everybody is answered");
    assert_eq!(status["ready"], true, "{status}");
    daemon.signal("HUP");
    assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(next().starts_with("READY=1\n"));
    daemon.signal("TERM");
    assert_eq!(next(), "STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn shipped_unit_starts_this_program() {
    let unit = Unit::read();
    let place = Place::new();
    let command = unit.only("ExecStart");
    let words: Vec<&str> = command.split_whitespace().collect();
    let [program, arguments @ ..] = words.as_slice() else { panic!("{command}") };
    assert!(program.ends_with("/noonmarkd"), "{command}");
    assert_eq!(unit.only("Type"), "notify");
    // As written, but for where things are.
    let arguments = arguments
        .iter()
        .map(|word| word.replace("/etc/noonmark/", &format!("{}/", place.folder.display())));
    let path = place.folder.join("notify");
    let manager = UnixDatagram::bind(&path).expect("free");
    manager.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut daemon = place.start_with(arguments, &[("NOTIFY_SOCKET", &path)]);
    let mut buffer = [0; 2048];
    let len = manager.recv(&mut buffer).expect("told in time");
    assert!(buffer[..len].starts_with(b"READY=1\n"));
    assert_eq!(unit.only("ExecReload"), "/bin/kill -HUP $MAINPID");
    daemon.signal("HUP");
    daemon.wait_until("reloaded", |status| status["configuration"]["generation"] == 2);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn shipped_unit_agrees_with_what_the_daemon_says_of_itself() {
    let unit = Unit::read();
    let folder = |key: &str| std::path::PathBuf::from(unit.only(key));
    let settings =
        noonmark_config::parse("[server]", std::path::Path::new("/etc/noonmark/noonmark.toml"))
            .expect("every key has a default");
    // The folders it has made for the daemon are those that the daemon uses by itself.
    assert_eq!(
        settings.state.folder,
        std::path::Path::new("/var/lib").join(folder("StateDirectory"))
    );
    let run = std::path::Path::new("/run").join(folder("RuntimeDirectory"));
    assert_eq!(settings.status.socket.parent(), Some(run.as_path()));
    // Starting again is left out where the manual says that it does not help.
    let manual = include_str!("../../../../docs/daemon.md");
    let helps = |status: &str| {
        let row = manual.lines().find(|line| line.starts_with(&format!("| {status} |")));
        let row = row.unwrap_or_else(|| panic!("{status} is not in the manual"));
        !row.ends_with("| no |") && !row.ends_with("| once the other one is gone |")
    };
    let all = ["64", "65", "69", "70", "71", "73", "75", "77", "78"];
    let (again, in_vain): (Vec<&str>, Vec<&str>) =
        all.into_iter().partition(|status| helps(status));
    assert_eq!(unit.only("RestartPreventExitStatus"), in_vain.join(" "));
    assert_eq!(again, ["70", "71"]);
}

#[test]
fn shipped_sockets_are_those_of_the_default_configuration() {
    let unit = Unit::of(include_str!("../../dist/noonmarkd.socket"));
    let text = "[server]\n[nts]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    let settings = noonmark_config::parse(text, std::path::Path::new("/x/noonmark.toml"))
        .expect("every key has a default");
    let check = |key: &str, addresses: Vec<std::net::SocketAddr>| {
        let bound: Vec<std::net::SocketAddr> =
            unit.all(key).iter().map(|value| value.parse().expect("an address")).collect();
        assert_eq!(bound, addresses, "{key}");
    };
    let room = unit.only("ReceiveBuffer").strip_suffix('M').expect("in MiB");
    let room: u32 = room.parse().expect("a number");
    assert_eq!(room << 20, settings.overload.receive_buffer);
    check("ListenDatagram", settings.server.listen);
    check("ListenStream", settings.nts.expect("asked for").listen);
    assert_eq!(unit.only("BindIPv6Only"), "ipv6-only");
}

/// A shipped unit for systemd.
struct Unit(Vec<(String, String)>);

impl Unit {
    fn read() -> Self {
        Self::of(include_str!("../../dist/noonmarkd.service"))
    }

    fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
        let split = |line: &str| {
            line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        };
        Self(lines.filter_map(split).collect())
    }

    fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(found, _)| found == key).map(|(_, value)| &**value).collect()
    }

    /// The value of a key that is there once.
    fn only(&self, key: &str) -> &str {
        let values = self.all(key);
        let [only] = values[..] else { panic!("{key}: {values:?}") };
        only
    }
}

#[test]
fn init_script_starts_reloads_and_stops() {
    noonmark_os::caps::drop_sys_time().expect("dropping needs no right");
    let place = Place::new();
    let script = Script { folder: place.folder.clone() };
    let run = |action: &str, status: i32, words: &str| {
        let output = script.run(action);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(status), "{action}: {text}");
        assert!(text.contains(words), "{action}: {words:?} is not in {text:?}");
    };
    run("status", 3, "does not run");
    place.configure("nonsense");
    run("start", 6, "configuration refused");
    place.configure(CONFIGURATION);
    run("start", 0, "noonmarkd started");
    run("start", 0, "runs already");
    run("status", 0, "noonmarkd runs");
    run("reload", 0, "");
    run("restart", 0, "noonmarkd stopped\nnoonmarkd started");
    run("stop", 0, "noonmarkd stopped");
    run("status", 3, "does not run");
    run("sing", 64, "usage:");
    assert!(!place.folder.join("status.sock").exists(), "stopped in good order");
}

#[test]
fn init_script_ends_only_what_it_started() {
    noonmark_os::caps::drop_sys_time().expect("dropping needs no right");
    let place = Place::new();
    let script = Script { folder: place.folder.clone() };
    let check = |action: &str, status: i32| {
        let output = script.run(action);
        assert_eq!(output.status.code(), Some(status), "{action}: {output:?}");
    };
    // Left behind by a crash; meanwhile the id belongs to somebody else.
    let mut stranger = Command::new("sleep").arg("60").spawn().expect("a sleep");
    for left_behind in [format!("{}\n", stranger.id()), format!("{}\n4711\n", stranger.id())] {
        std::fs::write(script.pid_file(), left_behind).expect("ours");
        check("status", 3);
        check("reload", 7);
        check("stop", 0);
        assert!(is_alive(stranger.id()));
        assert!(!script.pid_file().exists());
    }
    check("start", 0);
    let told = std::fs::read_to_string(script.pid_file()).expect("started");
    let daemon: u32 = told.lines().next().and_then(|pid| pid.parse().ok()).expect("its id");
    assert!(is_alive(daemon));
    check("stop", 0);
    assert!(!is_alive(daemon) && is_alive(stranger.id()));
    stranger.kill().expect("ours");
    stranger.wait().expect("ours");
}

/// The init script, with everything it touches in one folder. What it started is stopped when dropped.
struct Script {
    folder: std::path::PathBuf,
}

impl Script {
    fn pid_file(&self) -> std::path::PathBuf {
        self.folder.join("noonmarkd.pid")
    }

    fn run(&self, action: &str) -> std::process::Output {
        Command::new("sh")
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/dist/noonmarkd.init"), action])
            .env("DAEMON", env!("CARGO_BIN_EXE_noonmarkd"))
            .env("CONFIG", self.folder.join("noonmark.toml"))
            .env("RUN", self.folder.join("run"))
            .env("STATE", self.folder.join("state"))
            .env("LOG", self.folder.join("log"))
            .env("PIDFILE", self.pid_file())
            .env("ACCOUNT", "no such account")
            .output()
            .expect("a shell")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.run("stop");
    }
}
