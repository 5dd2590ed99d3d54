//! Ways that are not there, come and go: address families, routes, interfaces.

use std::net::SocketAddr;
use std::time::Duration;

use noonmark_client::{Endpoint, Family, Removal, SourceEvent, SourceKind, SourceSpec};

use crate::world::{Manner, World, server, spec};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const V6: &str = "[2001:db8::1]:123";
const V4: &str = "192.0.2.1:123";

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// A name with an address of each family, IPv6 first as resolvers like it (RFC 6724).
fn both_families() -> World {
    World::new(vec![server("time.example")], |setting| {
        setting.name("time.example", &[V6, V4]);
        setting.server(V6, Manner::Answers);
        setting.server(V4, Manner::Answers);
    })
}

/// A server with NTS whose key establishment names `address`.
fn nts(address: &str) -> World {
    let kind = SourceKind::Nts(Endpoint::new("nts.example", 4460));
    World::new(vec![spec(kind)], |setting| {
        setting.key_server("nts.example", Ok(address));
        setting.server(V6, Manner::Answers);
        setting.server(V4, Manner::Answers);
    })
}

fn unanswered(world: &World) -> u64 {
    world.sources.statuses().iter().map(|status| status.tally.unanswered).sum()
}

#[test]
fn without_a_way_the_next_address_that_has_one_is_asked_at_once() {
    let addresses = ["[2001:db8::1]:123", "[2001:db8::2]:123", "192.0.2.1:123"];
    let mut world = World::new(vec![server("time.example")], |setting| {
        setting.name("time.example", &addresses);
        setting.server(addresses[0], Manner::NoRoute);
        setting.server(addresses[1], Manner::NoRoute);
        setting.server(addresses[2], Manner::Answers);
    });
    world.run(Duration::from_secs(10));
    assert_eq!(world.removals(), [Removal::NoRoute], "past the second, which has no way either");
    assert_eq!(world.times(addresses[2]).len(), 4);

    let mut world = World::new(vec![server("time.example")], |setting| {
        setting.name("time.example", &addresses);
        for address in addresses {
            setting.server(address, Manner::NoRoute);
        }
    });
    world.run(HOUR);
    assert_eq!(world.removals(), [], "no circles");
    assert!(world.questions.len() < 120, "{} questions into the void", world.questions.len());
}

#[test]
fn the_resolvers_order_decides_between_families_and_the_operator_over_it() {
    fn check(family: Family, expected: &str) {
        let specs = vec![SourceSpec { family, ..server("time.example") }];
        let mut world = World::new(specs, |setting| {
            setting.name("time.example", &[V6, V4]);
            setting.server(V6, Manner::Answers);
            setting.server(V4, Manner::Answers);
        });
        world.run(HOUR);
        let asked: Vec<_> = world.questions.iter().map(|(_, to, _)| *to).collect();
        assert!(asked.len() > 50 && asked.iter().all(|to| *to == at(expected)), "{family:?}");
    }
    check(Family::Any, V6);
    check(Family::V6, V6);
    check(Family::V4, V4);
}

#[test]
fn two_families_of_one_name_may_be_two_sources() {
    let of = |family| SourceSpec { family, ..server("time.example") };
    let mut world = World::new(vec![of(Family::V6), of(Family::V4)], |setting| {
        setting.name("time.example", &[V6, V4]);
    });
    world.run(MINUTE);
    let addresses: Vec<_> = world.sources.statuses().iter().map(|one| one.address).collect();
    assert_eq!(addresses, [Some(at(V6)), Some(at(V4))]);
}

#[test]
fn ipv6_switched_off_leads_to_ipv4_at_once_and_costs_no_answer() {
    let mut world = both_families();
    world.run(HOUR);
    assert_eq!(world.times(V4).len(), 0);
    world.servers.insert(at(V6), Manner::NoRoute);
    world.run(2 * MINUTE);
    assert_eq!(world.removals(), [Removal::NoRoute]);
    assert!(world.times(V4).len() >= 4, "a burst to the other");
    assert_eq!(unanswered(&world), 0);
    world.run(HOUR);
    assert_eq!(world.removals().len(), 1, "and stays there");
}

#[test]
fn without_any_way_a_server_that_answered_is_kept_and_its_questions_count_as_lost() {
    let mut world = both_families();
    world.run(HOUR);
    world.servers.insert(at(V6), Manner::NoRoute);
    world.servers.insert(at(V4), Manner::NoRoute);
    world.run(HOUR);
    assert_eq!(world.removals(), []);
    let status = &world.sources.statuses()[0];
    assert_eq!(status.reach, 0);
    assert!(status.tally.unanswered >= 8);
    assert!(world.events.iter().any(|(_, event)| matches!(event, SourceEvent::Unreachable(_))));
    world.servers.insert(at(V6), Manner::Answers);
    let reading = world.reading();
    world.sources.handle_route_change(|_| true, reading);
    world.carry_out();
    world.run(Duration::from_secs(10));
    assert_eq!(world.sources.statuses()[0].reach & 0xf, 0xf, "asked again as soon as it can be");
}

#[test]
fn what_never_left_costs_no_cookie() {
    let mut world = nts(V4);
    world.run(HOUR);
    world.servers.insert(at(V4), Manner::NoRoute);
    world.servers.insert(at("[2001:db8::1]:123"), Manner::NoRoute);
    world.run(24 * HOUR);
    assert_eq!(world.establishments.len(), 1);
    assert_eq!(world.sources.statuses()[0].nts.expect("keys").cookies, 8);
    world.servers.insert(at(V4), Manner::Answers);
    world.run(HOUR);
    assert_eq!(world.establishments.len(), 1, "and none is needed for going on");
    assert_ne!(world.sources.statuses()[0].reach, 0);
}

#[test]
fn key_establishment_finds_the_way_when_an_nts_server_has_none() {
    let mut world = nts(V6);
    world.run(HOUR);
    world.servers.insert(at(V6), Manner::NoRoute);
    world.key_servers.insert("nts.example".to_owned(), Ok(at(V4)));
    world.run(2 * MINUTE);
    assert_eq!((world.establishments.len(), world.removals()), (2, vec![Removal::Moved]));
    world.run(MINUTE);
    assert!(world.times(V4).len() >= 2);
    // Where it names the same address again, it is not asked again and again.
    let mut world = nts(V6);
    world.run(HOUR);
    world.servers.insert(at(V6), Manner::NoRoute);
    world.run(24 * HOUR);
    assert!(world.establishments.len() < 30, "{} in a day", world.establishments.len());
}

#[test]
fn only_servers_to_which_another_way_leads_are_asked_anew() {
    let mut world = World::new(vec![server("192.0.2.1"), server("192.0.2.2")], |setting| {
        setting.server("192.0.2.1:123", Manner::Answers);
        setting.server("192.0.2.2:123", Manner::Answers);
    });
    world.run(HOUR);
    let before = world.questions.len();
    let reading = world.reading();
    world.sources.handle_route_change(|server| server == Some(at("192.0.2.2:123")), reading);
    world.carry_out();
    world.run(Duration::from_secs(9));
    let asked =
        |server| world.questions[before..].iter().filter(|(_, to, _)| *to == at(server)).count();
    assert!(asked("192.0.2.2:123") >= 4);
    assert!(asked("192.0.2.1:123") <= 1);
}

#[test]
fn an_interface_that_comes_late_or_changes_its_number_is_found() {
    let host = "fe80::1%eth0";
    let mut world = World::new(vec![server(host)], |_| ());
    world.run(HOUR);
    let lookups = world.lookups.len();
    assert!(lookups <= 12, "{lookups} in the first hour");
    for (number, name) in ["[fe80::1%3]:123", "[fe80::1%7]:123"].into_iter().enumerate() {
        world.names.insert(host.to_owned(), vec![at(name)]);
        world.servers.clear();
        world.servers.insert(at(name), Manner::Answers);
        let reading = world.reading();
        // No way to a server of ours is another; an interface came.
        world.sources.handle_route_change(|_| false, reading);
        world.carry_out();
        world.run(Duration::from_secs(10));
        assert_eq!(world.times(name).len(), 4, "number {number}");
        world.run(HOUR);
    }
    assert_eq!(world.removals(), [Removal::AddressGone]);
    let lookups = world.lookups.len() - lookups;
    assert!(lookups <= 4, "{lookups} with the interface there");
}

#[test]
fn links_that_flap_do_not_make_a_name_be_looked_up_without_end() {
    let mut world = World::new(vec![server("time.example")], |_| ());
    for _ in 0..3600 {
        world.run(Duration::from_secs(1));
        let reading = world.reading();
        world.sources.handle_route_change(|_| false, reading);
        world.carry_out();
    }
    let lookups = world.lookups.len();
    assert!((100..=3600 / 16 + 5).contains(&lookups), "{lookups} in an hour");
}
