//! Servers that have lost their sources together with us.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::world::{Manner, World, server};

const HOUR: Duration = Duration::from_secs(3600);
const AGREED: u8 = 6;

/// Sources at 192.0.2.N, asked from 192.0.2.50, where servers without sources are at stratum 6.
fn world(manners: &[(u8, Manner)]) -> World {
    let hosts: Vec<_> = manners.iter().map(|(n, _)| format!("192.0.2.{n}")).collect();
    let mut world = World::new(hosts.iter().map(|host| server(host)).collect(), |setting| {
        for (host, (_, manner)) in hosts.iter().zip(manners) {
            setting.server(&format!("{host}:123"), *manner);
        }
    });
    let now = world.reading();
    world.sources.set_orphan_stratum(Some(AGREED), now);
    world.carry_out();
    world
}

/// The last numbers of those that the keeper may follow.
fn heard(world: &World) -> BTreeSet<u8> {
    let notes = world.notes.0.borrow();
    let last = |address: std::net::SocketAddr| match address {
        std::net::SocketAddr::V4(address) => address.ip().octets()[3],
        std::net::SocketAddr::V6(_) => 0,
    };
    notes.sources.iter().filter_map(|id| world.sources.address(*id)).map(last).collect()
}

fn answer(world: &mut World, number: u8, manner: Manner) {
    let address = format!("192.0.2.{number}:123").parse().expect("an address");
    world.servers.insert(address, manner);
}

#[test]
fn of_servers_without_sources_the_one_with_the_smallest_reference_id_is_followed() {
    let check = |manners: &[(u8, Manner)], expected: &[u8]| {
        let mut world = world(manners);
        world.run(HOUR);
        assert_eq!(heard(&world), expected.iter().copied().collect(), "{manners:?}");
    };
    let (orphan, follower) = (Manner::At(AGREED), Manner::At(AGREED + 1));
    check(&[(7, orphan), (9, orphan), (60, orphan)], &[7]);
    // Ours is smaller than any: the others follow us.
    check(&[(60, orphan), (70, follower)], &[]);
    // Who follows another without sources is not followed.
    check(&[(7, follower), (9, orphan)], &[9]);
    check(&[(7, follower)], &[]);
    // Who has a source, or once had, is better.
    check(&[(7, orphan), (60, Manner::Answers)], &[60]);
    check(&[(7, orphan), (60, Manner::At(AGREED - 1))], &[60]);
    // Who is silent is not waited for long, and still asked.
    check(&[(7, orphan), (60, Manner::Silent)], &[7, 60]);
    check(&[(60, Manner::Silent), (61, Manner::Kisses(*b"DENY")), (7, orphan)], &[7, 60, 61]);
}

#[test]
fn whoever_loses_all_sources_changes_over_and_back() {
    let mut world =
        world(&[(7, Manner::At(AGREED)), (9, Manner::Answers), (60, Manner::At(AGREED))]);
    world.run(HOUR);
    assert_eq!(heard(&world), [9].into());
    answer(&mut world, 9, Manner::Silent);
    world.run(HOUR);
    assert_eq!(heard(&world), [7, 9].into(), "the first of those without sources");
    // That one goes, too; ours is smaller than the other's.
    answer(&mut world, 7, Manner::Silent);
    world.run(HOUR);
    assert_eq!(heard(&world), [9].into());
    let statuses = world.sources.statuses();
    let orphans: Vec<_> = statuses.iter().map(|status| status.is_orphan).collect();
    assert_eq!(orphans, [true, false, true]);
    // The first answer of a real one is enough.
    answer(&mut world, 9, Manner::Answers);
    answer(&mut world, 7, Manner::At(AGREED));
    world.run(HOUR);
    assert_eq!(heard(&world), [9].into());
}

#[test]
fn nobody_minds_unless_told_to() {
    let mut world = world(&[(7, Manner::At(AGREED)), (60, Manner::At(AGREED + 1))]);
    let now = world.reading();
    world.sources.set_orphan_stratum(None, now);
    world.run(HOUR);
    assert_eq!(heard(&world), [7, 60].into());
    let samples = world.notes.0.borrow().samples.len();
    assert!(samples > 100, "{samples}");
}
