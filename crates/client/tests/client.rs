//! One server asked over loopback, whose answers are of no use.

mod stratum_one;

use std::net::UdpSocket;
use std::time::Duration;

use noonmark_client::{Client, Event, Plan, Refusal, Settings};
use noonmark_os::clock;
use noonmark_packet::{Header, Leap};
use noonmark_units::Timestamp;

/// Asks twice a server that answers so; `None` is silence.
async fn ask(change: fn(&mut Header), answers: bool) -> Vec<Event> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let server = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut room = [0; 1024];
        while let Ok((len, from)) = socket.recv_from(&mut room) {
            let stamp = Timestamp::from_unix(clock::realtime());
            let mut answer = stratum_one::answer(&room[..len], stamp);
            change(&mut answer);
            if answers && socket.send_to(&answer.to_octets(), from).is_err() {
                return;
            }
        }
    });
    let plan = Plan::Count { questions: 2, spacing: Duration::from_millis(10) };
    let settings =
        Settings { window: Duration::from_millis(300), ..Settings::new(plan, clock::precision()) };
    let mut client = Client::plain(server, settings).expect("randomness");
    let mut events = Vec::new();
    while let Some(event) = client.next().await {
        events.push(event);
    }
    events
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Measured(_) => "measured",
        Event::Refused(_) => "refused",
        Event::Dropped(Refusal::Unusable { .. }) => "unusable",
        Event::Dropped(_) => "dropped",
        Event::Unanswered => "unanswered",
        _ => "something else",
    }
}

#[tokio::test]
async fn silence_is_told_from_answers_of_no_use() {
    async fn check(change: fn(&mut Header), answers: bool, expected: &[&str]) {
        let events = ask(change, answers).await;
        assert_eq!(events.iter().map(name).collect::<Vec<_>>(), expected, "{events:?}");
    }
    check(|_| (), true, &["measured"; 2]).await;
    check(|_| (), false, &["unanswered"; 2]).await;
    let refused_twice = ["refused", "unusable", "refused", "unusable"];
    check(|answer| answer.leap = Leap::Unsynchronised, true, &refused_twice).await;
    let dropped_twice = ["refused", "dropped", "refused", "dropped"];
    check(|answer| answer.origin = Timestamp::UNSET, true, &dropped_twice).await;
}
