//! A batch answered part by part, and what its departures teach.

mod client;

use client::{Server, plain};
use noonmark_packet::Packet;
use noonmark_server::Batch;
use noonmark_units::Span;

fn batch(server: &Server, count: usize) -> Batch {
    let mut batch = Batch::new();
    for client in 0..count {
        let envelope = server.envelope(&format!("192.0.2.{client}:50123"));
        assert!(batch.push(&plain(), envelope));
    }
    batch
}

#[test]
fn a_batch_in_parts_has_every_answer_once_and_reads_the_clock_for_each_part() {
    for (count, part) in [(1, 8), (7, 8), (20, 8), (64, 8), (64, 1), (5, 64)] {
        let mut server = Server::new();
        let mut batch = batch(&server, count);
        server.responder.examine(&mut batch, server.mono);
        assert!(
            batch.slots().iter().all(|slot| slot.answer().is_none()),
            "nothing is answered yet"
        );
        let mut readings: i64 = 0;
        for first in (0..count).step_by(part) {
            let mut clock = || {
                readings += 1;
                server.time + Span::from_nanos(1_000_000 * ((readings + 1) / 2))
            };
            let responder = &mut server.responder;
            responder.answer(
                &mut batch,
                first..first + part,
                &server.state,
                &mut clock,
                server.mono,
            );
            let answered = batch.slots().iter().filter(|slot| slot.answer().is_some()).count();
            assert_eq!(answered, count.min(first + part), "{count} in parts of {part}");
        }
        let times = batch.slots().iter().map(|slot| {
            let answer = slot.answer().expect("one each");
            (Packet::parse(answer).expect("whole").transmit() - server.time).as_nanos()
        });
        for (place, time) in times.enumerate() {
            // The clock is read before and after each part, and stands a millisecond further for the next one.
            let read = 1_000_000 * (place / part + 1) as i64;
            assert!((read..read + 1_000_000).contains(&time), "{time} at {place} of {count}");
        }
    }
}

#[test]
fn a_part_that_is_not_there_changes_nothing() {
    let mut server = Server::new();
    let mut batch = batch(&server, 3);
    server.responder.examine(&mut batch, server.mono);
    let mut clock = || server.time;
    for part in [3..8, 64..72, usize::MAX - 1..usize::MAX] {
        server.responder.answer(&mut batch, part, &server.state, &mut clock, server.mono);
    }
    assert!(batch.slots().iter().all(|slot| slot.answer().is_none()));
}

#[test]
fn times_become_those_at_which_answers_leave() {
    const LATE: i64 = 30_000;
    let mut server = Server::new();
    let (mut probes, mut errors) = (0, Vec::new());
    for _ in 0..400 {
        let mut batch = batch(&server, 1);
        server.respond(&mut batch);
        let left = server.time + Span::from_nanos(LATE);
        let answer = batch.slots()[0].answer().expect("an answer").to_vec();
        errors.push((left - Packet::parse(&answer).unwrap().transmit()).as_nanos());
        let Some(probe) = server.responder.probe().copied() else { continue };
        probes += 1;
        assert_eq!((probe.slot(), probe.mark().as_slice()), (0, &answer[32..48]));
        let packet = [&[0x45; 42][..], &answer].concat();
        assert!(!server.responder.has_left(&packet[..89], left), "cut short");
        assert!(server.responder.has_left(&packet, left));
        assert!(!server.responder.has_left(&packet, left), "it has left once");
    }
    assert!((60..100).contains(&probes), "{probes} of 400");
    assert!(errors[0] > LATE / 2, "nothing is known at first: {}", errors[0]);
    assert!(errors[100..].iter().all(|error| error.abs() < 1_000), "{:?}", &errors[100..110]);
}
