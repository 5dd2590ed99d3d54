//! What makes the past worthless, and what the keeper asks for.

use std::time::Duration;

use noonmark_client::{Endpoint, SourceEvent, SourceKind};
use noonmark_clock::{Adjustment, Output, SourceId};
use noonmark_packet::ReferenceId;
use noonmark_units::{Frequency, Mono, Span};

use crate::world::{Manner, World, server, spec};

const HOUR: Duration = Duration::from_secs(3600);

fn one_server() -> World {
    World::new(vec![server("192.0.2.1")], |setting| {
        setting.server("192.0.2.1:123", Manner::Answers);
    })
}

/// Questions in the next 20 s.
fn questions_soon(world: &mut World) -> usize {
    let before = world.questions.len();
    world.run(Duration::from_secs(20));
    world.questions.len() - before
}

#[test]
fn whatever_makes_the_past_worthless_is_followed_by_four_questions() {
    fn check(name: &str, event: impl Fn(&mut World)) {
        let mut world = one_server();
        world.run(HOUR);
        event(&mut world);
        world.carry_out();
        let questions = questions_soon(&mut world);
        assert!((4..=5).contains(&questions), "{name}: {questions}");
    }
    check("resume", |world| {
        world.now = world.now + 8 * HOUR;
        let reading = world.reading();
        world.sources.handle_resume(reading);
    });
    check("route", |world| {
        let reading = world.reading();
        world.sources.handle_route_change(|_| true, reading);
    });
}

#[test]
fn a_step_between_question_and_answer_does_not_spoil_the_offset() {
    let mut world = one_server();
    world.round_trip = Duration::from_millis(500);
    world.run(HOUR);
    let before = world.questions.len();
    while world.questions.len() == before {
        world.run(Duration::from_millis(100));
    }
    let by = Span::from_seconds(-7);
    world.clock_error = by;
    let reading = world.reading();
    world.sources.handle_step(by, reading);
    world.carry_out();
    world.run(Duration::from_secs(1));
    let notes = world.notes.0.borrow();
    let (_, last) = notes.samples.last().expect("samples");
    let offset = (last.receive - last.origin) + (last.transmit - last.destination);
    assert!((offset.half() - Span::from_seconds(7)).abs() < Span::from_nanos(1000), "{offset}");
    assert_eq!(notes.steps, [by]);
}

#[test]
fn the_keepers_wishes_reach_association_and_clock() {
    let mut world = one_server();
    world.run(HOUR);
    let source = SourceId(1);
    let wishes = [
        Output::Pace { source, interval: Duration::from_secs(350) },
        Output::Adjust(Adjustment::Rate(Frequency::from_ppm(3.0))),
    ];
    world.notes.0.borrow_mut().say.extend(wishes);
    world.run(2 * HOUR);
    let times = world.times("192.0.2.1:123");
    for pair in times.windows(2).rev().take(10) {
        let gap = (pair[1] - pair[0]).as_secs_f64();
        assert!((350.0..357.1).contains(&gap), "{gap}");
    }
    assert_eq!(world.questions.last().expect("one").2[2], 8, "2^8 s is nearest to 350 s");
    assert_eq!(world.notes.0.borrow().adjusted, 1);
    let burst = Output::Burst { source, questions: 3, spacing: Duration::from_secs(2) };
    world.notes.0.borrow_mut().say.push_back(burst);
    let reading = world.reading();
    world.sources.handle_timeout(reading);
    world.carry_out();
    assert!((3..=4).contains(&questions_soon(&mut world)));
}

#[test]
fn a_server_that_follows_us_is_not_followed() {
    let mut world = World::new(vec![server("192.0.2.1")], |setting| {
        setting.server("192.0.2.1:123", Manner::Follows([198, 51, 100, 7]));
    });
    world.sources.set_own_reference_ids(vec![ReferenceId([198, 51, 100, 7])]);
    world.run(HOUR);
    assert!(world.notes.0.borrow().samples.is_empty());
    assert!(
        world.events.contains(&(world.events[1].0, SourceEvent::Loop(SourceId(1))))
            || world.events.iter().any(|(_, event)| *event == SourceEvent::Loop(SourceId(1)))
    );
}

#[test]
fn silence_and_return_are_told_once() {
    let mut world = one_server();
    world.run(HOUR);
    let address = "192.0.2.1:123".parse().expect("an address");
    world.servers.insert(address, Manner::Silent);
    world.run(4 * HOUR);
    world.servers.insert(address, Manner::Answers);
    world.run(4 * HOUR);
    let told: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            SourceEvent::Reachable(_) => Some(true),
            SourceEvent::Unreachable(_) => Some(false),
            _ => None,
        })
        .collect();
    assert_eq!(told, [true, false, true]);
    assert_ne!(world.now, Mono::NEVER);
}

#[test]
fn a_network_that_comes_back_is_a_reason_to_establish_keys_at_once() {
    let kind = SourceKind::Nts(Endpoint::new("nts.example", 4460));
    let mut world = World::new(vec![spec(kind)], |_| ());
    world.run(48 * HOUR);
    let before = world.establishments.len();
    let server = "192.0.2.1:123".parse().expect("an address");
    world.key_servers.insert("nts.example".to_owned(), Ok(server));
    world.servers.insert(server, Manner::Answers);
    let reading = world.reading();
    world.sources.handle_route_change(|_| true, reading);
    world.carry_out();
    world.run(Duration::from_secs(20));
    assert_eq!(world.establishments.len(), before + 1);
    assert!(world.notes.0.borrow().samples.len() >= 4);
}
