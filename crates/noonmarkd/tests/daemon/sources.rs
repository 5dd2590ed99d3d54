//! A daemon that follows another one, without the right to set any clock.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use noonmark_packet::{Leap, Packet};
use noonmark_units::Timestamp;
use serde_json::Value;

use crate::client;
use crate::fixture::{Daemon, PATIENCE, Place, process_of, signal};
use crate::identity::replace;

/// One that asks `sources` and serves on a free port.
pub fn follower(sources: &str, clock: &str) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nthreads = 1\n{sources}\n[clock]\n{clock}\n\
         [state]\nfolder = \"state\"\n[status]\nsocket = \"status.sock\"\n"
    )
}

/// A server with NTS, and a configuration that follows it with and without.
pub fn pair() -> (Place, Daemon, Place, String) {
    let (server, place) = (Place::new(), Place::new());
    let serving = server.start();
    replace(&place.folder, "ca.pem", &server.authority.pem());
    let (ntp, ke) = (serving.address("ntp"), serving.address("nts-ke"));
    let sources = format!(
        "[[source]]\nnts = \"localhost\"\nport = {}\nca = \"ca.pem\"\nfamily = \"ipv4\"\nminpoll = 0\n\
         [[source]]\nserver = \"127.0.0.1\"\nport = {}\nminpoll = 0\n",
        ke.port(),
        ntp.port()
    );
    (server, serving, place, sources)
}

fn header(daemon: &Daemon) -> noonmark_packet::Header {
    let answer = client::ask(daemon.address("ntp"), Timestamp::from_bits(7)).expect("an answer");
    Packet::parse(&answer).expect("a packet").header()
}

pub fn synchronised(status: &Value) -> bool {
    status["clock"]["synchronised"] == true && status["tracking"]["state"] == "synchronised"
}

/// How many sources are right. Those at one address are one voice, so fewer may agree.
pub fn right(status: &Value) -> usize {
    let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_right = |source: &&Value| source["state"] == "followed" || source["state"] == "spare";
    sources.iter().filter(is_right).count()
}

#[test]
fn followed_time_is_served_as_soon_as_it_is_known_and_not_before() {
    let (_server, _serving, place, sources) = pair();
    // Nobody answers there, so nothing is ever known.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("free");
    let port = silent.local_addr().expect("bound").port();
    let mute = format!("[[source]]\nserver = \"127.0.0.1\"\nport = {port}\n");
    place.configure(&follower(&mute, "clock = \"observe\""));
    let daemon = place.start();
    let asked = daemon.wait_until("a question", |status| {
        status["sources"][0]["asked"].as_u64().is_some_and(|asked| asked > 0)
    });
    assert_eq!(asked["sources"][0]["state"], "waiting", "{asked}");
    assert_eq!(
        (&asked["tracking"]["clock"], &asked["tracking"]["stratum"]),
        (&"observe".into(), &16.into())
    );
    let before = header(&daemon);
    assert_eq!((before.leap, before.stratum), (Leap::Unsynchronised, 0));

    place.configure(&follower(&sources, "clock = \"observe\""));
    daemon.signal("HUP");
    let status = daemon.wait_until("the sources are followed", |status| {
        synchronised(status) && right(status) == 2
    });
    let first = &status["sources"][0];
    assert_eq!(
        (&first["name"], &first["state"]),
        (&"localhost".into(), &"followed".into()),
        "{first}"
    );
    assert_eq!(first["authenticated"], true, "{first}");
    assert_eq!(status["sources"][1]["authenticated"], false);
    // True stratum, root delay, root dispersion and reference.
    let after = header(&daemon);
    assert_eq!((after.leap, after.stratum), (Leap::None, 4), "one more than the server's");
    assert_eq!(after.reference_id.0, [127, 0, 0, 1]);
    assert!(!after.reference_time.is_unset());
    let bound = status["tracking"]["error_bound_seconds"].as_f64().expect("a bound");
    assert!(bound > 0.0 && bound < 1.0, "{bound}");
    let served = after.root_dispersion.to_span().as_seconds_f64();
    assert!(served > 0.0 && served < 1.0, "{served}");
    assert_eq!(process_of(&status, "sources")["state"], "ready");
    assert_eq!(daemon.stop().code(), Some(0));
    let daemon = place.start();
    daemon.wait_until("followed again", synchronised);
    assert!(daemon.log().contains("NTS keys and cookies of before restored=1"), "{}", daemon.log());
}

#[test]
fn without_news_time_is_served_on_with_growing_dispersion() {
    let (_server, _serving, place, sources) = pair();
    place.configure(&follower(&sources, "clock = \"observe\""));
    let daemon = place.start();
    daemon.wait_until("synchronised", synchronised);
    let (ntp, sources) = (daemon.address("ntp"), daemon.pid_of("sources"));
    signal("STOP", sources);
    let dispersion = || header(&daemon).root_dispersion;
    let (first, start) = (dispersion(), Instant::now());
    // 15 ppm and more of what the wire counts in 15 µs.
    while dispersion() <= first {
        assert!(start.elapsed() < PATIENCE, "the dispersion does not grow");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client::stratum(ntp), Some(4));
    signal("KILL", sources);
    let status = daemon.wait_until("the role is back", |status| {
        synchronised(status)
            && process_of(status, "sources")["pid"]
                .as_u64()
                .is_some_and(|pid| pid != u64::from(sources))
            && status["tracking"]["updates"].as_u64().is_some_and(|updates| updates > 0)
    });
    assert_eq!(process_of(&status, "sources")["last_end"], "signal 9");
    assert_eq!(process_of(&status, "ntp")["restarts"], 0);
    // And the other way round: who asks the sources finds a new warden.
    signal("KILL", daemon.pid_of("warden"));
    let status = daemon.wait_until("a new warden serves the time", |status| {
        process_of(status, "warden")["restarts"] == 1 && synchronised(status)
    });
    assert_eq!(process_of(&status, "sources")["restarts"], 1, "it did not have to start again");
    assert_eq!(header(&daemon).stratum, 4);
}

#[test]
fn a_clock_that_may_not_be_set_is_not_kept_and_that_is_said() {
    let (_server, _serving, place, sources) = pair();
    place.configure(&follower(&sources, ""));
    let (status, said) = place.start_in_vain();
    assert_eq!(status, Some(77), "{said}");
    assert!(said.contains("CAP_SYS_TIME") && said.contains("clock = \"observe\""), "{said}");
    // Nor by a reload: what is in force stays.
    place.configure(&follower(&sources, "clock = \"observe\""));
    let daemon = place.start();
    place.configure(&follower(&sources, "clock = \"keep\""));
    daemon.signal("HUP");
    let status =
        daemon.wait_until("refused", |status| status["configuration"]["refused"].is_object());
    let reason = status["configuration"]["refused"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("CAP_SYS_TIME"), "{reason}");
    assert_eq!(status["tracking"]["clock"], "observe");
    // Whoever is to set it once needs the right as well.
    let file = place.folder.join("noonmark.toml");
    let once = Command::new(env!("CARGO_BIN_EXE_noonmarkd"))
        .args(["--once", "--config"])
        .arg(&file)
        .output()
        .expect("built");
    assert_eq!(once.status.code(), Some(77), "{once:?}");
}

#[test]
fn a_dry_run_tells_what_it_learns_and_leaves_everything_alone() {
    let (_server, _serving, place, sources) = pair();
    // A configuration that could not be run as a daemon here: it needs the right that a dry run does not.
    place.configure(&follower(&sources, "clock = \"keep\""));
    noonmark_os::caps::drop_sys_time().expect("dropping needs no right");
    let mut child = Command::new(env!("CARGO_BIN_EXE_noonmarkd"))
        .args(["--dry-run", "--json", "--config"])
        .arg(place.folder.join("noonmark.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("built");
    let rows = BufReader::new(child.stdout.take().expect("piped")).lines();
    let found = rows
        .map(|row| serde_json::from_str::<Value>(&row.expect("text")).expect("JSON"))
        .find(|row| right(row) == 2 && row["sources"][0]["authenticated"] == true);
    // Nobody reads any more, so it ends by itself, and well.
    let status = child.wait().expect("our child");
    let found = found.expect("both sources are followed");
    assert_eq!(
        (&found["tracking"]["state"], &found["tracking"]["stratum"]),
        (&"synchronised".into(), &4.into())
    );
    assert_eq!(status.code(), Some(0));
    assert!(!place.folder.join("status.sock").exists() && !place.folder.join("state").exists());
}
