//! Whatever comes in whatever order: nothing panics, nothing grows, nothing foreign is believed.

use std::time::Duration;

use noonmark_client::{Action, Endpoint, Family, KeFailure, SourceKind, Sources};
use noonmark_clock::{Reading, SourceId};
use noonmark_units::{Mono, Precision, Span, Timestamp};
use proptest::prelude::*;

use crate::world::{Notebook, pool, random, server, spec};

/// One input, chosen by numbers.
#[derive(Clone, Debug)]
enum Input {
    Time(u32),
    Sent(u8),
    Datagram(u8, Vec<u8>),
    Echo(u8, Vec<u8>),
    Resolved(u8),
    Failure(u8),
    Step(i32),
    Resume,
    Route,
    NoRoute(u8),
}

fn input() -> impl Strategy<Value = Input> {
    let octets = proptest::collection::vec(any::<u8>(), 0..200);
    let short = proptest::collection::vec(any::<u8>(), 48);
    prop_oneof![
        4 => any::<u32>().prop_map(Input::Time),
        3 => (0..9u8).prop_map(Input::Sent),
        2 => (0..9u8, octets).prop_map(|(id, octets)| Input::Datagram(id, octets)),
        3 => (0..9u8, short).prop_map(|(id, octets)| Input::Echo(id, octets)),
        2 => (0..20u8).prop_map(Input::Resolved),
        1 => (0..9u8).prop_map(Input::Failure),
        1 => any::<i32>().prop_map(Input::Step),
        1 => Just(Input::Resume),
        1 => Just(Input::Route),
        1 => (0..9u8).prop_map(Input::NoRoute),
    ]
}

proptest! {
    #[test]
    fn no_order_of_inputs_disturbs(inputs in proptest::collection::vec(input(), 1..200)) {
        let name = Endpoint::new("pool.example", 123);
        let specs = vec![
            server("192.0.2.1"),
            pool("pool.example"),
            spec(SourceKind::Nts(Endpoint::new("nts.example", 4460))),
        ];
        let real = Timestamp::from_bits(0xee00_0000 << 32);
        let mut now = Reading { mono: Mono(1_000_000_000), real };
        let notes = Notebook::default();
        let mut sources = Sources::new(specs, notes.clone(), Precision(-20), random(3), now);
        let mut origin = [0; 8];
        let mut count = 0;
        for input in inputs {
            match input {
                Input::Time(millis) => {
                    let time = Duration::from_millis(u64::from(millis % 100_000));
                    now = Reading { mono: now.mono + time, real: now.real + Span::from_duration(time) };
                    sources.handle_timeout(now);
                }
                Input::Sent(id) => sources.handle_sent(SourceId(id.into()), now.real),
                Input::Datagram(id, octets) => {
                    let before = notes.0.borrow().samples.len();
                    sources.handle_datagram(SourceId(id.into()), &octets, now.real, now);
                    prop_assert_eq!(notes.0.borrow().samples.len(), before, "a guess was believed");
                }
                Input::Echo(id, mut octets) => {
                    octets[24..32].copy_from_slice(&origin);
                    sources.handle_datagram(SourceId(id.into()), &octets, now.real, now);
                }
                Input::Resolved(count) => {
                    let found: Vec<_> =
                        (0..count).map(|n| format!("198.51.100.{n}:123").parse().expect("address")).collect();
                    sources.handle_resolved(&name, Family::Any, &found, now);
                }
                Input::Failure(id) => {
                    sources.handle_ke_failure(SourceId(id.into()), KeFailure::Unreachable, now);
                }
                Input::Step(nanos) => {
                    let by = Span::from_nanos(i64::from(nanos) * 1000);
                    now.real = now.real + by;
                    sources.handle_step(by, now);
                }
                Input::Resume => sources.handle_resume(now),
                Input::Route => sources.handle_route_change(|_| true, now),
                Input::NoRoute(id) => sources.handle_no_route(SourceId(id.into()), |_| id % 2 == 0, now),
            }
            while let Some(action) = sources.poll_output() {
                count += 1;
                if let Action::Transmit { datagram, .. } = action {
                    origin.copy_from_slice(&datagram[40..48]);
                }
            }
            prop_assert!(notes.0.borrow().sources.len() <= 5);
        }
        prop_assert!(count < 100_000);
    }
}
