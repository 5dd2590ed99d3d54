//! What plain requests get: RFC 5905 for a server, row by row.

mod client;

use client::{ASKED, Server, field, header, plain, unique};
use noonmark_packet::{FieldKind, Leap, Packet, ReferenceId};
use noonmark_server::{Batch, ClockState, Counter, PHI_PPB, Policy, Versions};
use noonmark_units::{Mono, Precision, Short, Span, Stratum, Timestamp};

#[test]
fn an_answer_has_the_version_of_its_request_and_mode_4() {
    let mut server = Server::new();
    for version in 1..=4 {
        let answer = server.ask(&header(version, 3)).expect("an answer");
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!(
            (packet.version().number(), packet.mode().number(), answer.len()),
            (version, 4, 48)
        );
    }
    for version in [0, 5, 6, 7] {
        server.check_silence(&header(version, 3), Counter::DroppedVersion);
    }
}

#[test]
fn versions_can_be_switched_off() {
    let versions = Versions::NONE.with(noonmark_packet::Version::V4);
    let mut server = Server::with(Policy { versions, ..Policy::default() });
    assert!(server.ask(&plain()).is_some());
    for version in 1..=3 {
        server.check_silence(&header(version, 3), Counter::DroppedVersion);
    }
}

#[test]
fn other_modes_get_silence_or_another_owner() {
    let mut server = Server::new();
    for version in 1..=4 {
        server.check_silence(&header(version, 0), Counter::DroppedModeReserved);
        server.check_silence(&header(version, 1), Counter::HandedSymmetricActive);
        server.check_silence(&header(version, 2), Counter::HandedSymmetricPassive);
        server.check_silence(&header(version, 4), Counter::DroppedModeServer);
        server.check_silence(&header(version, 5), Counter::DroppedModeBroadcast);
        server.check_silence(&header(version, 6), Counter::HandedControl);
        server.check_silence(&header(version, 7), Counter::DroppedModePrivate);
    }
    let mut readvar = [0; 12];
    readvar[0] = 0x16;
    readvar[1] = 2;
    server.check_silence(&readvar, Counter::HandedControl);
    server.check_silence(&[0x17, 0, 3, 0x2a, 0, 0, 0, 0], Counter::DroppedModePrivate);
    server.check_silence(&readvar[..11], Counter::DroppedShort);
    server.check_silence(&header(4, 1)[..47], Counter::DroppedShort);
}

#[test]
fn datagrams_of_impossible_length_get_silence() {
    let mut server = Server::new();
    server.check_silence(&[], Counter::DroppedEmpty);
    for len in 1..48 {
        server.check_silence(&plain()[..len], Counter::DroppedShort);
    }
    for len in [49, 50, 51, 53] {
        let mut request = plain();
        request.resize(len, 0);
        server.check_silence(&request, Counter::DroppedLength);
    }
    let long = [plain(), field(FieldKind(0x7777), &[0; 1600])].concat();
    server.check_silence(&long, Counter::DroppedLong);
}

#[test]
fn origin_and_poll_are_copied_in_all_their_bits() {
    let mut server = Server::new();
    for origin in [0, 1, u64::MAX, 0x8000_0000_0000_0000, ASKED.to_bits()] {
        for poll in [-128_i8, -6, 0, 6, 17, 127] {
            let mut request = plain();
            request[2] = poll.cast_unsigned();
            request[40..].copy_from_slice(&origin.to_be_bytes());
            let answer = server.ask(&request).unwrap();
            let packet = Packet::parse(&answer).unwrap();
            assert_eq!((packet.origin().to_bits(), packet.poll().0), (origin, poll));
        }
    }
}

#[test]
fn the_header_is_that_of_the_clock() {
    let mut server = Server::new();
    let set = server.time - Span::from_seconds(100);
    server.state = ClockState {
        leap: Leap::InsertSecond,
        leap_until: Timestamp::UNSET,
        smear: None,
        stratum: Stratum::new(3),
        reference_id: ReferenceId([192, 0, 2, 200]),
        reference_time: set,
        root_delay: Short::from_bits(0x1234),
        root_dispersion: Short::from_bits(0x10),
        growth_ppb: PHI_PPB,
        as_of: Mono(server.mono.0 - 600_000_000_000),
        precision: Precision(-23),
    };
    let answer = server.ask(&plain()).unwrap();
    let packet = Packet::parse(&answer).unwrap();
    assert_eq!(
        (packet.leap(), packet.stratum(), packet.precision().0),
        (Leap::InsertSecond, 3, -23)
    );
    assert_eq!(
        (packet.reference_id(), packet.reference_time()),
        (ReferenceId([192, 0, 2, 200]), set)
    );
    assert_eq!(packet.root_delay(), Short::from_bits(0x1234));
    // 600 s at 15 ppm are 9 ms more.
    let grown = packet.root_dispersion().to_span().as_seconds_f64() - 16.0 / 65536.0;
    assert!((grown - 0.009).abs() < 5e-5, "{grown}");
}

#[test]
fn a_server_that_knows_nothing_says_unsynchronised() {
    let check = |state: ClockState| {
        let mut server = Server::new();
        server.state = state;
        let answer = server.ask(&plain()).unwrap();
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!((packet.leap(), packet.stratum()), (Leap::Unsynchronised, 0));
        assert_eq!(
            (packet.reference_id(), packet.reference_time()),
            (ReferenceId::NONE, Timestamp::UNSET)
        );
        assert_eq!(packet.kiss(), None, "no INIT or other word that reads as a kiss");
        assert!(!packet.transmit().is_unset());
    };
    check(ClockState::UNSYNCHRONISED);
    let local = Server::new().state;
    check(ClockState { leap: Leap::Unsynchronised, ..local });
    check(ClockState { stratum: Stratum::UNSYNCHRONISED, ..local });
}

#[test]
fn receive_comes_before_transmit_even_if_the_clock_is_stepped_back() {
    let mut server = Server::new();
    let request = plain();
    let mut check = |age: Span, tick: Span, below: Span| {
        (server.age, server.tick) = (age, tick);
        let answer = server.ask(&request).unwrap();
        let packet = Packet::parse(&answer).unwrap();
        let held = packet.transmit() - packet.receive();
        assert!(held > Span::ZERO && held < below, "{held}");
        assert!(!(packet.transmit() - packet.reference_time()).is_negative());
    };
    check(Span::from_nanos(20_000), Span::from_nanos(100), Span::from_nanos(60_000));
    // The clock reads the same as when the request came, or less.
    check(Span::ZERO, Span::ZERO, Span::from_nanos(40_000));
    check(Span::from_seconds(-5), Span::ZERO, Span::from_bits(2));
    check(Span::from_nanos(20_000), Span::from_seconds(-1), Span::from_bits(2));
}

#[test]
fn transmit_never_equals_receive_on_a_coarse_clock() {
    let mut server = Server::new();
    server.tick = Span::ZERO;
    server.age = Span::ZERO;
    server.state.precision = Precision(-6);
    let mut batch = Batch::new();
    for _ in 0..2_000 {
        batch.clear();
        let envelope = server.envelope("192.0.2.7:50123");
        while batch.push(&plain(), envelope) {}
        server.respond(&mut batch);
        for slot in batch.slots() {
            let packet = Packet::parse(slot.answer().unwrap()).unwrap();
            assert_ne!(packet.transmit(), packet.receive());
        }
    }
}

#[test]
fn bits_below_the_precision_are_random() {
    let mut server = Server::new();
    server.tick = Span::ZERO;
    let mut ones = [[0_i32; 16]; 2];
    let rounds = 4_000;
    for _ in 0..rounds {
        let answer = server.ask(&plain()).unwrap();
        let packet = Packet::parse(&answer).unwrap();
        for (stamp, ones) in [packet.receive(), packet.transmit()].into_iter().zip(&mut ones) {
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += (stamp.to_bits() >> bit & 1) as i32;
            }
        }
    }
    // The last bit tells receive stamps from transmit stamps.
    assert_eq!([ones[0][0], ones[1][0]], [rounds, 0]);
    // 4000 fair bits: standard deviation 32. Precision -24 leaves 8 bits to chance; above it the clock decides.
    for stamp in ones {
        for (bit, ones) in stamp.into_iter().enumerate().take(8).skip(1) {
            assert!((ones - rounds / 2).abs() < 6 * 32, "bit {bit}: {ones} of {rounds}");
        }
    }
    assert!(ones[0][8..].iter().all(|&ones| ones == 0 || ones == rounds), "{ones:?}");
}

#[test]
fn time_goes_on_through_the_end_of_the_era() {
    let mut server = Server::new();
    let check = |server: &mut Server, time: u64| {
        server.time = Timestamp::from_bits(time);
        let answer = server.ask(&plain()).unwrap();
        let packet = Packet::parse(&answer).unwrap();
        assert!(packet.transmit() - packet.receive() > Span::ZERO, "{time:x}");
        assert!((packet.transmit() - server.time).abs() < Span::from_nanos(50_000), "{time:x}");
        assert!(!(packet.transmit() - packet.reference_time()).is_negative(), "{time:x}");
        for stamp in [packet.receive(), packet.transmit(), packet.reference_time()] {
            assert!(!stamp.is_unset(), "{time:x}");
        }
    };
    for time in [u64::MAX, u64::MAX - 0x1_0000, 0, 1, 0x1000, 0x1_0000_0000] {
        check(&mut server, time);
    }
    // The very instant at which a stamp would be 0: with no bits to chance it is sent one unit late.
    (server.age, server.tick, server.state.precision) = (Span::ZERO, Span::ZERO, Precision(-32));
    check(&mut server, 0);
    let answer = server.ask(&plain()).unwrap();
    assert!(!Packet::parse(&answer).unwrap().receive().is_unset());
}

#[test]
fn all_256_precisions_and_extreme_states_are_answered() {
    let mut server = Server::new();
    for precision in i8::MIN..=i8::MAX {
        for bits in [0, u32::MAX] {
            server.state.precision = Precision(precision);
            server.state.root_delay = Short::from_bits(bits);
            server.state.root_dispersion = Short::from_bits(bits);
            server.state.growth_ppb = bits;
            let answer = server.ask(&plain()).unwrap();
            assert_eq!(Packet::parse(&answer).unwrap().precision().0, precision);
        }
    }
}

#[test]
fn the_reference_time_is_never_in_the_future() {
    let mut server = Server::new();
    server.state.reference_time = server.time + Span::from_seconds(3);
    let answer = server.ask(&plain()).unwrap();
    let packet = Packet::parse(&answer).unwrap();
    let age = packet.transmit() - packet.reference_time();
    assert!(!age.is_negative() && age <= Span::from_seconds(16), "{age}");
}

#[test]
fn fields_that_are_well_framed_are_ignored_and_not_echoed() {
    let mut server = Server::new();
    let mut check = |tail: Vec<u8>, unusual: bool| {
        let before = server.count(Counter::UnusualFields);
        let answer = server.ask(&[plain(), tail].concat()).expect("an answer");
        assert_eq!(answer.len(), 48);
        assert_eq!(server.count(Counter::UnusualFields) - before, u64::from(unusual));
    };
    let last = field(FieldKind(2), &[0; 24]);
    check(field(FieldKind(0xf0ab), &[1; 24]), false);
    check(field(FieldKind(0x7777), &[1; 1396]), true);
    check(field(FieldKind::CHECKSUM_COMPLEMENT, &[0; 24]), false);
    check([field(FieldKind(1), &[0; 12]).repeat(15), last.clone()].concat(), false);
    check([field(FieldKind(1), &[0; 12]).repeat(16), last.clone()].concat(), true);
    check([field(FieldKind(1), &[0; 12]).repeat(64), last].concat(), true);
}

#[test]
fn fields_that_cannot_be_framed_get_silence() {
    let mut server = Server::new();
    let claiming = |claimed: u16, len: usize| {
        let mut octets = vec![0x77; len];
        octets[2..4].copy_from_slice(&claimed.to_be_bytes());
        [plain(), octets].concat()
    };
    for claimed in [0, 1, 3, 5, 12, 17, 30, 56, 0xfffc] {
        server.check_silence(&claiming(claimed, 52), Counter::DroppedFields);
    }
    for len in [8, 12, 16] {
        server.check_silence(&claiming(len as u16, len), Counter::DroppedFields);
    }
    server.check_silence(
        &[plain(), field(FieldKind(1), &[0; 12]).repeat(85)].concat(),
        Counter::DroppedFields,
    );
}

#[test]
fn a_mac_gets_silence_because_no_key_is_configured() {
    let mut server = Server::new();
    for len in [20, 24] {
        server.check_silence(&[plain(), vec![1; len]].concat(), Counter::DroppedMac);
        server.check_silence(&[header(3, 3), vec![1; len]].concat(), Counter::DroppedMac);
    }
    server.check_silence(&[plain(), vec![0; 4]].concat(), Counter::DroppedCryptoNak);
    server.check_silence(
        &[plain(), field(FieldKind(1), &[0; 24]), vec![1; 20]].concat(),
        Counter::DroppedMac,
    );
}

#[test]
fn a_unique_identifier_is_echoed_in_a_plain_answer() {
    let mut server = Server::new();
    for len in [32, 36, 64, 200] {
        let before = field(FieldKind(0x7777), &[9; 12]);
        let after = field(FieldKind(0x7778), &[9; 24]);
        for request in [
            [plain(), unique(len)].concat(),
            [plain(), before.clone(), unique(len), after.clone()].concat(),
        ] {
            let answer = server.ask(&request).unwrap();
            assert_eq!(answer[48..], unique(len), "{len} octets");
        }
    }
    server.check_silence(&[plain(), unique(28)].concat(), Counter::DroppedUniqueShort);
    server.check_silence(&[plain(), unique(32), unique(32)].concat(), Counter::DroppedUniqueTwice);
    // Before version 4 there are no fields, so this is a MAC too long to be one.
    server.check_silence(&[header(3, 3), unique(200)].concat(), Counter::DroppedFields);
}

#[test]
fn what_was_sent_to_many_or_from_nowhere_gets_silence() {
    let mut server = Server::new();
    let mut envelope = server.envelope("192.0.2.7:50123");
    envelope.group = true;
    assert_eq!(server.ask_in(&plain(), envelope), None);
    assert_eq!(server.ask_as(&plain(), "192.0.2.7:0"), None);
    assert_eq!((server.count(Counter::DroppedGroup), server.count(Counter::DroppedPort)), (1, 1));
}
