//! What is shed in overload, and in which order: listed clients never, then whoever has a good cookie, then everybody else.

mod client;

use std::time::Duration;

use client::{Client, Server, plain, unique};
use noonmark_nts::{Aead, SHORTEST_REQUEST_LEN};
use noonmark_server::{Batch, Counter, Load, ONSET, Policy, Pressure, STEP, Share, Shedding};
use noonmark_units::Mono;
use proptest::prelude::*;

const LISTED: &str = "10.1.2.3:123";

fn server() -> Server {
    let priority = vec!["10.1.0.0/16".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
    Server::with(Policy { shedding: Shedding::new(priority, [1, 2]), ..Policy::default() })
}

/// A thread that works without end, and what it sheds after a while.
struct Busy {
    load: Load,
    now: Mono,
}

impl Busy {
    fn new() -> Self {
        let mut load = Load::new();
        let now = Mono(1_000_000_000_000);
        load.look(now);
        Self { load, now }
    }

    /// Works for so long, with nothing but authentic answers.
    fn work(&mut self, time: Duration) -> Pressure {
        let end = Mono(self.now.0 + time.as_nanos() as u64);
        while self.now < end {
            self.now = Mono(self.now.0 + 500_000);
            self.load.worked(64, 64);
            self.load.look(self.now);
        }
        self.load.pressure()
    }

    /// Finds its sockets empty for so long.
    fn rest(&mut self, time: Duration) -> Pressure {
        for _ in 0..time.as_nanos() / STEP.as_nanos() {
            self.now = Mono(self.now.0 + STEP.as_nanos() as u64);
            self.load.idle();
            self.load.look(self.now);
        }
        self.load.pressure()
    }
}

/// Nothing is left of what proves nothing.
fn first_measure() -> Pressure {
    let pressure = Busy::new().work(ONSET + STEP);
    assert_eq!((pressure.rest(), pressure.interval()), (Share::NONE, None));
    pressure
}

/// And prefixes are held to the slowest pace.
fn last_measure() -> Pressure {
    let pressure = Busy::new().work(Duration::from_millis(500));
    assert_eq!((pressure.rest(), pressure.interval()), (Share::NONE, Some(Duration::from_secs(4))));
    pressure
}

fn forged(client: &Client) -> Vec<u8> {
    let mut request = client.request(0);
    // Within the cookie: 48 octets of header, 36 of the identifier, 4 of the field, 4 of the epoch.
    request[100] ^= 1;
    request
}

#[test]
fn what_proves_nothing_goes_first_and_whole() {
    let mut server = server();
    let client = Client::new(Aead::SivCmac256);
    let long = [plain(), unique(200)].concat();
    assert!(long.len() >= SHORTEST_REQUEST_LEN);
    server.responder.set_pressure(first_measure());
    server.check_silence(&plain(), Counter::ShedPlain);
    server.check_silence(&[plain(), unique(32)].concat(), Counter::ShedPlain);
    server.check_silence(&long, Counter::ShedPlain);
    server.check_silence(&forged(&client), Counter::ShedForged);
    for _ in 0..1000 {
        assert_eq!(client.open(&server.ask(&client.request(0)).expect("time")).len(), 1);
    }
    assert_eq!(server.count(Counter::CookieForged), 0, "no NTSN was considered");
}

#[test]
fn a_good_cookie_is_worth_the_share_of_its_prefix_and_no_more() {
    let mut server = server();
    let client = Client::new(Aead::Aes128GcmSiv);
    assert_eq!(client.request(0).len(), SHORTEST_REQUEST_LEN);
    server.responder.set_pressure(last_measure());
    let mut answers = |peer: &str, asked: usize| {
        (0..asked).filter(|_| server.ask_as(&client.request(0), peer).is_some()).count()
    };
    assert_eq!(answers("192.0.2.1:123", 100), 8, "what may come at once");
    assert_eq!(answers("192.0.2.200:123", 100), 0, "the same /24");
    assert_eq!(answers("192.0.3.1:123", 1), 1, "another is not touched by it");
    assert_eq!(answers("[2001:db8::1]:123", 100), 8);
    assert_eq!(answers("[2001:db8:0:ffff::1]:123", 100), 0, "the same /48");
    assert_eq!(answers(LISTED, 1000), 1000);
    assert_eq!(server.count(Counter::ShedAuthentic), 92 + 100 + 92 + 100);
    server.mono = Mono(server.mono.0 + 4_100_000_000);
    assert!(server.ask_as(&client.request(0), "192.0.2.1:123").is_some(), "one more in 4 s");
}

#[test]
fn forged_cookies_in_the_name_of_a_prefix_cost_it_nothing() {
    let mut server = server();
    let client = Client::new(Aead::SivCmac512);
    server.responder.set_pressure(last_measure());
    for _ in 0..1000 {
        server.check_silence(&forged(&client), Counter::ShedForged);
    }
    assert!(server.ask(&client.request(0)).is_some());
}

#[test]
fn listed_clients_get_what_they_would_without_overload() {
    let client = Client::new(Aead::SivCmac256);
    let requests = [plain(), [plain(), unique(200)].concat(), client.request(3), forged(&client)];
    for peer in [LISTED, "[2001:db8:1::5]:123", "[::ffff:10.1.2.3]:123"] {
        let answers = |pressure: Pressure| {
            let mut server = server();
            server.responder.set_pressure(pressure);
            requests.each_ref().map(|request| server.ask_as(request, peer))
        };
        let usual = answers(Pressure::NONE);
        assert!(usual.iter().all(Option::is_some));
        assert_eq!(answers(first_measure()), usual, "{peer}");
        assert_eq!(answers(last_measure()), usual, "{peer}");
    }
}

#[test]
fn a_share_of_what_proves_nothing_comes_back_first() {
    let mut busy = Busy::new();
    busy.work(ONSET + STEP);
    let mut answered = Vec::new();
    let mut server = server();
    for _ in 0..60 {
        server.responder.set_pressure(busy.rest(STEP));
        answered.push((0..1000).filter(|_| server.ask(&plain()).is_some()).count());
    }
    assert!((1..60).contains(&answered[0]), "{answered:?}");
    assert_eq!(answered.last(), Some(&1000), "{answered:?}");
    assert!(answered.is_sorted_by(|earlier, later| earlier <= &(later + 100)), "{answered:?}");
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    LongPlain,
    Forged,
    Authentic,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Plain), Just(Kind::LongPlain), Just(Kind::Forged), Just(Kind::Authentic)]
}

/// A batch, and whether the thread found its sockets empty afterwards.
fn batch() -> impl Strategy<Value = (Vec<(Kind, u8)>, bool)> {
    (proptest::collection::vec((kind(), 0_u8..12), 1..64), prop::bool::weighted(0.05))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever comes: while anybody with a good cookie is shed nothing else is answered, and who is listed always is.
    #[test]
    fn the_order_of_shedding_is_never_violated(
        batches in proptest::collection::vec(batch(), 1..120),
        quiet in 1_u64..400,
    ) {
        let mut server = server();
        let client = Client::new(Aead::SivCmac256);
        let requests = [plain(), [plain(), unique(200)].concat(), forged(&client), client.request(0)];
        let mut load = Load::new();
        let mut shed = 0;
        for (datagrams, is_idle) in &batches {
            server.mono = Mono(server.mono.0 + 2_000_000);
            let pressure = load.look(server.mono);
            server.responder.set_pressure(pressure);
            let mut batch = Batch::new();
            for (kind, from) in datagrams {
                // One network in twelve is listed.
                let peer = format!("10.{}.2.3:123", 1 + from);
                batch.push(&requests[*kind as usize], server.envelope(&peer));
            }
            let count = |server: &Server| {
                [Counter::ShedAuthentic, Counter::AnsweredNts].map(|counter| server.count(counter))
            };
            let before = count(&server);
            server.respond(&mut batch);
            let [shed_authentic, authentic] = {
                let after = count(&server);
                [after[0] - before[0], after[1] - before[1]]
            };
            load.worked(datagrams.len() as u64, authentic);
            if *is_idle {
                load.idle();
            }
            shed += shed_authentic;
            for ((kind, from), slot) in datagrams.iter().zip(batch.slots()) {
                let is_listed = *from == 0;
                let is_answered = slot.answer().is_some();
                prop_assert!(!is_listed || is_answered, "{kind:?} from a listed prefix");
                let proves = matches!(kind, Kind::Authentic);
                prop_assert!(pressure.is_on() || is_answered, "{kind:?} without overload");
                prop_assert!(
                    shed_authentic == 0 || is_listed || proves || !is_answered,
                    "{kind:?} answered while a good cookie was not"
                );
            }
        }
        prop_assert!(shed == 0 || server.count(Counter::ShedPlain) + server.count(Counter::ShedForged) > 0
            || batches.iter().flat_map(|(all, _)| all).all(|(kind, from)| matches!(kind, Kind::Authentic) || *from == 0));
        // The flood is over: a datagram now and then, and within a second all is as before.
        let end = server.mono.0 + 1_000_000_000;
        while server.mono.0 < end {
            load.idle();
            server.mono = Mono(server.mono.0 + quiet * 1_000_000);
            load.look(server.mono);
        }
        prop_assert_eq!(load.pressure(), Pressure::NONE);
    }
}
