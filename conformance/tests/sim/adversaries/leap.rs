//! Leap seconds that only some announce.

use noonmark_conformance::sim::daemon::Setup;
use noonmark_conformance::sim::{Daemon, START, TimeServer, World};
use noonmark_packet::Leap;
use noonmark_units::Precision;

use super::{model, variant};
use crate::settle;

/// A leap second announced by a minority is not believed; by all, it is.
#[test]
fn a_leap_second_needs_a_majority() {
    let announced_by = |leap: Leap, liars: usize| {
        let model = model(4);
        let mut world = World::new(&model, 1, Precision(-23));
        for n in 0..liars {
            let mut server = TimeServer::new(&model.servers[n], START, Precision(-23));
            server.leap = leap;
            world.replace_host(n, Box::new(server));
        }
        let setup = Setup::new(&variant(), 4);
        let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
        let mut announced = false;
        world.run(&mut daemon, 2_000, |_, world, daemon| {
            announced |= daemon.keeper().tracking(world.reading()).leap == leap;
        });
        announced
    };
    let rows = [
        ("A-12 a second more, announced by one of four", Leap::InsertSecond, 1, false),
        ("A-12 a second more, announced by two of four", Leap::InsertSecond, 2, false),
        ("A-12 a second more, announced by all four", Leap::InsertSecond, 4, true),
        ("A-12 a second less, announced by one of four", Leap::DeleteSecond, 1, false),
        ("A-12 a second less, announced by two of four", Leap::DeleteSecond, 2, false),
        ("A-12 a second less, announced by all four", Leap::DeleteSecond, 4, true),
    ];
    let verdicts = rows.map(|(name, leap, liars, believed)| {
        let good = announced_by(leap, liars) == believed;
        let problem = if believed { "it is not believed" } else { "it is believed" };
        (name.to_owned(), if good { Ok(()) } else { Err(problem.to_owned()) })
    });
    settle(verdicts.into());
}
