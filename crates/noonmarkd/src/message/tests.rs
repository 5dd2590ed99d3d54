use std::time::Duration;

use proptest::prelude::*;

use noonmark_clock::guard::Facts;
use noonmark_clock::leap::{Handling, LeapSecond};
use noonmark_clock::{Adjusted, Adjustment, ClockState, Memory, NotAdjusted, Reading};
use noonmark_nts::{CookieKey, ValidityPeriod};
use noonmark_os::bpf::Mode;
use noonmark_os::clock::Timescale;
use noonmark_units::{Frequency, Mono, Span, Timestamp};

use super::*;

/// One of each kind, with every field away from its default.
fn samples() -> Vec<Message> {
    let time = |seconds| UnixTime { seconds, nanos: 999_999_999 };
    let listening = |address: &str, interface: &str| {
        Message::Listening(Listening {
            index: 1,
            count: 2,
            protocol: Protocol::Ke,
            address: address.parse().expect("an address"),
            receive_buffer: 4 << 20,
            interface: Text::new(interface),
        })
    };
    let taken = |refused| {
        Message::Taken(Taken { subject: Subject::Certificate, generation: 7, at: time(8), refused })
    };
    let state = |role, last_end: Option<End>| {
        Message::RoleState(RoleState {
            role,
            phase: Phase::Hung,
            last_end: last_end.map(|how| LastEnd { how, time: time(7), at: Mono(u64::MAX) }),
            silence: Duration::from_millis(6_001),
            pid: 4711,
            restarts: 3,
            memory: 1 << 40,
            memory_bound: 1 << 41,
            started: time(-1),
        })
    };
    let certificate = |names: &[&str]| {
        let period = |from| ValidityPeriod { not_before: time(from), not_after: time(from + 1) };
        let names = names.iter().copied();
        Message::Certificate(Certificate::new(names, period(3), period(5), [7; 32]))
    };
    vec![
        Message::Configure { generation: 1, purpose: Purpose::SetOnce, run: [7; 16] },
        Message::Sockets { first: 16, count: 17 },
        Message::Identity { generation: u32::MAX },
        Message::CookieKeys(key_set(1)),
        Message::CookieKeys(key_set(MOST_KEYS)),
        Message::ClockPage,
        Message::CounterPage { role: Role::Ke },
        Message::Stop,
        Message::Ready { generation: 2 },
        Message::Failed { status: Status::State, reason: Text::new("damaged") },
        Message::IdentityRefused { generation: 2, reason: Text::new("") },
        state(None, None),
        state(Some(Role::Ntp), Some(End::Status(-1))),
        state(Some(Role::Observe), Some(End::Signal(9))),
        state(Some(Role::Ke), Some(End::Hung)),
        listening("192.0.2.1:123", ""),
        listening("[2001:db8::1]:65535", "eth0"),
        listening("[fe80::1%7]:1", "eth0"),
        taken(None),
        taken(Some((time(9), Text::new("the key is another one’s")))),
        Message::Epochs(Epochs { current: 7, oldest: 5, next_turn: time(i64::MAX) }),
        Message::Daemon {
            started: time(i64::MIN),
            ready: true,
            file: Text::new("/etc/noonmark/noonmark.toml"),
        },
        Message::Pulse,
        certificate(&[]),
        certificate(&["time.example", "192.0.2.1"]),
        // More than fit: the last ones are left out.
        certificate(&["a-name-of-some-length.example"; 200]),
        Message::Partner,
        Message::SourcesPage,
        Message::Welcome(Welcome {
            memory: None,
            rate: Frequency::from_ppm(-3.5),
            at: at(5),
            floor: time(6),
        }),
        Message::Welcome(Welcome {
            memory: Some(MEMORY),
            rate: Frequency::ZERO,
            at: at(7),
            floor: time(8),
        }),
        wish(Adjustment::Rate(Frequency::from_ppm(500.0)), Some(Duration::from_millis(1500))),
        wish(Adjustment::Rate(Frequency::from_ppm(-0.1)), None),
        wish(Adjustment::Step(Span::from_seconds(-3600)), None),
        answer(Ok(Adjustment::Rate(Frequency::from_ppm(500.0)))),
        answer(Ok(Adjustment::Step(Span::MIN))),
        answer(Err(NotAdjusted::Forbidden("no".to_owned()))),
        answer(Err(NotAdjusted::Failed("the clock would not".to_owned()))),
        Message::Standing(STANDING),
        Message::Standing(Standing { memory: None, state: ClockState::Holdover, ..STANDING }),
        Message::ClientKeys,
        Message::Done,
        Message::Confined {
            role: Role::Ke,
            confined: Confined {
                user: u32::MAX,
                held: Parts::NONE.with(Part::User).with(Part::Calls),
                lacking: Parts::NONE.with(Part::Limits),
            },
        },
        happened(Event::Restored),
        happened(Event::Meddled),
        Message::Authorities,
        Message::Renew,
        Message::Bequest,
        Message::KernelLog,
        Message::FastClock(FastClockRead(Timescale::Tai)),
        Message::FastClock(FastClockRead(Timescale::Monotonic)),
        Message::KernelPath(KernelPath::default()),
        Message::KernelPath(KernelPath {
            lanes: 128,
            devices: vec![(Text::new("eth0"), Mode::Native), (Text::new("eth1"), Mode::Generic)],
            reason: Text::new("eth2: there is no such device"),
        }),
        planned(None),
        planned(Some(true)),
        planned(Some(false)),
    ]
}

fn happened(event: Event) -> Message {
    let (time, at) = (UnixTime { seconds: -5, nanos: 7 }, Mono(u64::MAX));
    Message::Happened(Happening { event, count: 3, time, at, facts: Text::new("set by +5 s") })
}

const MEMORY: Memory =
    Memory { frequency: Frequency::from_ppm(12.5), skew: Frequency::from_ppm(0.25) };

const STANDING: Standing = Standing {
    state: ClockState::Synchronised,
    leap: noonmark_packet::Leap::InsertSecond,
    stratum: 3,
    reference_id: noonmark_packet::ReferenceId([192, 0, 2, 1]),
    root_delay: Span::from_nanos(1_000_000),
    root_dispersion: Span::from_nanos(250_000),
    estimated_error: Span::from_nanos(-1),
    as_of: Mono(u64::MAX),
    reference_time: Timestamp::from_bits(0xe9ff_0000_1234_5678),
    growth_ppb: 15_000,
    facts: Facts { agreeing: 3, updates: 17 },
    memory: Some(MEMORY),
};

fn at(seconds: u64) -> Reading {
    Reading { mono: Mono(seconds * 1_000_000_000), real: Timestamp::from_bits(seconds << 32) }
}

fn wish(adjustment: Adjustment, hold: Option<Duration>) -> Message {
    let then = hold.map(|hold| (hold, Frequency::from_ppm(-7.0)));
    Message::Wish(Wish { number: 9, adjustment, facts: STANDING.facts, then })
}

fn answer(outcome: Result<Adjustment, NotAdjusted>) -> Message {
    let outcome = outcome.map(|adjustment| Adjusted { adjustment, at: at(9) });
    Message::Answer(Answer { number: 9, outcome })
}

fn planned(inserted: Option<bool>) -> Message {
    let at = UnixTime { seconds: 1_814_400_000, nanos: 0 };
    let leap = inserted.map(|inserted| LeapSecond { at, inserted });
    Message::Leap(PlannedLeap { leap, handling: Handling::Slew })
}

fn key_set(count: usize) -> KeySet {
    let keys = (0..count)
        .map(|epoch| CookieKey::new(u32::try_from(epoch).expect("few"), [epoch as u8; 32]))
        .collect();
    KeySet { current: 7, next_turn: UnixTime { seconds: 1_900_000_000, nanos: 0 }, keys }
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    let mut kinds = std::collections::HashSet::new();
    for message in samples() {
        let octets = message.to_octets();
        assert!(octets.len() <= LONGEST, "{}: {}", message.name(), octets.len());
        let again =
            Message::parse(&octets).unwrap_or_else(|error| panic!("{}: {error}", message.name()));
        assert_eq!(*again.to_octets(), *octets, "{}", message.name());
        assert_eq!((again.kind(), again.name()), (message.kind(), message.name()));
        kinds.insert(message.kind());
    }
    assert_eq!(kinds, (1..=34).collect(), "a sample of every kind");
}

#[test]
fn layouts_are_fixed() {
    let check = |message: Message, expected: &[u8]| {
        assert_eq!(**message.to_octets(), *expected, "{}", message.name());
    };
    check(
        Message::Configure {
            generation: 0x0102_0304,
            purpose: Purpose::Serve,
            run: *b"0123456789abcdef",
        },
        b"NM\x01\x01\0\0\0\x18\x01\x02\x03\x04\0\0\0\x000123456789abcdef",
    );
    // -1 s as 32.32, two sources agree, no time to hold.
    check(
        Message::Wish(Wish {
            number: 1,
            adjustment: Adjustment::Step(Span::from_seconds(-1)),
            facts: Facts { agreeing: 2, updates: 0 },
            then: None,
        }),
        b"NM\x01\x15\0\0\0\x28\0\0\0\x01\x02\0\0\0\xff\xff\xff\xff\0\0\0\0\
          \0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    check(Message::Sockets { first: 1, count: 0x203 }, b"NM\x01\x02\0\0\0\x04\0\x01\x02\x03");
    check(Message::Stop, b"NM\x01\x07\0\0\0\0");
    check(
        Message::Failed { status: Status::AddressTaken, reason: Text::new("no") },
        b"NM\x01\x09\0\0\0\x06\x45\0\0\x02no",
    );
    let octets = Message::CookieKeys(key_set(2)).to_octets();
    assert_eq!(octets.len(), 8 + 20 + 2 * 36);
    assert_eq!(
        octets[28 + 36..28 + 36 + 6],
        [0, 0, 0, 1, 1, 1],
        "the second key follows the first"
    );
}

#[test]
fn cut_lengthened_or_foreign_octets_are_refused() {
    for message in samples() {
        let octets = message.to_octets();
        for len in 0..octets.len() {
            assert!(Message::parse(&octets[..len]).is_err(), "{} cut to {len}", message.name());
        }
        let mut longer = octets.to_vec();
        longer.push(0);
        assert!(Message::parse(&longer).is_err(), "{} lengthened", message.name());
        // With a length that admits it.
        let len = u32::try_from(longer.len() - 8).expect("short");
        longer[4..8].copy_from_slice(&len.to_be_bytes());
        assert!(Message::parse(&longer).is_err(), "{} lengthened and saying so", message.name());
    }
    let check = |octets: &[u8], expected| {
        assert_eq!(Message::parse(octets).err(), Some(expected), "{octets:?}");
    };
    check(b"", MessageError::Short);
    check(b"XX\x01\x07\0\0\0\0", MessageError::Magic);
    check(b"NM\x02\x07\0\0\0\0", MessageError::Version { found: 2 });
    check(b"NM\x01\x00\0\0\0\0", MessageError::Kind { found: 0 });
    check(b"NM\x01\x40\0\0\0\0", MessageError::Kind { found: 64 });
    check(b"NM\x01\x02\0\0\0\x04\0\x03\0\x03", MessageError::Value { what: "index" });
    check(b"NM\x01\x06\0\0\0\x04\x06\0\0\0", MessageError::Value { what: "role" });
    check(b"NM\x01\x06\0\0\0\x04\x02\0\0\x01", MessageError::Value { what: "reserved octets" });
    check(b"NM\x01\x09\0\0\0\x06\x01\0\0\x02no", MessageError::Value { what: "exit status" });
    check(b"NM\x01\x09\0\0\0\x06\x45\0\0\x02n\x07", MessageError::Value { what: "text" });
    check(b"NM\x01\x09\0\0\0\x06\x45\0\0\x02n\xff", MessageError::Value { what: "text" });
    let long = [&b"NM\x01\x07\0\0\x10\0"[..], &[0; LONGEST]].concat();
    check(&long, MessageError::Length { len: LONGEST + 8 });
}

#[test]
fn no_role_may_send_what_is_the_launchers_or_anothers() {
    let allowed: Vec<(&str, Vec<&str>)> = samples()
        .iter()
        .map(|message| {
            let senders =
                Role::ALL.into_iter().filter(|role| message.may_be_sent_by(*role)).map(Role::name);
            (message.name(), senders.collect())
        })
        .collect();
    for (name, senders) in allowed {
        let expected: &[&str] = match name {
            "ready" | "failed" | "pulse" => &["warden", "ntp", "ke", "observe", "sources"],
            "cookie-keys" | "clock-page" | "bequest" | "happened" => &["warden"],
            // The sample is of ke's counters.
            "counter-page" | "identity-refused" | "confined" => &["ke"],
            "sources-page" | "done" | "renew" => &["sources"],
            _ => &[],
        };
        assert_eq!(senders, expected, "{name}");
    }
    let keys = Message::CookieKeys(key_set(1));
    assert!(!keys.may_be_sent_to(Role::Observe) && !keys.may_be_sent_to(Role::Warden));
    assert!(!Message::Identity { generation: 1 }.may_be_sent_to(Role::Ntp));
    // Only between warden and sources, and what moves the clock in one direction only.
    for message in samples() {
        let says = |role| message.may_be_sent_to_partner_by(role);
        let expected = match message.name() {
            "wish" | "standing" => (false, true),
            "welcome" | "answer" | "leap" => (true, false),
            "client-keys" => (true, true),
            _ => (false, false),
        };
        assert_eq!((says(Role::Warden), says(Role::Sources)), expected, "{}", message.name());
        assert!(![Role::Ntp, Role::Ke, Role::Observe].into_iter().any(says), "{}", message.name());
    }
}

proptest! {
    #[test]
    fn any_octets_are_refused_or_written_back_the_same(
        kind in 0..32_u8,
        body in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut octets = vec![b'N', b'M', VERSION, kind];
        octets.extend_from_slice(&u32::try_from(body.len()).expect("short").to_be_bytes());
        octets.extend_from_slice(&body);
        if let Ok(message) = Message::parse(&octets) {
            prop_assert_eq!(&**message.to_octets(), &octets[..]);
        }
    }

    #[test]
    fn a_changed_octet_is_refused_or_still_one_to_one(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let samples = samples();
        let mut octets = which.get(&samples).to_octets().to_vec();
        *at.get_mut(&mut octets[..]) ^= flip;
        if let Ok(message) = Message::parse(&octets) {
            prop_assert_eq!(&**message.to_octets(), &octets[..]);
        }
    }

    #[test]
    fn any_text_is_made_to_fit(text in any::<String>(), times in 1..200_usize) {
        let text = Text::new(&text.repeat(times));
        prop_assert!(text.as_str().len() <= LONGEST_TEXT);
        let message = Message::IdentityRefused { generation: 1, reason: text.clone() };
        match Message::parse(&message.to_octets()) {
            Ok(Message::IdentityRefused { reason, .. }) => prop_assert_eq!(reason, text),
            _ => prop_assert!(false, "not read back"),
        }
    }
}
