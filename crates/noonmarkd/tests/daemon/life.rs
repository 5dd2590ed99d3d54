//! Roles that hang, and what is told of those that ended.

use std::time::{Duration, Instant};

use crate::client;
use crate::fixture::{CONFIGURATION, PATIENCE, Place, is_alive, process_of, signal};

#[test]
fn stopped_role_is_noticed_and_forgiven_if_it_goes_on() {
    let place = Place::new();
    let daemon = place.start();
    for role in ["ntp", "ke", "warden"] {
        let pid = daemon.pid_of(role);
        signal("STOP", pid);
        let status = daemon.wait_until(role, |status| process_of(status, role)["state"] == "hung");
        assert_eq!(status["ready"], false, "{role}");
        let silent = process_of(&status, role)["silent_seconds"].as_f64().expect("hung");
        assert!((5.0..30.0).contains(&silent), "{role}: {silent}");
        signal("CONT", pid);
        let status = daemon.wait_until("it goes on", |status| status["ready"] == true);
        let process = process_of(&status, role);
        assert_eq!((&process["pid"], &process["restarts"]), (&pid.into(), &0.into()), "{role}");
        assert!(process["silent_seconds"].is_null(), "{process}");
    }
    let log = daemon.log();
    assert!(
        log.contains("warn launcher: role hangs or is stopped: no sign of life role=ntp"),
        "{log}"
    );
    assert!(log.contains("role gives signs of life again role=warden"), "{log}");
}

#[test]
fn role_that_stays_stopped_is_started_again() {
    let place = Place::new();
    let daemon = place.start();
    let before = ["ntp", "observe"].map(|role| daemon.pid_of(role));
    before.into_iter().for_each(|pid| signal("STOP", pid));
    // Nobody answers until observe has been started again.
    let deadline = Instant::now() + 3 * PATIENCE;
    let again = |status: &serde_json::Value| {
        status["ready"] == true && process_of(status, "ntp")["restarts"] == 1
    };
    let status = loop {
        match daemon.status_within(Duration::from_secs(1)) {
            Some(status) if again(&status) => break status,
            last => assert!(Instant::now() < deadline, "{last:?}\n{}", daemon.log()),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    for role in ["ntp", "observe"] {
        assert_eq!(process_of(&status, role)["last_end"], "hung", "{role}");
    }
    assert!(!before.into_iter().any(is_alive));
    assert_eq!(client::stratum(daemon.address("ntp")), Some(3));
}

#[test]
fn last_end_of_a_role_stays_what_it_was_after_a_reload() {
    let place = Place::new();
    let daemon = place.start();
    signal("KILL", daemon.pid_of("ntp"));
    daemon.wait_until("started again", |status| {
        process_of(status, "ntp")["restarts"] == 1 && status["ready"] == true
    });
    // Another stratum replaces ntp's process, too.
    place.configure(&CONFIGURATION.replace("local-stratum = 3", "local-stratum = 4"));
    daemon.signal("HUP");
    let status = daemon.wait_until("taken", |status| {
        status["configuration"]["generation"] == 2 && status["ready"] == true
    });
    let process = process_of(&status, "ntp");
    assert_eq!((&process["restarts"], &process["last_end"]), (&1.into(), &"signal 9".into()));
    assert!(process["last_end_time"].is_string(), "{process}");
    let ago = process["last_end_seconds_ago"].as_f64().expect("it has ended");
    assert!((0.0..60.0).contains(&ago), "{ago}");
    assert!(process_of(&status, "ke")["last_end"].is_null(), "what was wanted is no end");
}
