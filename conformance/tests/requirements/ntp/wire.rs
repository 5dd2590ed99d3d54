//! NTP without NTS: header, modes, versions, lengths (WS-*, PR-04).

use std::time::Duration;

use noonmark_conformance::check::Check;
use noonmark_packet::{Leap, ReferenceId};
use noonmark_server::{ClockState, Envelope, PHI_PPB};
use noonmark_units::{Precision, Short, Span, Stratum, Timestamp};

use super::lab::{CLIENT, NtpLab, Outcome, Session, ensure, shown, shown_answer};
use super::memory::grows_by;
use super::octets::{Cipher, UNKNOWN, field, header, plain, plain_with, unique};
use super::socket;
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["WS-01"], name: "short_and_odd_datagrams_get_silence", run: lengths },
    Check { ids: &["WS-02"], name: "the_version_comes_back", run: versions },
    Check { ids: &["WS-03"], name: "other_versions_get_silence", run: other_versions },
    Check { ids: &["WS-04"], name: "origin_is_what_was_sent", run: origin },
    Check { ids: &["WS-05"], name: "receive_and_transmit_lie_within_the_flight", run: stamps },
    Check { ids: &["WS-06"], name: "answers_have_mode_4", run: mode_4 },
    Check { ids: &["WS-07"], name: "poll_comes_back", run: poll },
    Check { ids: &["WS-08"], name: "an_unsynchronised_clock_says_so", run: unsynchronised },
    Check { ids: &["WS-09"], name: "precision_is_the_clocks", run: precision },
    Check { ids: &["WS-10"], name: "dispersion_grows_between_updates", run: dispersion },
    Check { ids: &["WS-11"], name: "reference_ids_are_laid_out_by_stratum", run: reference_id },
    Check { ids: &["WS-12"], name: "the_clock_was_set_in_the_past", run: reference_time },
    Check { ids: &["WS-13"], name: "answers_and_reserved_modes_get_silence", run: no_ping_pong },
    Check { ids: &["WS-14"], name: "a_strange_peer_gets_silence", run: symmetric_active },
    Check { ids: &["WS-15"], name: "a_broadcast_gets_silence", run: broadcast },
    Check { ids: &["WS-16"], name: "control_and_private_modes_get_silence", run: control_modes },
    Check { ids: &["WS-17"], name: "a_request_to_a_group_gets_silence", run: group },
    Check { ids: &["WS-18"], name: "no_mac_comes_unasked", run: no_mac },
    Check { ids: &["WS-19"], name: "a_mac_nobody_can_check_gets_no_time", run: bad_mac },
    Check { ids: &["WS-20"], name: "bits_below_the_precision_are_random", run: noise },
    Check { ids: &["WS-21"], name: "receive_is_never_zero", run: never_zero },
    Check { ids: &["WS-22"], name: "no_answer_is_longer_than_its_request", run: never_longer },
    Check { ids: &["WS-24"], name: "the_address_asked_answers", run: same_address },
    Check { ids: &["WS-25"], name: "the_port_asked_answers", run: same_port },
    Check { ids: &["WS-26"], name: "clients_leave_no_state", run: no_state },
    Check { ids: &["PR-04"], name: "the_server_speaks_from_its_own_port", run: own_port },
];

fn lengths(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for len in 0..48 {
        lab.silence_for(&plain()[..len])?;
    }
    let long = plain_with(&unique(32));
    for len in [49, 50, 51, 81, 82, 83] {
        lab.silence_for(&long[..len])?;
    }
    lab.time_for(&plain())?;
    lab.time_for(&long).map(drop)
}

fn versions(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let nts = Session::new(&lab, Cipher::Siv256).request(0);
    for request in [header(1, 3), header(2, 3), header(3, 3), plain(), plain_with(&unique(32)), nts]
    {
        let answer = lab.time_for(&request)?;
        let asked = request[0] >> 3 & 7;
        ensure(answer.version() == asked, || {
            format!("version {} for version {asked}", answer.version())
        })?;
    }
    Ok(())
}

fn other_versions(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for version in [0, 5, 6, 7] {
        for leap in 0..4 {
            let mut request = header(version, 3);
            request[0] |= leap << 6;
            lab.silence_for(&request)?;
        }
        lab.silence_for(&[header(version, 3), unique(32)].concat())?;
    }
    Ok(())
}

fn origin(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    let check = |packet: Vec<u8>, asked: u64, lab: &mut NtpLab| {
        let answer = lab.time_for(&packet)?;
        ensure(answer.origin() == asked, || format!("{:016x} for {asked:016x}", answer.origin()))
    };
    let single_bits = (0..64).map(|bit| 1 << bit);
    for asked in [0, u64::MAX, 0x0123_4567_89ab_cdef].into_iter().chain(single_bits) {
        let stamped = |mut packet: Vec<u8>| {
            packet[40..48].copy_from_slice(&u64::to_be_bytes(asked));
            packet
        };
        check(stamped(plain()), asked, &mut lab)?;
        check(stamped(header(3, 3)), asked, &mut lab)?;
        let nts = session.request_with(|draft| draft.header = stamped(plain()));
        check(nts, asked, &mut lab)?;
    }
    Ok(())
}

fn stamps(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    let ages = [0, 1_000, 20_000, 5_000_000].map(Span::from_nanos);
    for (request, age) in [plain(), session.request(0), session.request(7)]
        .iter()
        .flat_map(|request| ages.map(|age| (request, age)))
    {
        lab.age = age;
        let received = lab.envelope(CLIENT).received;
        let answer = lab.time_for(request)?;
        let (receive, transmit) =
            (Timestamp::from_bits(answer.receive()), Timestamp::from_bits(answer.transmit()));
        // What the clock cannot tell, and the lead: the answer is stamped for when it will leave, 1 ms ahead at most.
        let unsure = Span::from_nanos(120);
        ensure((receive - received).abs() <= unsure, || {
            format!("receive is off by {}", receive - received)
        })?;
        ensure(!(transmit - receive).is_negative(), || {
            format!("transmit is {} after receive", transmit - receive)
        })?;
        let late = transmit - lab.time;
        ensure(late <= Span::from_nanos(1_000_000), || format!("transmit is {late} ahead"))?;
        ensure(transmit - received >= age - unsure, || "sent before it was read".to_owned())?;
    }
    // A clock stepped back in between does not turn the two round.
    lab.age = Span::from_seconds(-2);
    let answer = lab.time_for(&plain())?;
    ensure(answer.receive() <= answer.transmit(), || "receive is after transmit".to_owned())
}

fn mode_4(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    let mut forged = session.request(0);
    forged[120] ^= 1;
    for request in
        [header(1, 3), header(3, 3), plain(), plain_with(&unique(32)), session.request(1), forged]
    {
        let answer = lab.ask(&request).ok_or_else(|| format!("silence for {}", shown(&request)))?;
        ensure(answer.mode() == 4, || format!("mode {}", answer.mode()))?;
    }
    Ok(())
}

fn poll(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for poll in (-6..=17).chain([127, -128, -1]) {
        let mut request = plain();
        request[2] = i8::cast_unsigned(poll);
        let answer = lab.time_for(&request)?;
        ensure(answer.poll() == poll, || format!("poll {} for {poll}", answer.poll()))?;
    }
    Ok(())
}

fn unsynchronised(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let good = lab.state;
    let nts = Session::new(&lab, Cipher::Siv256).request(0);
    for state in [
        ClockState::UNSYNCHRONISED,
        ClockState { leap: Leap::Unsynchronised, ..good },
        ClockState { stratum: Stratum::UNSYNCHRONISED, ..good },
        ClockState { stratum: Stratum::new(16), leap: Leap::Unsynchronised, ..good },
        ClockState { stratum: Stratum::new(200), ..good },
        ClockState { stratum: Stratum::new(0), ..good },
    ] {
        lab.state = state;
        for request in [plain(), header(3, 3), plain_with(&unique(32)), nts.clone()] {
            let Some(answer) = lab.ask(&request) else { continue };
            let says_so = (answer.leap(), answer.stratum()) == (3, 0);
            ensure(says_so, || format!("leap {}, stratum {}", answer.leap(), answer.stratum()))?;
        }
    }
    lab.state = good;
    let answer = lab.time_for(&plain())?;
    ensure((answer.leap(), answer.stratum()) == (0, 1), || "still unsynchronised".to_owned())
}

fn precision(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for precision in [-32, -31, -25, -20, -10, -6, -1] {
        lab.state.precision = Precision(precision);
        let answer = lab.time_for(&plain())?;
        ensure(answer.precision() == precision, || {
            format!("precision {} of a clock of {precision}", answer.precision())
        })?;
    }
    // And what the daemon measures for it is plausible.
    let measured = noonmark_os::clock::precision().0;
    ensure((-32..0).contains(&measured), || format!("a clock of precision {measured}"))
}

fn reference_id(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    // The configuration decides on the octets: ASCII filled with zeros at stratum 1, an address or ASCII above.
    for (stratum, written, octets) in [
        (1, "GPS", *b"GPS\0"),
        (1, "PPS", *b"PPS\0"),
        (1, "LOCL", *b"LOCL"),
        (2, "192.0.2.1", [192, 0, 2, 1]),
        (5, "127.127.1.1", [127, 127, 1, 1]),
    ] {
        let text = format!("[server]\nlocal-stratum = {stratum}\nreference-id = \"{written}\"\n");
        let settings = noonmark_config::parse(&text, std::path::Path::new("noonmark.toml"))
            .map_err(|report| report.to_string())?;
        let local = settings.server.local.ok_or("no local clock was read")?;
        let id = ReferenceId(local.reference_id);
        lab.state = ClockState::local(Stratum::new(local.stratum), id, Precision(-24));
        let answer = lab.time_for(&plain())?;
        let found = (answer.stratum(), answer.reference_id());
        ensure(found == (stratum, octets), || format!("{found:?} for {written}"))?;
    }
    // Nobody's name at stratum 0: it would be read as a kiss.
    lab.state = ClockState { reference_id: ReferenceId(*b"INIT"), ..ClockState::UNSYNCHRONISED };
    let answer = lab.ask(&plain()).ok_or("silence")?;
    ensure(answer.reference_id() == [0; 4], || format!("{:02x?}", answer.reference_id()))
}

fn dispersion(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    lab.state = ClockState {
        root_dispersion: Short::from_bits(0x0000_0100),
        growth_ppb: PHI_PPB,
        as_of: lab.mono,
        ..lab.state
    };
    let nts = Session::new(&lab, Cipher::Siv256).request(0);
    let mut before = 0;
    // 15 ppm: what is added in 10 s is 150 µs, ten of the wire's units.
    for _ in 0..10 {
        for request in [plain(), nts.clone()] {
            let answer = lab.time_for(&request)?;
            let now = u32::from_be_bytes(*answer.octets[8..].first_chunk().expect("header"));
            ensure(now >= before, || format!("dispersion {now} after {before}"))?;
            before = before.max(now);
        }
        lab.pass(Duration::from_secs(10));
        let answer = lab.time_for(&plain())?;
        let now = u32::from_be_bytes(*answer.octets[8..].first_chunk().expect("header"));
        ensure(now >= before + 9, || format!("dispersion {now} 10 s after {before}"))?;
        before = now;
    }
    Ok(())
}

fn reference_time(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let set = [
        Timestamp::UNSET,
        lab.time - Span::from_seconds(1000),
        lab.time - Span::from_nanos(1),
        lab.time + Span::from_nanos(1_500_000),
        lab.time + Span::from_seconds(86_400),
    ];
    let nts = Session::new(&lab, Cipher::Siv256).request(0);
    for reference_time in set {
        lab.state.reference_time = reference_time;
        for request in [plain(), nts.clone()] {
            let answer = lab.time_for(&request)?;
            let ago = Timestamp::from_bits(answer.transmit())
                - Timestamp::from_bits(answer.reference_time());
            ensure(!ago.is_negative(), || format!("the clock was set {ago} ago"))?;
            ensure(answer.reference_time() != 0, || "never set, yet synchronised".to_owned())?;
        }
    }
    Ok(())
}

fn no_ping_pong(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let nts = Session::new(&lab, Cipher::Siv256);
    for mode in [0, 2, 4] {
        for version in 1..=4 {
            lab.silence_for(&header(version, mode))?;
        }
        lab.silence_for(&[header(4, mode), unique(32)].concat())?;
        lab.silence_for(&nts.request_with(|draft| draft.header = header(4, mode)))?;
    }
    // Two servers set at each other: the first answer is the last word.
    for request in [plain(), plain_with(&unique(32)), nts.request(0)] {
        let answer = lab.time_for(&request)?;
        lab.silence_for(&answer.octets)?;
    }
    Ok(())
}

fn symmetric_active(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for version in 1..=4 {
        lab.silence_for(&header(version, 1))?;
        lab.silence_for(&[header(version, 1), vec![0, 0, 0, 1], vec![0xaa; 16]].concat())?;
    }
    lab.silence_for(&[header(4, 1), unique(32)].concat())
}

fn broadcast(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for version in 1..=4 {
        lab.silence_for(&header(version, 5))?;
        lab.silence_for(&[header(version, 5), vec![0, 0, 0, 1], vec![0xaa; 16]].concat())?;
    }
    lab.silence_for(&[header(4, 5), unique(32)].concat())
}

fn control_modes(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for version in lab.many(4, 1, 1) as u8..=4 {
        for operation in [1, 2, 3, 10, 12] {
            for len in [12, 48, 480] {
                let mut control = vec![version << 3 | 6, operation];
                control.resize(len, 0);
                lab.silence_for(&control)?;
            }
        }
        // monlist, peers and a list of restrictions, as ntpdc asks for them.
        for code in [0x2a, 0x00, 0x01, 0x14, 0x10] {
            for len in [8, 48, 192] {
                let mut private = vec![version << 3 | 7, 0, 3, code];
                private.resize(len, 0);
                lab.silence_for(&private)?;
            }
        }
    }
    Ok(())
}

fn group(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let nts = Session::new(&lab, Cipher::Siv256).request(0);
    for request in [plain(), header(3, 3), plain_with(&unique(32)), nts] {
        let envelope = Envelope { group: true, ..lab.envelope(CLIENT) };
        lab.silence_in(&request, envelope)?;
    }
    // That the kernel's word for it arrives: everybody on the loopback interface, and this server alone.
    socket::group_gets_silence()
}

fn no_mac(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let unknown = field(UNKNOWN, &[0x55; 44]);
    let nts = Session::new(&lab, Cipher::Siv256).request(1);
    for request in [
        header(3, 3),
        plain(),
        plain_with(&unknown),
        plain_with(&unique(32)),
        plain_with(&[unknown, unique(32)].concat()),
        nts,
    ] {
        let answer = lab.time_for(&request)?;
        // A MAC has 20 or 24 octets, and every field of an answer more.
        let mac = !answer.rest.is_empty()
            || answer.fields.last().is_some_and(|field| field.body.len() < 24);
        ensure(!mac, || format!("more than fields: {}", shown(&answer.octets)))?;
    }
    Ok(())
}

fn bad_mac(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for (version, digest) in [(1, 16), (3, 16), (3, 20), (4, 16), (4, 20)] {
        for key_id in [1_u32, 10, 65_535] {
            let mac = [&key_id.to_be_bytes()[..], &vec![0xd1; digest]].concat();
            let request = [header(version, 3), mac].concat();
            // Silence, or a crypto-NAK: four zero octets behind the header.
            if let Some(answer) = lab.no_time_for(&request)? {
                ensure(answer.octets.len() == 52 && answer.rest == [0; 4], || {
                    format!("neither silence nor crypto-NAK: {}", shown(&answer.octets))
                })?;
            }
        }
    }
    Ok(())
}

fn noise(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    // A clock that stands still and tells 2^-10 s: 22 bits of the fraction are not its to tell.
    lab.tick = Span::ZERO;
    lab.state.precision = Precision(-10);
    let session = Session::new(&lab, Cipher::Siv256);
    for request in [plain(), session.request(0)] {
        let mut stamps = [(0_u64, u64::MAX); 2];
        let rounds = lab.many(64, 256, 4096);
        for _ in 0..rounds {
            // Received long before it is sent, so that neither stamp has to make way for the other.
            lab.age = Span::from_nanos(500_000_000);
            let answer = lab.time_for(&request)?;
            for ((ever_one, ever_zero), stamp) in
                stamps.iter_mut().zip([answer.receive(), answer.transmit()])
            {
                *ever_one |= stamp;
                *ever_zero &= stamp;
            }
        }
        for (ever_one, always_one) in stamps {
            let moved = ever_one & !always_one;
            // All but the last, which tells what the stamp is of.
            ensure(moved & 0x3f_ffff == 0x3f_fffe, || format!("bits that moved: {moved:016x}"))?;
            // One unit of the clock may be crossed by the lead.
            ensure(moved >> 23 == 0, || format!("bits the clock knows moved: {moved:016x}"))?;
        }
    }
    Ok(())
}

fn never_zero(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    lab.state.precision = Precision(-32);
    lab.tick = Span::ZERO;
    for request in [header(3, 3), plain(), plain_with(&unique(32))] {
        for age in [-1, 0, 1] {
            lab.time = Timestamp::from_bits(0);
            lab.age = Span::from_bits(age);
            let answer = lab.time_for(&request)?;
            ensure(answer.receive() != 0, || "a time that says it is none".to_owned())?;
        }
    }
    Ok(())
}

fn never_longer(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let mut answered = 0;
    for first in 0..=255 {
        for tail in [0, 4, 20, 24, 28, 36, 64, 180] {
            for seed in 0..lab.many(1, 4, 40) {
                let mut request = vec![first];
                request.extend((1..48 + tail).map(|at| (at * 73 + seed * 151) as u8 ^ first));
                if seed % 2 == 0 && tail >= 28 {
                    request.truncate(48);
                    request.extend(unique(tail - 4));
                }
                let answer = lab.ask(&request);
                answered += usize::from(answer.is_some());
                let longer =
                    answer.as_ref().is_some_and(|answer| answer.octets.len() > request.len());
                ensure(!longer, || format!("{}: {}", shown(&request), shown_answer(&answer)))?;
            }
        }
    }
    ensure(answered >= 16, || format!("only {answered} of all these are answered"))?;
    lab.control()
}

fn same_address(_: &mut Lab) -> Outcome {
    socket::answers_come_from(|asked, source| asked.ip() == source.ip())
}

fn same_port(_: &mut Lab) -> Outcome {
    socket::answers_come_from(|asked, source| asked.port() == source.port())
}

fn no_state(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::strict(lab, 8);
    let clients = lab.many(200, 20_000, 1_000_000);
    let nts = Session::new(&lab, Cipher::Siv256).request(0);
    let mut flood = |clients: std::ops::Range<usize>| {
        for client in clients {
            let [_, high, middle, low] = u32::try_from(client).expect("few").to_be_bytes();
            let peer = format!("10.{high}.{middle}.{low}:123");
            let request = if client % 16 == 0 { nts.clone() } else { plain() };
            lab.ask_as(&request, &peer).ok_or_else(|| format!("silence for {peer}"))?;
        }
        lab.pass(Duration::from_secs(1));
        Ok(())
    };
    flood(0..100)?;
    grows_by(1 << 20, || flood(100..100 + clients))
}

fn own_port(_: &mut Lab) -> Outcome {
    let text = "[server]\nlocal-stratum = 1\n";
    let settings = noonmark_config::parse(text, std::path::Path::new("noonmark.toml"))
        .map_err(|report| report.to_string())?;
    let ports: Vec<u16> = settings.server.listen.iter().map(std::net::SocketAddr::port).collect();
    ensure(!ports.is_empty() && ports.iter().all(|port| *port == 123), || {
        format!("listens on ports {ports:?} unless told otherwise")
    })?;
    socket::only_the_own_port_speaks()
}
