//! What is known of the clock outlives a reload and the processes that know it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use noonmark_packet::{HEADER_LEN, Header, Leap, Packet};
use noonmark_units::Timestamp;
use serde_json::Value;

use crate::fixture::{Daemon, process_of, signal};
use crate::sources::{follower, pair, right, synchronised};

/// Asks a server every 10 ms and looks whether it says even once that it is not synchronised.
struct Onlooker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Vec<Header>)>,
}

impl Onlooker {
    fn of(server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("free");
            socket.connect(server).expect("an address");
            socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
            let (mut answers, mut unsynchronised) = (0, Vec::new());
            while !seen.load(Ordering::Relaxed) {
                let mut datagram = [0; HEADER_LEN];
                Header::client(Timestamp::from_bits(7)).write(&mut datagram);
                // Nobody may listen for a moment.
                let _ = socket.send(&datagram);
                if let Ok(len) = socket.recv(&mut datagram) {
                    let header = Packet::parse(&datagram[..len]).expect("a packet").header();
                    answers += 1;
                    if header.leap == Leap::Unsynchronised || header.stratum == 0 {
                        unsynchronised.push(header);
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            (answers, unsynchronised)
        });
        Self { stop, thread }
    }

    /// Stops, and says how many answers came and which of them were of no use.
    fn finish(self) -> (u32, Vec<Header>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn source<'a>(status: &'a Value, name: &str) -> &'a Value {
    let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    sources.iter().find(|source| source["name"] == name).unwrap_or(&Value::Null)
}

fn restarts(daemon: &Daemon, role: &str) -> u64 {
    let status =
        daemon.wait_until("the role runs", |status| process_of(status, role)["pid"].is_u64());
    process_of(&status, role)["restarts"].as_u64().expect("a number")
}

#[test]
fn a_reload_keeps_the_sources_that_stay_and_all_that_is_known_of_them() {
    let (_server, serving, place, sources) = pair();
    place.configure(&follower(&sources, "clock = \"observe\""));
    let daemon = place.start();
    let both = |status: &Value| synchronised(status) && right(status) == 2;
    let before = daemon.wait_until("both are followed", both);
    let pid = daemon.pid_of("sources");
    let v6 = serving.addresses("ntp").into_iter().find(SocketAddr::is_ipv6).expect("it listens");
    // One more, and another rule.
    let more =
        format!("{sources}[[source]]\nserver = \"::1\"\nport = {}\nminpoll = 0\n", v6.port());
    place.configure(&follower(&more, "clock = \"observe\"\nmin-sources = 2"));
    daemon.signal("HUP");
    let after = daemon
        .wait_until("three are followed", |status| synchronised(status) && right(status) == 3);
    assert_eq!(daemon.pid_of("sources"), pid, "the process goes on");
    for name in ["localhost", "127.0.0.1"] {
        let (was, is) = (source(&before, name), source(&after, name));
        assert_eq!(was["number"], is["number"], "{name}");
        assert!(is["measured"].as_u64() >= was["measured"].as_u64(), "{name}: {is}");
    }
    assert!(after["tracking"]["updates"].as_u64() > before["tracking"]["updates"].as_u64());
    // One less, and another option.
    let less = sources.replacen("minpoll = 0\n", "minpoll = 0\nnoselect = true\n", 1);
    place.configure(&follower(&less, "clock = \"observe\""));
    daemon.signal("HUP");
    let last = daemon.wait_until("one is followed", |status| {
        source(status, "localhost")["state"] == "noselect"
            && source(status, "127.0.0.1")["state"] == "followed"
    });
    assert!(source(&last, "::1").is_null(), "{last}");
    assert_eq!(source(&last, "localhost")["number"], source(&before, "localhost")["number"]);
    assert_eq!(daemon.pid_of("sources"), pid);
    let log = daemon.log();
    assert_eq!(log.matches("NTS keys established").count(), 1, "{log}");
}

#[test]
fn time_known_once_is_served_on_whoever_of_those_who_know_it_ends() {
    let (_server, serving, place, sources) = pair();
    place.configure(&follower(&sources, "clock = \"observe\""));
    let daemon = place.start();
    let both = |status: &Value| synchronised(status) && right(status) == 2;
    daemon.wait_until("both are followed", both);
    let onlooker = Onlooker::of(daemon.address("ntp"));
    let v6 = serving.addresses("ntp").into_iter().find(SocketAddr::is_ipv6).expect("it listens");
    let more =
        format!("{sources}[[source]]\nserver = \"::1\"\nport = {}\nminpoll = 0\n", v6.port());
    place.configure(&follower(&more, "clock = \"observe\""));
    daemon.signal("HUP");
    let three = |status: &Value| synchronised(status) && right(status) == 3;
    daemon.wait_until("three are followed", three);
    for (role, rounds) in [("sources", 1), ("warden", 2), ("sources", 2)] {
        let (ended, before) = (daemon.pid_of(role), restarts(&daemon, role));
        signal("KILL", ended);
        daemon.wait_until("the role is back", |status| {
            let process = process_of(status, role);
            process["restarts"].as_u64() > Some(before)
                && process["state"] == "ready"
                && three(status)
        });
        assert!(restarts(&daemon, role) > 0, "{rounds}");
    }
    // A new warden by a reload.
    let warden = daemon.pid_of("warden");
    place.configure(&follower(&more, "clock = \"observe\"\nmax-distance = \"2s\""));
    daemon.signal("HUP");
    daemon.wait_until("a new warden", |status| {
        process_of(status, "warden")["pid"].as_u64().is_some_and(|pid| pid != u64::from(warden))
            && three(status)
    });
    std::thread::sleep(Duration::from_secs(2));
    let (answers, unsynchronised) = onlooker.finish();
    assert!(answers > 100, "{answers}");
    assert!(unsynchronised.is_empty(), "of {answers}: {unsynchronised:?}\n{}", daemon.log());
}
