//! Certificates out of their time.

use std::time::{Duration, SystemTime};

use crate::client;
use crate::fixture::{CONFIGURATION, Place};

#[test]
fn certificate_out_of_its_time_is_served_and_said() {
    let now = SystemTime::now();
    let days = |count: u64| Duration::from_secs(count * 86_400);
    let place = Place::new();
    place.authority.issue_for(&place.folder, now - days(90), now - days(1));
    let daemon = place.start();
    let said = |words: &str| daemon.log().matches(words).count();
    let status = daemon.wait_until("what it says is known", |status| {
        status["certificate"]["validity"].is_string()
    });
    let certificate = &status["certificate"];
    assert_eq!(
        (&certificate["validity"], &certificate["generation"]),
        (&"expired".into(), &1.into())
    );
    assert_eq!(certificate["names"], serde_json::json!(["localhost"]));
    assert_eq!(certificate["spki_sha256"].as_str().map(str::len), Some(64));
    let ends = certificate["ends_in_seconds"].as_i64().expect("a number");
    assert!((-87_000..=-86_400).contains(&ends), "{ends}");
    let expired = "warn launcher: certificate has expired: clients refuse it names=localhost";
    assert_eq!(said(expired), 1, "{}", daemon.log());
    assert!(client::establish(daemon.address("nts-ke"), &place.authority.pem()).is_err());

    daemon.signal("HUP");
    daemon.wait_until("read again", |_| said(expired) == 2);

    let replaced = |from, to, validity: &str| {
        place.authority.issue_for(&place.folder, from, to);
        let status =
            daemon.wait_until(validity, |status| status["certificate"]["validity"] == validity);
        status["certificate"]["generation"].clone()
    };
    assert_eq!(replaced(now - days(80), now + days(10), "ends-soon"), 3);
    daemon.wait_until("a warning", |_| said("warn launcher: certificate ends soon") == 1);
    assert_eq!(replaced(now + days(1), now + days(90), "not-yet-valid"), 4);
    daemon.wait_until("another one", |_| said("or this machine's clock is not set") == 1);
    assert_eq!(replaced(now - days(1), now + days(90), "valid"), 5);
    client::establish(daemon.address("nts-ke"), &place.authority.pem()).expect("keys");
    assert_eq!(said("warn launcher: certificate"), 4, "{}", daemon.log());

    // Nothing is left of it when key establishment is given up.
    let (before, after) = CONFIGURATION.split_once("[nts]").expect("configured");
    let (_, after) = after.split_once("\n\n").expect("more tables");
    place.configure(&format!("{before}{after}"));
    daemon.signal("HUP");
    daemon.wait_until("no certificate", |status| {
        status["certificate"].is_null() && status["configuration"]["generation"] == 3
    });
}
