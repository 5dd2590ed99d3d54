//! Answers around a leap second, announced or smeared, while the machine's clock is set at it.

mod client;

use client::{Server, plain};
use noonmark_clock::leap::{LeapSecond, Shape, Smear};
use noonmark_packet::{Header, Leap, Packet};
use noonmark_server::{ClockState, SMEARED, ServedSmear};
use noonmark_units::{Mono, Span, Timestamp, UnixTime};

/// The end of 2027-06-30, and the local clock then.
const AT: UnixTime = UnixTime { seconds: 1_814_400_000, nanos: 0 };
const THEN: i64 = 200_000 * 1_000_000_000;

/// The answer of a server whose clock, which the kernel sets at `leap`, would show the end of the day `since` ago if it went on counting.
fn ask(server: &mut Server, leap: LeapSecond, since: Span) -> Header {
    let instant = if leap.inserted { Span::ZERO } else { Span::from_seconds(-1) };
    let set = if since >= instant { leap.jump() } else { Span::ZERO };
    server.time = leap.at_stamp() + since + set;
    server.mono = Mono((THEN + since.as_nanos()).unsigned_abs());
    let answer = server.ask(&plain()).expect("an answer");
    Packet::parse(&answer).expect("a packet").header()
}

#[test]
fn a_leap_second_is_announced_until_it_is_over() {
    for (leap, inserted) in [(Leap::InsertSecond, true), (Leap::DeleteSecond, false)] {
        let mut server = Server::new();
        let second = LeapSecond { at: AT, inserted };
        server.state = ClockState { leap, leap_until: second.at_stamp(), ..server.state };
        let mut check = |since: f64, expected| {
            let header = ask(&mut server, second, Span::from_seconds_f64(since));
            assert_eq!(header.leap, expected, "{leap} {since}");
        };
        check(-5000.0, leap);
        check(-1.1, leap);
        // The clock shows 23:59:59 again in the first second of an inserted one, and the next day in that of one left out.
        check(if inserted { 0.9 } else { -0.9 }, if inserted { leap } else { Leap::None });
        check(1.1, Leap::None);
        check(5000.0, Leap::None);
    }
}

#[test]
fn smeared_time_is_continuous_and_announces_nothing() {
    for (inserted, shape) in
        [(true, Shape::Linear), (false, Shape::Linear), (true, Shape::Quadratic)]
    {
        let leap = LeapSecond { at: AT, inserted };
        let smear = Smear { leap, shape, seconds: Smear::DAY };
        let zero = leap.at_stamp() - Span::from_nanos(THEN);
        let mut server = Server::new();
        let reference_time = leap.at_stamp() - Span::from_seconds(100_000);
        server.state =
            ClockState { smear: Some(ServedSmear { smear, zero }), reference_time, ..server.state };
        let unsmeared = server.state.reference_id;
        let mut last: Option<(Span, Header)> = None;
        let seconds = (-50_000..50_000).step_by(611).map(Span::from_seconds);
        let tenths = (-30..30).map(|tenth| Span::from_nanos(tenth * 100_000_000));
        let mut times: Vec<Span> = seconds.chain(tenths).collect();
        times.sort();
        for since in times {
            let header = ask(&mut server, leap, since);
            assert_eq!(header.leap, Leap::None);
            let continuous = leap.at_stamp() + since;
            let is_smeared = smear.is_under_way(continuous);
            assert_eq!(header.reference_id, if is_smeared { SMEARED } else { unsmeared });
            let off = header.transmit - (continuous + smear.offset(continuous));
            assert!(off.abs() < Span::from_nanos(100_000), "{shape:?} {since}: {off}");
            assert!(header.transmit - header.receive > Span::ZERO);
            assert!(header.transmit - header.receive < Span::from_nanos(200_000));
            assert!(!(header.transmit - header.reference_time).is_negative());
            if let Some((before, earlier)) = &last {
                let served = header.receive - earlier.receive;
                let passed = since - *before;
                let most = Span::from_seconds_f64(passed.as_seconds_f64() * 24e-6 + 1e-6);
                assert!((served - passed).abs() <= most, "{shape:?} {since}: {served} of {passed}");
            }
            last = Some((since, header));
        }
    }
}

#[test]
fn a_batch_may_lie_on_both_sides_of_the_leap_second() {
    let leap = LeapSecond { at: AT, inserted: true };
    let smear = Smear { leap, shape: Shape::Linear, seconds: Smear::DAY };
    let mut server = Server::new();
    let zero: Timestamp = leap.at_stamp() - Span::from_nanos(THEN);
    server.state = ClockState { smear: Some(ServedSmear { smear, zero }), ..server.state };
    // It came 3 ms before the clock was set and is answered 2 ms after.
    server.age = Span::from_nanos(5_000_000) - Span::from_seconds(1);
    let header = ask(&mut server, leap, Span::from_nanos(2_000_000));
    let held = header.transmit - header.receive;
    assert!(
        held > Span::from_nanos(4_900_000) && held < Span::from_nanos(5_200_000),
        "held for {held}"
    );
}
