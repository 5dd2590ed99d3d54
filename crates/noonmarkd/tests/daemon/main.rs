//! The real `noonmarkd`, started as whoever runs the tests, on free ports of the loopback device.

mod client;
mod continuity;
mod fixture;
mod identity;
mod life;
mod output;
mod passed;
mod sandbox;
mod service;
mod sources;
mod validity;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use fixture::{CONFIGURATION, Daemon, PATIENCE, Place, is_alive, process_of, signal};
use identity::Authority;
use noonmark_packet::{Leap, Packet};
use noonmark_units::Timestamp;

#[test]
fn plain_and_authenticated_time_is_served() {
    let place = Place::new();
    let daemon = place.start();
    for server in daemon.addresses("ntp") {
        let answer = client::ask(server, Timestamp::from_bits(4711)).expect("an answer");
        let header = Packet::parse(&answer).expect("a packet").header();
        assert_eq!(
            (header.origin, header.leap, header.stratum),
            (Timestamp::from_bits(4711), Leap::None, 3),
            "{server}"
        );
    }
    let agreement =
        client::establish(daemon.address("nts-ke"), &place.authority.pem()).expect("keys");
    assert_eq!(agreement.cookies.len(), 8);
    let ntp = daemon.address("ntp");
    assert_eq!(agreement.port, ntp.port(), "clients are told the real port");
    let answer = client::ask_authenticated(ntp, &agreement, &agreement.cookies[0]);
    assert_eq!(answer, Ok((3, 1)));

    let status =
        daemon.wait_until("counters", |status| status["counters"]["ntp"]["answered_nts"] == 1);
    assert_eq!(status["counters"]["ntp"]["answered_plain"], 2);
    assert_eq!(status["schema"], 1);
    assert_eq!(
        (&status["clock"]["stratum"], &status["clock"]["synchronised"]),
        (&3.into(), &true.into())
    );
    for role in ["launcher", "warden", "ntp", "ke", "observe"] {
        let process = process_of(&status, role);
        assert_eq!(process["state"], "ready", "{role}");
        assert!(
            process["memory_bytes"].as_u64().is_some_and(|octets| octets > 100_000),
            "{process}"
        );
    }
}

#[test]
fn killed_role_is_started_again_and_serves() {
    let place = Place::new();
    let daemon = place.start();
    let (ntp, ke) = (daemon.address("ntp"), daemon.address("nts-ke"));
    let agreement = client::establish(ke, &place.authority.pem()).expect("keys");
    for (role, cookie) in ["ntp", "ke", "warden", "observe"].into_iter().zip(&agreement.cookies) {
        let before = daemon.pid_of(role);
        signal("KILL", before);
        let status = daemon.wait_until(role, |status| {
            let process = process_of(status, role);
            status["ready"] == true
                && process["pid"].as_u64().is_some_and(|pid| pid != u64::from(before))
        });
        assert_eq!(process_of(&status, role)["restarts"], 1, "{role}");
        assert_eq!(process_of(&status, role)["last_end"], "signal 9", "{role}");
        assert_eq!(
            client::ask_authenticated(ntp, &agreement, cookie),
            Ok((3, 1)),
            "after {role} was killed"
        );
    }
    client::establish(ke, &place.authority.pem()).expect("keys again");
    assert!(daemon.log().contains("warn launcher: role ended role=ntp"), "{}", daemon.log());
}

#[test]
fn time_is_served_while_the_warden_is_gone() {
    let place = Place::new();
    let daemon = place.start();
    let ntp = daemon.address("ntp");
    for restarts in 1..4 {
        signal("KILL", daemon.pid_of("warden"));
        assert_eq!(client::stratum(ntp), Some(3));
        daemon.wait_until("the warden is back", |status| {
            process_of(status, "warden")["restarts"] == restarts && status["ready"] == true
        });
    }
    assert_eq!(
        daemon.status().map(|status| process_of(&status, "ntp")["restarts"].clone()),
        Some(0.into())
    );
}

#[test]
fn roles_leave_when_the_launcher_is_killed() {
    let place = Place::new();
    let mut daemon = place.start();
    let roles = ["warden", "ntp", "ke", "observe"].map(|role| daemon.pid_of(role));
    assert!(roles.into_iter().all(is_alive));
    daemon.signal("KILL");
    daemon.wait();
    let deadline = Instant::now() + PATIENCE;
    while roles.into_iter().any(is_alive) {
        assert!(Instant::now() < deadline, "a role outlived the launcher");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Nothing it left behind keeps the next one from starting.
    let next = place.start();
    assert_eq!(client::stratum(next.address("ntp")), Some(3));
}

#[test]
fn stopping_ends_everything_in_good_order() {
    let place = Place::new();
    for name in ["TERM", "INT"] {
        let mut daemon = place.start();
        let roles = ["warden", "ntp", "ke", "observe"].map(|role| daemon.pid_of(role));
        let start = Instant::now();
        daemon.signal(name);
        assert_eq!(daemon.wait().code(), Some(0), "{name}");
        assert!(start.elapsed() < Duration::from_secs(4), "no role had to be killed");
        assert!(!roles.into_iter().any(is_alive));
        assert!(!place.folder.join("status.sock").exists());
        assert!(!daemon.log().contains("killed"), "{}", daemon.log());
    }
}

#[test]
fn broken_configuration_leaves_the_old_one_in_force() {
    let place = Place::new();
    let daemon = place.start();
    let ntp = daemon.address("ntp");
    place.configure(&CONFIGURATION.replace("local-stratum = 3", "local-stratum = 99"));
    daemon.signal("HUP");
    let status =
        daemon.wait_until("refused", |status| status["configuration"]["refused"].is_object());
    let reason = status["configuration"]["refused"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("noonmark.toml:5") && reason.contains("99"), "{reason}");
    assert_eq!(status["configuration"]["generation"], 1);
    assert_eq!(client::stratum(ntp), Some(3));

    place.configure(&CONFIGURATION.replace("local-stratum = 3", "local-stratum = 4"));
    daemon.signal("HUP");
    let status = daemon.wait_until("taken", |status| {
        status["configuration"]["generation"] == 2
            && status["clock"]["stratum"] == 4
            && status["ready"] == true
    });
    assert!(status["configuration"]["refused"].is_null());
    assert_eq!(daemon.address("ntp"), ntp, "a free port that was chosen is kept");
    // The page of the new warden reaches ntp by a message of its own.
    let deadline = Instant::now() + PATIENCE;
    while client::stratum(ntp) != Some(4) {
        assert!(Instant::now() < deadline, "still the old stratum");
    }
    let restarts = |role: &str| process_of(&status, role)["restarts"].clone();
    assert_eq!(
        ["warden", "ntp", "ke", "observe"].map(restarts),
        [0, 0, 0, 0],
        "what was wanted is no failure"
    );
}

#[test]
fn reload_opens_new_addresses_and_closes_old_ones() {
    let place = Place::new();
    let daemon = place.start();
    let (kept, gone) = (daemon.addresses("ntp")[0], daemon.addresses("ntp")[1]);
    place.configure(&CONFIGURATION.replace("\"[::1]:0\"", "\"127.0.0.2:0\""));
    daemon.signal("HUP");
    daemon.wait_until("taken", |status| {
        status["configuration"]["generation"] == 2 && status["ready"] == true
    });
    let now = daemon.addresses("ntp");
    assert_eq!(now[0], kept);
    assert!(now[1].to_string().starts_with("127.0.0.2:"), "{now:?}");
    assert_eq!(now.map_strata(), [Some(3), Some(3)]);
    std::net::UdpSocket::bind(gone).expect("the old address is free");
    // An address that somebody else has is a reason to refuse the whole.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("free");
    let wanted = format!("\"{}\"", taken.local_addr().expect("bound"));
    place.configure(&CONFIGURATION.replace("\"[::1]:0\"", &wanted));
    daemon.signal("HUP");
    let status =
        daemon.wait_until("refused", |status| status["configuration"]["refused"].is_object());
    assert!(
        status["configuration"]["refused"]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("is taken"))
    );
    assert_eq!(daemon.addresses("ntp").map_strata(), [Some(3), Some(3)]);
}

trait Strata {
    fn map_strata(&self) -> Vec<Option<u8>>;
}

impl Strata for Vec<std::net::SocketAddr> {
    fn map_strata(&self) -> Vec<Option<u8>> {
        self.iter().map(|address| client::stratum(*address)).collect()
    }
}

#[test]
fn new_certificate_is_taken_and_a_broken_one_is_not() {
    let place = Place::new();
    let daemon = place.start();
    let ke = daemon.address("nts-ke");
    let old = place.authority.pem();
    client::establish(ke, &old).expect("the first certificate");
    let generation = |wanted: u64| {
        move |status: &serde_json::Value| status["certificate"]["generation"] == wanted
    };

    let renewed = Authority::new();
    renewed.issue(&place.folder);
    daemon.wait_until("the new certificate is taken", generation(2));
    establish_soon(ke, &renewed);
    assert!(client::establish(ke, &old).is_err(), "the first one is gone");

    // A key that belongs to another certificate.
    let chain = std::fs::read(place.folder.join("chain.pem")).expect("written");
    Authority::new().issue(&place.folder);
    std::fs::write(place.folder.join("chain.pem"), chain).expect("ours");
    let status =
        daemon.wait_until("refused", |status| status["certificate"]["refused"].is_object());
    assert_eq!(status["certificate"]["generation"], 2);
    let reason = status["certificate"]["refused"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("does not belong to the certificate"), "{reason}");
    assert!(
        daemon.log().contains("error launcher: refused; what is in force stays"),
        "{}",
        daemon.log()
    );
    client::establish(ke, &renewed.pem()).expect("the second certificate still serves");

    // SIGHUP with the broken files is refused, too; once repaired, they are taken without being asked.
    daemon.signal("HUP");
    daemon.wait_until("refused again", |status| status["configuration"]["refused"].is_object());
    client::establish(ke, &renewed.pem()).expect("the second certificate still serves");
    let repaired = Authority::new();
    repaired.issue(&place.folder);
    let status = daemon.wait_until("repaired", generation(3));
    assert!(status["certificate"]["refused"].is_null());
    establish_soon(ke, &repaired);
}

#[test]
fn certificate_is_taken_by_sighup_alone() {
    let place = Place::new();
    let daemon = place.start();
    let ke = daemon.address("nts-ke");
    let taken = "info launcher: configuration taken";
    let by_watching = "new certificate taken";

    // Files that never stop changing are never taken by watching them.
    let restless = place.keep_changing("chain.pem");
    let old = place.authority.pem();
    let renewed = Authority::new();
    renewed.issue(&place.folder);
    std::thread::sleep(LONGER_THAN_WATCHING_TAKES);
    client::establish(ke, &old).expect("the first certificate still serves");
    assert_eq!(daemon.status().expect("serving")["certificate"]["generation"], 1);

    daemon.signal("HUP");
    daemon.wait_until("taken", |status| status["certificate"]["generation"] == 2);
    establish_soon(ke, &renewed);
    assert!(client::establish(ke, &old).is_err(), "the first one is gone");
    assert_eq!(daemon.log().matches(taken).count(), 1, "{}", daemon.log());

    // A broken one is refused, in so many words, and the one before goes on serving.
    std::fs::write(place.folder.join("key.pem"), b"not a key").expect("ours");
    daemon.signal("HUP");
    let status =
        daemon.wait_until("refused", |status| status["configuration"]["refused"].is_object());
    assert_eq!(status["certificate"]["generation"], 2);
    client::establish(ke, &renewed.pem()).expect("the second certificate still serves");
    let log = daemon.log();
    let refused = "error launcher: refused; what is in force stays";
    assert!(log.contains(refused) && log.contains("no private key in it"), "{log}");
    assert!(!log.contains(by_watching), "{log}");
    drop(restless);

    // The same, once the files rest: now watching takes them.
    Authority::new().issue(&place.folder);
    daemon.wait_until("taken by watching", |status| status["certificate"]["generation"] == 3);
    assert!(daemon.log().contains(by_watching), "{}", daemon.log());
    assert_eq!(daemon.log().matches(taken).count(), 1, "{}", daemon.log());
}

/// Certificates are looked at once a second, and taken when they look the same twice.
const LONGER_THAN_WATCHING_TAKES: Duration = Duration::from_secs(4);

/// What the launcher has taken reaches key establishment by a message.
fn establish_soon(ke: std::net::SocketAddr, authority: &Authority) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = client::establish(ke, &authority.pem()) {
        assert!(Instant::now() < deadline, "still the old certificate: {error:?}");
    }
}

#[test]
fn cookies_stay_valid_across_a_restart() {
    let place = Place::new();
    let daemon = place.start();
    let agreement =
        client::establish(daemon.address("nts-ke"), &place.authority.pem()).expect("keys");
    assert_eq!(daemon.stop().code(), Some(0));
    let daemon = place.start();
    let answer =
        client::ask_authenticated(daemon.address("ntp"), &agreement, &agreement.cookies[0]);
    assert_eq!(answer, Ok((3, 1)));
    drop(daemon);
    // Without the key ring they are void, and the daemon says so by a kiss.
    std::fs::remove_file(place.folder.join("state/keyring")).expect("stored");
    let daemon = place.start();
    let answer =
        client::ask_authenticated(daemon.address("ntp"), &agreement, &agreement.cookies[1]);
    assert!(answer.is_err(), "{answer:?}");
    daemon.wait_until("a kiss", |status| status["counters"]["ntp"]["kiss_ntsn"] == 1);
}

#[test]
fn unsynchronised_until_the_clock_is_served_on_purpose() {
    let place = Place::new();
    place.configure(&CONFIGURATION.replace("local-stratum = 3\n", ""));
    let daemon = place.start();
    let answer = client::ask(daemon.address("ntp"), Timestamp::from_bits(1)).expect("an answer");
    let header = Packet::parse(&answer).expect("a packet").header();
    assert_eq!((header.leap, header.stratum), (Leap::Unsynchronised, 0));
    assert_eq!(daemon.status().expect("serving")["clock"]["synchronised"], false);
}

#[test]
fn every_reason_not_to_start_has_its_status_and_its_words() {
    let check = |place: &Place, status: i32, words: &str| {
        let (code, log) = place.start_in_vain();
        assert_eq!(code, Some(status), "{words}: {log}");
        assert!(log.contains(words), "{words:?} is not in {log:?}");
    };
    let place = Place::new();

    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("free").local_addr().expect("bound");
    let other = std::net::UdpSocket::bind(udp).expect("free");
    place.configure(&CONFIGURATION.replace("\"127.0.0.1:0\", \"[::1]:0\"", &format!("\"{udp}\"")));
    check(&place, 69, &format!("UDP address {udp} is taken"));
    drop(other);

    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let address = tcp.local_addr().expect("bound");
    let last = CONFIGURATION
        .replace("[nts]\nlisten = [\"127.0.0.1:0\"]", &format!("[nts]\nlisten = [\"{address}\"]"));
    place.configure(&last);
    check(&place, 69, &format!("TCP address {address} is taken: another program listens there"));
    place.configure(CONFIGURATION);

    let running = place.start();
    check(&place, 75, "another noonmarkd answers there");
    // The same in every respect: that its ports are taken as well is not the first thing to say.
    let ntp = running.address("ntp");
    place.configure(&CONFIGURATION.replace("\"127.0.0.1:0\", \"[::1]:0\"", &format!("\"{ntp}\"")));
    check(&place, 75, "another noonmarkd answers there");
    place.configure(&CONFIGURATION.replace("status.sock", "other.sock"));
    check(&place, 75, "another process works in this folder");
    place.configure(CONFIGURATION);
    drop(running);

    place.configure("[server]\nlisten = [\"nowhere\"]\n");
    check(&place, 78, "configuration refused");
    place.configure(CONFIGURATION);

    let mode = |name: &str, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(place.folder.join(name), permissions).expect("ours");
    };
    mode("key.pem", 0o644);
    check(&place, 78, "is open to others (mode 0644)");
    mode("key.pem", 0o600);
    mode("noonmark.toml", 0o666);
    check(&place, 78, "may be written by others (mode 0666)");
    mode("noonmark.toml", 0o644);

    mode("state/keyring", 0o644);
    check(&place, 73, "keyring has mode 0644: others may read this secret");
    mode("state/keyring", 0o600);
    std::fs::write(place.folder.join("state/keyring"), b"not a key ring").expect("ours");
    let folder = place.folder.join("state");
    check(&place, 73, &format!("state folder {}: keyring is damaged", folder.display()));
    std::fs::remove_file(folder.join("keyring")).expect("ours");
    mode("state", 0o770);
    check(&place, 73, &format!("{}: has mode 0770: others may write into it", folder.display()));
    mode("state", 0o755);
    drop(place.start());
    let log = std::fs::read_to_string(place.folder.join("log")).expect("written");
    assert!(log.contains("warn warden: others may look into the state folder"), "{log}");
    mode("state", 0o700);

    std::fs::write(place.folder.join("key.pem"), b"not a key").expect("ours");
    check(&place, 65, "no private key in it");
}

#[test]
fn system_without_descriptors_is_not_asked_for_ever() {
    let place = Place::new();
    // As in every start here: nothing that is started can set a clock.
    noonmark_os::caps::drop_sys_time().expect("dropping needs no right");
    for limit in [8, 16] {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {limit}; exec \"$0\" --config \"$1\""))
            .arg(env!("CARGO_BIN_EXE_noonmarkd"))
            .arg(place.folder.join("noonmark.toml"))
            .output()
            .expect("a shell");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(71), "{limit} descriptors: {log}");
    }
}

#[test]
fn command_line_is_checked_and_checks() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_noonmarkd")).args(arguments).output().expect("built");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let check = |arguments: &[&str], status: i32, words: &str| {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(status), "{arguments:?}: {text}");
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    };
    let file = place.folder.join("noonmark.toml");
    let file = file.to_str().expect("UTF-8");
    check(&["--nonsense"], 64, "--nonsense");
    check(&["--help"], 0, "Exit status");
    check(&["--version"], 0, env!("CARGO_PKG_VERSION"));
    check(&["--role", "king"], 64, "no such role");
    check(&["--role", "ntp"], 64, "not by hand");
    check(&["--config", file, "--check"], 0, "good");
    assert!(!place.folder.join("state").exists(), "checking opens nothing");
    std::fs::write(place.folder.join("chain.pem"), b"nothing").expect("ours");
    check(&["--config", file, "--check"], 65, "no certificate in it");
    check(&["--config", "/nowhere/noonmark.toml"], 78, "cannot be read");
}

#[test]
fn no_packet_causes_a_log_line() {
    let place = Place::new();
    let daemon = place.start();
    let (ntp, ke) = (daemon.address("ntp"), daemon.address("nts-ke"));
    let before = daemon.log();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("free");
    for len in 0..200 {
        for first in [0x23, 0x1b, 0x26, 0xff, 0x00] {
            let mut datagram = vec![0; len];
            if let Some(octet) = datagram.first_mut() {
                *octet = first;
            }
            socket.send_to(&datagram, ntp).expect("room");
        }
    }
    for octets in [&b""[..], b"GET / HTTP/1.0\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff]] {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(ke).expect("somebody listens");
        stream.write_all(octets).expect("room");
    }
    assert!(client::establish(ke, &Authority::new().pem()).is_err(), "another authority");
    daemon.wait_until("all were seen", |status| {
        status["counters"]["ntp"]["received"].as_u64().is_some_and(|count| count >= 900)
            && status["counters"]["ke"]["accepted"].as_u64().is_some_and(|count| count >= 4)
    });
    assert_eq!(daemon.log(), before);
}

#[test]
fn json_lines_are_objects() {
    let place = Place::new();
    place.configure(&format!("{CONFIGURATION}\n[log]\nformat = \"json\"\nlevel = \"debug\"\n"));
    let daemon: Daemon = place.start();
    signal("KILL", daemon.pid_of("ke"));
    daemon.wait_until("started again", |status| {
        process_of(status, "ke")["restarts"] == 1 && status["ready"] == true
    });
    let lines: Vec<serde_json::Value> = daemon
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let ended = lines.iter().find(|line| line["message"] == "role ended").expect("logged");
    assert_eq!(
        (&ended["level"], &ended["process"], &ended["role"]),
        (&"warn".into(), &"launcher".into(), &"ke".into())
    );
    assert!(lines.iter().any(|line| line["process"] == "warden"), "roles log, too");
}
