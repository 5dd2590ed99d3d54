//! Somebody on a path who delays packets: the one attack that no proof of origin stops.

use noonmark_conformance::sim::{Delivery, Direction, Meddler, Passing};

use super::{Attack, Conditions, FOUR, ONE, attack, check, pass};

/// Half the delay that is put in on one way is all the error it can make, and the interval knows it.
#[test]
fn a_delay_on_one_path_stays_within_the_interval() {
    check(&[
        Attack {
            conditions: ONE,
            server: |_, server| server.up.change = Some((2000.0, 1e-3)),
            more_s: 0.5e-3,
            ..attack("A-10 the only server, 1 ms more from 2000 s")
        },
        Attack {
            conditions: ONE,
            server: |_, server| server.up.change = Some((2000.0, 0.1)),
            more_s: 0.05,
            ..attack("A-10 the only server, 100 ms more from 2000 s")
        },
        Attack {
            conditions: ONE,
            server: |_, server| server.down.change = Some((2000.0, 1e-4)),
            more_s: 0.5e-4,
            ..attack("A-10 the only server, 100 µs more on the way down from 2000 s")
        },
        Attack {
            conditions: ONE,
            server: |_, server| server.down.change = Some((2000.0, 1e-2)),
            more_s: 0.5e-2,
            ..attack("A-10 the only server, 10 ms more on the way down from 2000 s")
        },
        Attack {
            conditions: ONE,
            server: |_, server| server.up.base += 0.1,
            more_s: 0.05,
            ..attack("A-10 the only server, 100 ms more from the start")
        },
        Attack {
            conditions: ONE,
            server: |_, server| server.down.change = Some((2000.0, 1.0)),
            more_s: 0.5,
            ..attack("A-10 the only server, 1 s more on the way down")
        },
        Attack {
            conditions: ONE,
            world: |world, _| world.set_meddler(Box::new(Ramp { per_second: 1e-6 })),
            more_s: 1e-3,
            ..attack("A-10 the only server, 1 µs a second more and more")
        },
        Attack {
            server: |n, server| {
                if n == 0 {
                    server.up.change = Some((2000.0, 0.1));
                }
            },
            ..attack("A-10 one path of four, 100 ms more from 2000 s")
        },
        Attack {
            server: |n, server| {
                if n == 0 {
                    server.up.base += 0.1;
                }
            },
            ..attack("A-10 one path of four, 100 ms more from the start")
        },
        Attack {
            conditions: Conditions { servers: 5, ..FOUR },
            server: |n, server| {
                if n < 2 {
                    server.up.change = Some((2000.0, 3e-3));
                }
            },
            ..attack("A-10 two paths of five, 3 ms more from 2000 s")
        },
    ]);
}

/// Delays more and more on the way up.
struct Ramp {
    per_second: f64,
}

impl Meddler for Ramp {
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery> {
        let more_s = match packet.direction {
            Direction::Up => self.per_second * (packet.at_s - 2000.0).max(0.0),
            Direction::Down => 0.0,
        };
        pass(&packet, more_s).into_iter().collect()
    }
}
