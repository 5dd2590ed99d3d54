//! Interleaved mode, against a server that knows it and against others.

use std::collections::HashSet;

use noonmark_client::{Association, Output, Plan, Polling, Settings};
use noonmark_packet::{Header, Mode, Packet};
use noonmark_units::{PollExponent, Precision, Span, Timestamp};

use crate::server::{Answer, agreement, cookies, keys};
use crate::{Rig, names, random};

/// A server as RFC 9769 §2 wants it. Its transmit stamp in a packet is early by `haste`; the true one is known afterwards.
struct Server {
    /// Receive stamp of a question, and when its answer really left.
    sent: Vec<(Timestamp, Timestamp)>,
    haste: Span,
    /// Whether the last answer was an interleaved one.
    interleaves: bool,
}

impl Server {
    fn new() -> Self {
        Self { sent: Vec::new(), haste: Span::from_nanos(300_000), interleaves: false }
    }

    fn answer(&mut self, request: &[u8], arrived: Timestamp) -> Answer {
        let asked = Header::from_octets(request[..48].try_into().expect("a header"));
        let mut answer = Answer::plain(request, arrived, Span::ZERO);
        let left = arrived + self.haste;
        let known = self.sent.iter().position(|(receive, _)| *receive == asked.origin);
        self.interleaves = asked.receive != asked.transmit && known.is_some();
        if let Some(place) = known.filter(|_| self.interleaves) {
            let (_, transmit) = self.sent.remove(place);
            answer.header.origin = asked.receive;
            answer.header.transmit = transmit;
        }
        self.sent.push((arrived, left));
        answer
    }
}

fn rig(interleaved: bool) -> Rig {
    let plan = Plan::Polled(Polling { min_poll: PollExponent(4), ..Polling::default() });
    let mut rig = Rig::plain(plan);
    let mut settings = Settings::new(plan, Precision(-25));
    settings.interleaved = interleaved;
    rig.association = Association::plain(settings, random(5), rig.now);
    rig
}

#[test]
fn the_answers_bring_the_true_transmit_time_of_the_answer_before() {
    let (mut rig, mut server) = (rig(true), Server::new());
    let mut exact = 0;
    for number in 0..20 {
        let request = rig.question();
        let answer = server.answer(&request, rig.clock()).octets();
        // The packet takes no time to the server and 1 ms less `haste` back.
        let outputs = rig.arrive(&answer);
        assert_eq!(server.interleaves, number > 0);
        assert_eq!(rig.association.is_interleaved(), number > 0);
        match number {
            // The first answer is a basic one, and the second completes what has been used already.
            0 => assert_eq!(names(&outputs), ["measured"]),
            1 => assert_eq!(names(&outputs), [""; 0]),
            _ => {
                let Output::Measured(exchange) = &outputs[0] else { panic!("{outputs:?}") };
                assert_eq!(exchange.held(), Span::from_nanos(300_000));
                let expected = Span::from_nanos(700_000);
                assert!((exchange.delay() - expected).abs() <= Span::from_nanos(2));
                exact += 1;
            }
        }
    }
    assert_eq!(exact, 18);
    assert_eq!(rig.association.reach(), 0xff);
}

#[test]
fn a_server_that_does_not_know_it_is_asked_and_believed_as_ever() {
    let mut rig = rig(true);
    for _ in 0..20 {
        let request = rig.question();
        let answer = Answer::plain(&request, rig.clock(), Span::ZERO).octets();
        assert_eq!(names(&rig.arrive(&answer)), ["measured"]);
        assert!(!rig.association.is_interleaved());
    }
}

#[test]
fn lost_answers_lead_back_to_the_basic_mode() {
    let (mut rig, mut server) = (rig(true), Server::new());
    for _ in 0..3 {
        let request = rig.question();
        let answer = server.answer(&request, rig.clock()).octets();
        rig.arrive(&answer);
    }
    for lost in 0..6 {
        let request = rig.question();
        let header = Header::from_octets(request[..48].try_into().expect("a header"));
        assert_eq!(header.origin.is_unset(), lost >= 4, "after {lost}");
        assert_eq!(header.receive.is_unset(), lost >= 4, "after {lost}");
    }
    // And forward again.
    for expected in [&["measured"][..], &[], &["measured"]] {
        let request = rig.question();
        let answer = server.answer(&request, rig.clock()).octets();
        assert_eq!(names(&rig.arrive(&answer)), expected);
    }
}

#[test]
fn stamps_in_questions_are_random_and_never_alike() {
    let (mut rig, mut server) = (rig(true), Server::new());
    let mut seen = HashSet::new();
    for number in 0..1000 {
        let request = rig.question();
        let header = Header::from_octets(request[..48].try_into().expect("a header"));
        assert_ne!(header.receive, header.transmit);
        assert!(seen.insert(header.transmit));
        assert!(number == 0 || seen.insert(header.receive));
        for stamp in [header.receive, header.transmit] {
            assert_ne!(stamp.to_bits() >> 40, rig.clock().to_bits() >> 40, "of our clock");
        }
        assert!(header.reference_time.is_unset());
        let answer = server.answer(&request, rig.clock()).octets();
        rig.arrive(&answer);
    }
}

#[test]
fn a_basic_association_is_not_forced_into_it() {
    let mut rig = rig(false);
    let request = rig.question();
    rig.arrive(&Answer::plain(&request, rig.clock(), Span::ZERO).octets());
    let request = rig.question();
    assert_eq!(request[24..40], [0; 16]);
    let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
    let good = answer.octets();
    // CVE-2016-1548: an origin of zero is the receive stamp of a basic question.
    answer.header.origin = Timestamp::UNSET;
    assert_eq!(names(&rig.arrive(&answer.octets())), ["wrong-origin"]);
    assert_eq!(names(&rig.arrive(&good)), ["measured"]);
}

#[test]
fn bad_interleaved_answers_change_nothing() {
    fn check(expected: &str, change: impl Fn(&mut Header)) {
        let (mut rig, mut server) = (rig(true), Server::new());
        for _ in 0..3 {
            let request = rig.question();
            let answer = server.answer(&request, rig.clock()).octets();
            rig.arrive(&answer);
        }
        let request = rig.question();
        let mut answer = server.answer(&request, rig.clock());
        let good = answer.octets();
        change(&mut answer.header);
        assert_eq!(names(&rig.arrive(&answer.octets())), [expected]);
        assert_eq!(names(&rig.arrive(&good)), ["measured"], "after {expected}");
        assert_eq!(names(&rig.arrive(&good)), ["unsolicited"], "one answer");
    }
    check("wrong-origin", |h| h.origin = Timestamp::from_bits(h.origin.to_bits() ^ 1));
    check("wrong-mode", |h| h.mode = Mode::SymmetricPassive);
    check("stamp-missing", |h| h.receive = Timestamp::UNSET);
    check("stamp-missing", |h| h.transmit = Timestamp::UNSET);
    check("reference-in-future", |h| h.reference_time = h.receive + Span::from_bits(1));
    check("held", |h| h.transmit = h.transmit - Span::from_seconds(1));
    check("held", |h| h.transmit = h.transmit + Span::from_seconds(5));
}

#[test]
fn a_server_set_between_two_answers_is_still_believed() {
    let (mut rig, mut server) = (rig(true), Server::new());
    for _ in 0..3 {
        let request = rig.question();
        rig.arrive(&server.answer(&request, rig.clock()).octets());
    }
    let request = rig.question();
    let mut answer = server.answer(&request, rig.clock());
    // Later than the old transmit stamp, earlier than the new receive stamp.
    answer.header.reference_time = answer.header.receive - Span::from_seconds(1);
    assert!(answer.header.reference_time - answer.header.transmit > Span::ZERO);
    assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
}

#[test]
fn a_step_of_our_clock_moves_what_is_remembered() {
    let (mut rig, mut server) = (rig(true), Server::new());
    for _ in 0..3 {
        let request = rig.question();
        rig.arrive(&server.answer(&request, rig.clock()).octets());
    }
    let by = Span::from_seconds(-20);
    rig.association.handle_step(by);
    let request = rig.question();
    let outputs = rig.arrive(&server.answer(&request, rig.clock()).octets());
    let Output::Measured(exchange) = &outputs[0] else { panic!("{outputs:?}") };
    assert!((exchange.offset() + by).abs() < Span::from_nanos(1_000_000), "{}", exchange.offset());
}

#[test]
fn with_nts_it_works_as_well() {
    let (mut server, session) = (Server::new(), keys(noonmark_nts::Aead::SivCmac256, 3));
    let plan = Plan::Polled(Polling::default());
    let mut rig = Rig::nts(plan);
    let mut settings = Settings::new(plan, Precision(-25));
    settings.interleaved = true;
    rig.association = Association::nts(settings, random(5), rig.now);
    rig.time_out();
    rig.association.handle_agreement(agreement(session.clone(), None, cookies(8, 100, 0)), rig.now);
    for number in 0..10u8 {
        let request = rig.question();
        assert!(Packet::parse(&request).is_ok_and(|packet| packet.contents().is_ok()));
        let mut answer = server.answer(&request, rig.clock());
        answer.sealed = Some((session.clone(), cookies(1, 100, number)));
        let outputs = rig.arrive(&answer.octets());
        let expected: &[&str] = if number == 1 { &[] } else { &["measured"] };
        assert_eq!(names(&outputs), expected);
        assert_eq!(rig.association.is_interleaved(), number > 0);
    }
}
