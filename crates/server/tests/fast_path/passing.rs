//! What passes up to the sockets.

use std::net::IpAddr;

use noonmark_clock::leap::{LeapSecond, Shape, Smear};
use noonmark_os::bpf::verdict;
use noonmark_os::clock::Bearings;
use noonmark_packet::{Leap, Version};
use noonmark_server::fast_path::FastCounter;
use noonmark_server::{ClockState, ServedSmear, Versions};
use noonmark_units::{Mono, Timestamp, UnixTime};

use crate::bench::{Bench, OPEN, Rules, Scene, decisions, place};
use crate::frames::{CLIENT, Frame, SERVER};
use crate::same::{OURS, request, scene};
use crate::{Numbers, object};

/// A bench for requests that are answered.
struct Table {
    bench: Bench,
    numbers: Numbers,
    scene: Scene,
}

impl Table {
    fn new(rules: Rules) -> Self {
        let mut numbers = Numbers::new(7);
        let scene = scene(&mut numbers);
        let bench = Bench::new(&object(true), rules, &OURS.map(|ours| place(ours, None)));
        Self { bench, numbers, scene }
    }

    fn frame(&mut self, ours: usize) -> Frame {
        let from: [IpAddr; 2] = [[192, 0, 2, 7].into(), "2001:db8:7::9".parse().unwrap()];
        let payload = request(&mut self.numbers, 4);
        Frame::request((from[ours], 321).into(), (OURS[ours], 123).into(), &payload)
    }

    /// That octets pass up unchanged, counted as this or not at all.
    fn passes(&mut self, what: &str, octets: &[u8], counted: Option<FastCounter>) {
        self.bench.set(&self.scene);
        let (verdict, after) = self.bench.run(octets);
        assert_eq!((verdict, after.as_slice()), (verdict::PASS, octets), "{what}");
        assert_eq!(self.bench.counted(), counted.into_iter().collect::<Vec<_>>(), "{what}");
    }

    fn answers(&mut self, what: &str, octets: &[u8]) {
        self.bench.set(&self.scene);
        assert_eq!(self.bench.run(octets).0, verdict::TRANSMIT, "{what}");
        assert_eq!(self.bench.counted(), [FastCounter::Answered], "{what}");
    }
}

/// The header checksum of IPv4 made good again.
fn repaired(mut octets: Vec<u8>) -> Vec<u8> {
    octets[24..26].fill(0);
    let sum = !crate::frames::sum(&octets[14..34]);
    octets[24..26].copy_from_slice(&sum.to_be_bytes());
    octets
}

pub(crate) fn whatever_is_no_plain_request_passes_up() {
    use FastCounter::{PassedChecksum, PassedForm};
    let mut table = Table::new(OPEN());
    let good4 = table.frame(0).octets();
    let good6 = table.frame(1).octets();
    table.answers("IPv4", &good4);
    table.answers("IPv6", &good6);
    let with = |good: &[u8], changes: &[(usize, u8)]| {
        let mut octets = good.to_vec();
        changes.iter().for_each(|(at, value)| octets[*at] = *value);
        octets
    };
    for first in 0..=255_u8 {
        for ours in 0..2 {
            let mut frame = table.frame(ours);
            frame.payload[0] = first;
            let is_ours = first & 7 == 3 && matches!(first >> 3 & 7, 3 | 4);
            let name = format!("first octet {first:#04x}");
            if is_ours {
                table.answers(&name, &frame.octets());
            } else {
                table.passes(&name, &frame.octets(), Some(PassedForm));
            }
        }
    }
    for len in [40, 47, 49, 52, 68, 200, 1400] {
        let mut frame = table.frame(0);
        frame.payload.resize(len, 0);
        // Of frames shorter than any with a request nothing is looked at.
        table.passes(&format!("{len} octets"), &frame.octets(), (len > 48).then_some(PassedForm));
        let mut frame = table.frame(1);
        frame.payload.resize(len, 0);
        table.passes(
            &format!("{len} octets over IPv6"),
            &frame.octets(),
            (len > 48).then_some(PassedForm),
        );
    }
    let mut padded = good4.clone();
    padded.push(0);
    table.passes("an octet behind it", &padded, Some(PassedForm));
    let check4 = |table: &mut Table, what: &str, changes: &[(usize, u8)], counted| {
        table.passes(what, &repaired(with(&good4, changes)), counted);
    };
    check4(&mut table, "options", &[(14, 0x46)], None);
    check4(&mut table, "IP version 5", &[(14, 0x55)], None);
    check4(&mut table, "more fragments", &[(20, 0x20)], None);
    check4(&mut table, "a later fragment", &[(20, 0), (21, 1)], None);
    check4(&mut table, "the evil bit", &[(20, 0x80)], None);
    check4(&mut table, "TCP", &[(23, 6)], None);
    check4(&mut table, "longer than it says", &[(17, 75)], Some(PassedForm));
    check4(&mut table, "shorter than it says", &[(17, 77)], Some(PassedForm));
    check4(&mut table, "another length in UDP", &[(39, 55)], Some(PassedForm));
    check4(&mut table, "from port 0", &[(34, 0), (35, 0)], Some(PassedForm));
    check4(&mut table, "from nowhere", &[(26, 0)], Some(PassedForm));
    check4(&mut table, "from itself", &[(26, 127)], Some(PassedForm));
    check4(&mut table, "from a group", &[(26, 224)], Some(PassedForm));
    check4(&mut table, "from everybody", &[(26, 255)], Some(PassedForm));
    check4(&mut table, "a wrong checksum", &[(40, good4[40] ^ 1)], Some(PassedChecksum));
    table.passes(
        "a wrong header checksum",
        &with(&good4, &[(24, good4[24] ^ 1)]),
        Some(PassedChecksum),
    );
    table.answers("no checksum", &with(&good4, &[(40, 0), (41, 0)]));
    let whole = repaired(with(&good4, &[(20, 0)]));
    table.answers("may be fragmented, and is not", &whole);

    let check6 = |table: &mut Table, what: &str, changes: &[(usize, u8)], counted| {
        table.passes(what, &with(&good6, changes), counted);
    };
    check6(&mut table, "hop-by-hop options", &[(20, 0)], None);
    check6(&mut table, "a fragment header", &[(20, 44)], None);
    check6(&mut table, "IP version 4", &[(14, 0x45)], None);
    check6(&mut table, "another length", &[(19, 55)], Some(PassedForm));
    check6(&mut table, "from a group", &[(22, 0xff)], Some(PassedForm));
    check6(&mut table, "no checksum", &[(60, 0), (61, 0)], Some(PassedChecksum));
    check6(&mut table, "a wrong checksum", &[(60, good6[60] ^ 1)], Some(PassedChecksum));
    for from in ["::1", "::", "::ffff:192.0.2.1"] {
        let mut frame = table.frame(1);
        frame.from.set_ip(from.parse().unwrap());
        table.passes(from, &frame.octets(), Some(PassedForm));
    }
    for version in [Version::V3, Version::V4] {
        let mut table = Table::new(Rules { versions: Versions::NONE.with(version), ..OPEN() });
        for asked in [3, 4] {
            let mut frame = table.frame(0);
            frame.payload[0] = asked << 3 | 3;
            let what = format!("version {asked} where {version} is answered");
            if asked == version.number() {
                table.answers(&what, &frame.octets());
            } else {
                table.passes(&what, &frame.octets(), Some(PassedForm));
            }
        }
    }
}

pub(crate) fn requests_that_may_be_interleaved_pass_up() {
    let mut frames = Vec::new();
    let mut table = Table::new(OPEN());
    let mut add = |origin: u64, receive: u64, transmit: u64, passes: bool| {
        let mut frame = table.frame(frames.len() % 2);
        for (at, stamp) in [(24, origin), (32, receive), (40, transmit)] {
            frame.payload[at..at + 8].copy_from_slice(&stamp.to_be_bytes());
        }
        frames.push((format!("{origin:x} {receive:x} {transmit:x}"), frame, passes));
    };
    add(0, 0, 7, false);
    add(0x100, 5, 7, false);
    add(0x101, 5, 7, true);
    add(0x101, 5 << 32 | 7, 7, true);
    add(0x101, 7, 7, false);
    add(u64::MAX, 0, 7, true);
    add(u64::MAX - 1, 0, 7, false);
    for (what, frame, _) in &frames {
        table.answers(what, &frame.octets());
    }
    let mut table = Table::new(Rules { interleaved: true, ..OPEN() });
    for (what, frame, passes) in &frames {
        if *passes {
            table.passes(what, &frame.octets(), Some(FastCounter::PassedInterleaved));
        } else {
            table.answers(what, &frame.octets());
        }
    }
}

pub(crate) fn nothing_is_answered_from_a_clock_in_doubt() {
    let mut table = Table::new(OPEN());
    let frame = table.frame(0).octets();
    let good = table.scene;
    let passed = Some(FastCounter::PassedClock);
    table.answers("a good clock", &frame);
    let check = |table: &mut Table, what: &str, state: ClockState| {
        table.scene.state = state;
        table.passes(what, &frame, passed);
        table.scene = good;
    };
    let state = good.state;
    check(&mut table, "unsynchronised", ClockState::UNSYNCHRONISED);
    check(&mut table, "leap indicator 3", ClockState { leap: Leap::Unsynchronised, ..state });
    let leap = LeapSecond { at: UnixTime::new(1_814_400_000, 0), inserted: true };
    let smear = Smear { leap, shape: Shape::Linear, seconds: 86_400 };
    let smear = Some(ServedSmear { smear, zero: Timestamp::from_bits(7) });
    check(&mut table, "smeared", ClockState { smear, ..state });
    check(&mut table, "stale", ClockState { as_of: Mono(good.boot - 5_000_000_001), ..state });
    table.scene.state.as_of = Mono(good.boot - 5_000_000_000);
    table.answers("almost stale", &frame);
    table.scene = good;

    const SECOND: u64 = 1_000_000_000;
    const DAY: u64 = 86_400 * SECOND;
    let midnight = good.received / DAY * DAY;
    for (what, at, is_answered) in [
        ("well before midnight", midnight - 2 * SECOND - 1, true),
        ("before midnight", midnight - 2 * SECOND, false),
        ("midnight", midnight, false),
        ("after midnight", midnight + 3 * SECOND - 1, false),
        ("well after midnight", midnight + 3 * SECOND, true),
    ] {
        (table.scene.received, table.scene.leaves) = (at, at);
        if is_answered {
            table.answers(what, &frame);
        } else {
            table.passes(what, &frame, passed);
        }
    }
    table.scene = good;

    // The clock was set since the warden looked.
    for (by, is_answered) in [(400_000_000_i64, true), (600_000_000, false), (-600_000_000, false)]
    {
        table.bench.set(&good);
        let clock = good.received.wrapping_sub(good.offset.cast_unsigned());
        let apart = clock.wrapping_sub(good.boot).cast_signed().wrapping_add(by);
        let bearings = Bearings { offset: good.offset, apart };
        table.bench.clock.publish(&good.state, Some(bearings));
        let expected = if is_answered { verdict::TRANSMIT } else { verdict::PASS };
        assert_eq!(table.bench.run(&frame).0, expected, "set by {by} ns");
    }
    table.bench.set(&good);
    table.bench.clock.publish(&good.state, None);
    assert_eq!(table.bench.run(&frame).0, verdict::PASS, "nobody knows UTC");

    // A writer that stopped half-way, and words of two writings.
    let page = table.bench.path.share("clock_page").unwrap();
    for (at, word) in page.words().iter().enumerate() {
        table.bench.set(&good);
        let change = if at == 0 { 1 } else { 1 << 17 };
        word.fetch_xor(change, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(table.bench.run(&frame).0, verdict::PASS, "word {at} torn");
        word.fetch_xor(change, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(table.bench.run(&frame).0, verdict::TRANSMIT, "word {at} whole");
    }
    table.bench.path.stop();
    assert_eq!(table.bench.run(&frame).0, verdict::PASS, "switched off");
    table.bench.path.decide(&decisions(&OPEN())).unwrap();
    assert_eq!(table.bench.run(&frame).0, verdict::TRANSMIT, "and on again");
}

pub(crate) fn only_places_that_listen_answer() {
    let mut table = Table::new(OPEN());
    let good = table.frame(0);
    let check = |table: &mut Table, what: &str, change: &dyn Fn(&mut Frame)| {
        let mut frame = good.clone();
        change(&mut frame);
        table.passes(what, &frame.octets(), None);
    };
    check(&mut table, "another port", &|frame| frame.to.set_port(124));
    check(&mut table, "another address", &|frame| frame.to.set_ip([198, 51, 100, 2].into()));
    check(&mut table, "to another machine", &|frame| frame.to_mac = CLIENT);
    check(&mut table, "to everybody", &|frame| frame.to_mac = [0xff; 6]);
    check(&mut table, "from a group", &|frame| frame.from_mac = [1, 0, 0x5e, 0, 0, 1]);
    check(&mut table, "with a tag nobody listens to", &|frame| frame.tag = Some(5));
    let mut twice = good.octets();
    twice.splice(12..12, [0x81, 0x00, 0, 5, 0x81, 0x00, 0, 5]);
    table.passes("with two tags", &twice, None);
    let both: Vec<_> =
        OURS.iter().flat_map(|ours| [place(*ours, Some(5)), place(*ours, Some(7))]).collect();
    assert_eq!(table.bench.path.listen(&both), 0);
    check(&mut table, "without a tag where only tagged ones are listened to", &|_| {});
    for (tag, is_answered) in [(5, true), (0xe005, true), (7, true), (6, false), (0, false)] {
        let mut frame = good.clone();
        frame.tag = Some(tag);
        if is_answered {
            table.answers("tagged", &frame.octets());
        } else {
            table.passes("tagged", &frame.octets(), None);
        }
    }
    let many: Vec<_> = (0..200).map(|n| place([198, 51, 100, n].into(), None)).collect();
    let left_out = table.bench.path.listen(&many);
    let mut answered = 0;
    for n in 0..200 {
        let mut frame = good.clone();
        frame.to.set_ip([198, 51, 100, n].into());
        table.bench.set(&table.scene);
        let (verdict, octets) = table.bench.run(&frame.octets());
        if verdict == verdict::TRANSMIT {
            assert_eq!(Frame::read(&octets).from_mac, SERVER);
            answered += 1;
        }
    }
    assert_eq!(answered + left_out, 200);
}

/// Frames that are nearly requests, and frames that are nothing.
pub(crate) fn any_octets_pass_up_unchanged() {
    let mut table = Table::new(OPEN());
    let (mut passed, mut answered) = (0, 0);
    for case in 0..20_000 {
        let mut octets = table.frame(case % 2).octets();
        match case % 5 {
            0 => octets = table.numbers.octets(14 + case % 200),
            1 => octets.truncate(14 + case % 100),
            _ => {
                for _ in 0..=table.numbers.below(3) {
                    let at = table.numbers.below(octets.len() as u64) as usize;
                    octets[at] = table.numbers.next() as u8;
                }
            }
        }
        table.bench.set(&table.scene);
        let (verdict, after) = table.bench.run(&octets);
        match verdict {
            verdict::PASS => {
                assert_eq!(after, octets, "case {case}");
                passed += 1;
            }
            // A change that changes nothing, or one of what the answer does not depend on.
            verdict::TRANSMIT => {
                assert_eq!(after.len(), octets.len(), "case {case}");
                Frame::read(&after);
                answered += 1;
            }
            other => panic!("verdict {other} in case {case}"),
        }
    }
    assert!(passed > 10_000 && answered > 0, "{passed} passed, {answered} answered");
}
