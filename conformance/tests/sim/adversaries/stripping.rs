//! Everything that might make a source with NTS be asked without, or storm the key server.

use noonmark_conformance::sim::{
    Daemon, Delivery, Direction, Intention, Meddler, Node, Passing, World,
};
use noonmark_packet::{Header, KissCode, Packet, ReferenceId};
use noonmark_units::{Precision, Span, Timestamp};

use super::forgers::answer_to;
use super::{model, variant};
use crate::nts::{self, NtsServer};

/// While key establishment is blocked and plain answers are offered, nothing is asked without NTS and nothing is believed.
#[test]
fn a_source_with_nts_is_never_asked_without() {
    let model = model(2);
    let mut world = World::new(&model, 1, Precision(-23));
    let setup = nts::setup(&variant(), 2);
    let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
    world.run(&mut daemon, 20_000, |_, _, _| {});
    assert_eq!(world.questions(), 0, "it asked without keys");
    assert_eq!(daemon.keeper().tracking(world.reading()).updates, 0);
    assert!(daemon.key_exchanges() >= 2, "it did not even try");
    assert!(daemon.key_exchanges() <= 60, "{} attempts in 20000 s", daemon.key_exchanges());
}

/// NTSN from somebody who sees the questions brings new keys now and then, and never plain questions.
#[test]
fn forged_naks_do_not_strip_nts() {
    let model = model(1);
    let mut world = World::new(&model, 1, Precision(-23));
    world.replace_host(0, Box::new(NtsServer::new(1)));
    world.set_meddler(Box::new(Stripper { plain_questions: 0 }));
    let setup = nts::setup(&variant(), 1);
    let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
    daemon.set_key_exchange(Box::new(|server| Some(nts::agreement(server as u64))));
    let mut watched = Watched { daemon, plain: 0 };
    world.run(&mut watched, 20_000, |_, _, _| {});
    assert_eq!(watched.plain, 0, "plain questions left");
    let exchanges = watched.daemon.key_exchanges();
    assert!((1..=60).contains(&exchanges), "{exchanges} key exchanges in 20000 s");
}

/// Under loss for a day, cookies run out and are renewed within bounds; the clock is kept and no question goes without NTS.
#[test]
fn loss_for_a_day_neither_strips_nts_nor_storms_the_key_server() {
    for (loss, most) in [(0.3, 12), (0.6, 30), (0.9, 120)] {
        let mut model = model(1);
        model.servers[0].up.loss = Some(1.0 - (1.0f64 - loss).sqrt());
        model.servers[0].down.loss = Some(1.0 - (1.0f64 - loss).sqrt());
        let mut world = World::new(&model, 1, Precision(-23));
        world.replace_host(0, Box::new(NtsServer::new(1)));
        let setup = nts::setup(&variant(), 1);
        let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
        daemon.set_key_exchange(Box::new(|server| Some(nts::agreement(server as u64))));
        let mut watched = Watched { daemon, plain: 0 };
        let mut late_s: f64 = 0.0;
        world.run(&mut watched, 86_400, |second, world, _| {
            if second > 40_000 {
                late_s = late_s.max(world.offset().abs());
            }
        });
        let exchanges = watched.daemon.key_exchanges();
        println!("{loss} lost: {exchanges} key exchanges, largest late error {late_s:.2e} s");
        assert_eq!(watched.plain, 0, "plain questions left");
        assert!((1..=most).contains(&exchanges), "{loss}: {exchanges} key exchanges in a day");
        assert!(late_s < 0.05, "{loss}: {late_s} s off");
    }
}

/// Drops what the server says and says NTSN or DENY in its place.
struct Stripper {
    plain_questions: u32,
}

impl Meddler for Stripper {
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery> {
        if packet.direction == Direction::Down {
            return Vec::new();
        }
        let Ok(question) = Packet::parse(packet.datagram) else { return Vec::new() };
        self.plain_questions += 1;
        let code = if self.plain_questions.is_multiple_of(2) { *b"NTSN" } else { *b"DENY" };
        let header = Header {
            stratum: 0,
            reference_id: ReferenceId(KissCode(code).0),
            ..answer_to(&question.header())
        };
        // The identifier is in the clear, so it can be returned; a tag cannot.
        let mut datagram = header.to_octets().to_vec();
        datagram.extend_from_slice(packet.datagram.get(48..84).unwrap_or_default());
        let kiss = Delivery { direction: Direction::Down, delay_s: 1e-3, datagram };
        vec![kiss]
    }
}

/// A daemon whose questions are looked at as they leave.
struct Watched {
    daemon: Daemon,
    plain: u32,
}

impl Node for Watched {
    fn handle_timeout(&mut self, now: noonmark_clock::Reading) {
        self.daemon.handle_timeout(now);
    }

    fn handle_sent(&mut self, server: usize, sent: Timestamp) {
        self.daemon.handle_sent(server, sent);
    }

    fn handle_datagram(
        &mut self,
        server: usize,
        datagram: &[u8],
        received: Timestamp,
        now: noonmark_clock::Reading,
    ) {
        self.daemon.handle_datagram(server, datagram, received, now);
    }

    fn handle_adjusted(
        &mut self,
        outcome: Result<noonmark_clock::Adjusted, noonmark_clock::NotAdjusted>,
        now: noonmark_clock::Reading,
    ) {
        self.daemon.handle_adjusted(outcome, now);
    }

    fn handle_step(&mut self, by: Span, now: noonmark_clock::Reading) {
        self.daemon.handle_step(by, now);
    }

    fn handle_errand(&mut self, number: u64, now: noonmark_clock::Reading) {
        self.daemon.handle_errand(number, now);
    }

    fn poll_output(&mut self) -> Option<Intention> {
        let output = self.daemon.poll_output();
        if let Some(Intention::Transmit { datagram, .. }) = &output {
            // 48 octets of header, then identifier, cookie and authenticator.
            self.plain += u32::from(datagram.len() < 200);
        }
        output
    }

    fn deadline(&self) -> noonmark_units::Mono {
        self.daemon.deadline()
    }
}
