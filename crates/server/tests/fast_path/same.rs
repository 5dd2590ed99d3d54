//! The same answers as the responder's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use noonmark_os::bpf::verdict;
use noonmark_os::clock::{self, Timescale};
use noonmark_packet::{Leap, ReferenceId};
use noonmark_server::fast_path::{FastClock, FastCounter, FastPath};
use noonmark_server::{AccessRules, Action, ClockState, RateLimit, Versions};
use noonmark_units::{Mono, Precision, Short, Span, Stratum, Timestamp};

use crate::bench::{Bench, DEVICE, OPEN, Rules, Scene, decisions, place, stamp};
use crate::frames::Frame;
use crate::{Numbers, object};

pub(crate) const OURS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// A request that a client might send.
pub(crate) fn request(numbers: &mut Numbers, version: u8) -> Vec<u8> {
    let mut payload = numbers.octets(48);
    payload[0] = numbers.next() as u8 & 0xc0 | version << 3 | 3;
    payload
}

/// A clock, and a moment at which it may be answered from.
pub(crate) fn scene(numbers: &mut Numbers) -> Scene {
    const DAY: u64 = 86_400_000_000_000;
    const SECOND: u64 = 1_000_000_000;
    let boot = numbers.below(1 << 55) + 10 * SECOND;
    // From 1970 to 2134, not around midnight.
    let received = numbers.below(60_000) * DAY + 4 * SECOND + numbers.below(DAY - 8 * SECOND);
    let reference_time = match numbers.below(4) {
        0 => Timestamp::UNSET,
        1 => stamp(received + numbers.below(100 * SECOND)),
        _ => stamp(received - numbers.below(received.min(100_000 * SECOND))),
    };
    let leap = [Leap::None, Leap::InsertSecond, Leap::DeleteSecond][numbers.below(3) as usize];
    let leap_until = match numbers.below(3) {
        0 => Timestamp::UNSET,
        1 => stamp(received + numbers.below(DAY)),
        _ => stamp(received - numbers.below(DAY).min(received)),
    };
    let state = ClockState {
        leap,
        leap_until,
        reference_id: ReferenceId((numbers.next() as u32).to_be_bytes()),
        reference_time,
        root_delay: Short::from_bits(numbers.next() as u32),
        root_dispersion: Short::from_bits((numbers.next() >> numbers.below(33)) as u32),
        growth_ppb: [0, 15_000, numbers.below(1_000_001) as u32][numbers.below(3) as usize],
        as_of: Mono(boot.saturating_sub(numbers.below(5 * SECOND)) + numbers.below(2) * 1000),
        ..ClockState::local(
            Stratum::new(numbers.below(15) as u8 + 1),
            ReferenceId::NONE,
            Precision(-(numbers.below(40) as i8) - 1),
        )
    };
    let held = [0, 100, numbers.below(SECOND)][numbers.below(3) as usize];
    // Sometimes the clock is set back between the two.
    let leaves = if numbers.below(8) == 0 { received - 50 } else { received + held };
    Scene {
        state,
        boot,
        received,
        leaves,
        offset: (numbers.below(1 << 60) as i64) - (1 << 59),
        chance: numbers.next() as u16,
        noise: numbers.next(),
    }
}

fn client(numbers: &mut Numbers, ours: IpAddr) -> IpAddr {
    match ours {
        IpAddr::V4(_) => loop {
            let address = Ipv4Addr::from(numbers.next() as u32);
            if !matches!(address.octets()[0], 0 | 127 | 224..) {
                return address.into();
            }
        },
        IpAddr::V6(_) => {
            let high = u128::from(numbers.next() >> 1 | 1 << 61) << 64;
            Ipv6Addr::from(high | u128::from(numbers.next())).into()
        }
    }
}

pub(crate) fn answers_have_the_octets_of_the_responder() {
    let mut numbers = Numbers::new(1);
    for dscp in [0, 46] {
        let rules = Rules { dscp, ..OPEN() };
        let places = OURS.iter().flat_map(|ours| [place(*ours, None), place(*ours, Some(5))]);
        let mut bench = Bench::new(&object(true), rules, &places.collect::<Vec<_>>());
        for case in 0..4_000 {
            let ours = OURS[case % 2];
            let payload = request(&mut numbers, 3 + (case / 2 % 2) as u8);
            let from = (client(&mut numbers, ours), numbers.next() as u16 | 1).into();
            let mut frame = Frame::request(from, (ours, 123).into(), &payload);
            frame.class = numbers.next() as u8;
            // A priority goes with the tag.
            frame.tag = (numbers.below(3) == 0).then(|| 5 | (numbers.below(8) as u16) << 13);
            let scene = scene(&mut numbers);
            bench.compare(&scene, &frame);
        }
        assert_eq!(bench.counted(), vec![FastCounter::Answered; 4_000]);
    }
}

pub(crate) fn access_rules_hold_as_on_the_sockets() {
    let mut numbers = Numbers::new(2);
    for round in 0..60 {
        // Addresses that share prefixes, so that rules lie inside each other.
        let v4 = |numbers: &mut Numbers| 0x0a00_0000 | numbers.next() as u32 & 0x0303_0303;
        let v6 = |numbers: &mut Numbers| {
            let spread = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
            0x2001_0db8 << 96 | spread & 0x0003_0003_0003_0003_0003_0003
        };
        let rules: Vec<(IpNet, Action)> = (0..round * 7)
            .map(|_| {
                let action =
                    [Action::Allow, Action::Deny, Action::Ignore][numbers.below(3) as usize];
                let (address, length): (IpAddr, u64) = match numbers.below(2) {
                    0 => (Ipv4Addr::from(v4(&mut numbers)).into(), numbers.below(33)),
                    _ => (Ipv6Addr::from(v6(&mut numbers)).into(), numbers.below(129)),
                };
                (IpNet::new(address, length as u8).unwrap().trunc(), action)
            })
            .collect();
        let otherwise = [Action::Allow, Action::Deny][round % 2];
        let access = AccessRules::new(rules, otherwise);
        let places = OURS.map(|ours| place(ours, None));
        let mut bench = Bench::new(&object(true), Rules { access, ..OPEN() }, &places);
        for case in 0..200 {
            let ours = OURS[case % 2];
            let from: IpAddr = match ours {
                IpAddr::V4(_) => Ipv4Addr::from(v4(&mut numbers)).into(),
                IpAddr::V6(_) => Ipv6Addr::from(v6(&mut numbers)).into(),
            };
            let payload = request(&mut numbers, 4);
            let scene = scene(&mut numbers);
            bench
                .compare(&scene, &Frame::request((from, 123).into(), (ours, 123).into(), &payload));
        }
    }
}

/// Two tables with one key, asked the same in the same order, say the same.
pub(crate) fn the_rate_limit_holds_as_on_the_sockets() {
    let mut numbers = Numbers::new(3);
    let mut seen = std::collections::HashSet::new();
    for (leak, burst, interval) in [(0, 1, 4_000), (4, 16, 4_000), (1, 3, 1), (3, 255, 60_000)] {
        let limit = RateLimit {
            interval: Duration::from_millis(interval),
            burst,
            leak,
            table_size: 64,
            ipv4_prefix: 28,
            ipv6_prefix: 60,
        };
        let rules = Rules { limit: Some(limit), versions: Versions::ALL, ..OPEN() };
        let mut bench = Bench::new(&object(true), rules, &OURS.map(|ours| place(ours, None)));
        let mut scene = scene(&mut numbers);
        for case in 0..3_000 {
            let ours = OURS[case % 2];
            // Few clients with much to ask, and many with little.
            let who =
                if numbers.below(4) == 0 { numbers.below(1 << 20) } else { numbers.below(40) };
            let from: IpAddr = match ours {
                IpAddr::V4(_) => Ipv4Addr::from(0x0a00_0000 | who as u32).into(),
                IpAddr::V6(_) => {
                    Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(who) << 62 | 9).into()
                }
            };
            let passes = numbers.below(interval * 1_000_000 / 2);
            scene.boot += passes;
            scene.state.as_of = Mono(scene.boot);
            (scene.chance, scene.noise) = (numbers.next() as u16, numbers.next());
            let payload = request(&mut numbers, 4);
            bench
                .compare(&scene, &Frame::request((from, 123).into(), (ours, 123).into(), &payload));
        }
        seen.extend(bench.counted().iter().map(|counter| counter.name()));
    }
    for counter in [
        FastCounter::Answered,
        FastCounter::AnsweredOverLimit,
        FastCounter::KissRate,
        FastCounter::DroppedLimited,
    ] {
        assert!(seen.contains(counter.name()), "{} never happened", counter.name());
    }
}

/// With the kernel's own chance, and with either of its clocks.
pub(crate) fn the_shipped_program_tells_the_time() {
    let mut numbers = Numbers::new(4);
    for timescale in [Timescale::Tai, Timescale::Monotonic] {
        let path = FastPath::load_reading(timescale, &object(false), None, [5, 6]);
        let mut path = match path {
            // An old kernel.
            Err(_) if timescale == Timescale::Tai => continue,
            path => path.unwrap_or_else(|error| panic!("{error:?}")),
        };
        path.listen(&OURS.map(|ours| place(ours, None)));
        path.decide(&decisions(&OPEN())).unwrap();
        let state = ClockState {
            as_of: clock::boot_time(),
            ..ClockState::local(Stratum::new(2), ReferenceId([127, 127, 1, 1]), Precision(-25))
        };
        let mut page = FastClock::open(path.clock().unwrap()).unwrap();
        page.publish(&state, timescale.bearings());
        let payload = request(&mut numbers, 4);
        let frame = Frame::request(([192, 0, 2, 1], 123).into(), (OURS[0], 123).into(), &payload);
        let before = Timestamp::from_unix(clock::realtime());
        let run = path.program().run(&frame.octets(), DEVICE, 1).unwrap();
        let after = Timestamp::from_unix(clock::realtime());
        let seconds = clock::realtime().seconds.rem_euclid(86_400);
        if !(5..86_395).contains(&seconds) {
            assert!(matches!(run.verdict, verdict::PASS | verdict::TRANSMIT), "at midnight");
            continue;
        }
        assert_eq!(run.verdict, verdict::TRANSMIT, "{timescale:?}");
        let answer = Frame::read(&run.frame).payload;
        let at = |at: usize| Timestamp::from_octets(answer[at..at + 8].try_into().unwrap());
        let (receive, transmit) = (at(32), at(40));
        // The noise below the precision may reach a little beyond, and so may where one clock was seen beside the other.
        let slack = Span::from_nanos(2_000);
        let order = [(before, receive + slack), (receive, transmit), (transmit, after + slack)];
        for (earlier, later) in order {
            assert!(
                !(later - earlier).is_negative(),
                "{timescale:?} {before} {receive} {transmit} {after}"
            );
        }
    }
}
