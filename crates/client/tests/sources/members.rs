//! Who is asked: servers, pools, names that come and go.

use std::time::Duration;

use noonmark_client::{Endpoint, KeFailure, Removal, SourceEvent, SourceKind};
use noonmark_units::Mono;

use crate::world::{Manner, START, World, pool, server, spec};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_server_is_asked_four_times_and_then_at_its_interval() {
    let mut world = World::new(vec![server("192.0.2.1")], |setting| {
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(10 * MINUTE);
    let times = world.times("192.0.2.1:123");
    assert!(times[0] <= Duration::from_secs(1), "{times:?}");
    for pair in times.windows(2).take(3) {
        assert!((pair[1] - pair[0]).abs_diff(Duration::from_secs(2)) < Duration::from_millis(100));
    }
    for pair in times.windows(2).skip(3) {
        let gap = (pair[1] - pair[0]).as_secs_f64();
        assert!((64.0..65.3).contains(&gap), "{gap}");
    }
    let notes = world.notes.0.borrow();
    assert_eq!(notes.samples.len(), times.len());
    assert_eq!(notes.sources.len(), 1);
    // The offset is right, as the clocks agree.
    for (_, sample) in &notes.samples {
        assert!((sample.receive - sample.origin).as_nanos().abs_diff(10_000_000) < 10);
    }
}

#[test]
fn sources_do_not_all_begin_at_one_instant() {
    let hosts: Vec<_> = (1..=8).map(|n| format!("192.0.2.{n}")).collect();
    let mut world = World::new(hosts.iter().map(|host| server(host)).collect(), |_| ());
    world.run(Duration::from_secs(1));
    let mut starts: Vec<_> = world.questions.iter().map(|(at, ..)| *at).collect();
    assert_eq!(starts.len(), 8);
    starts.dedup();
    assert_eq!(starts.len(), 8, "no two at once");
}

#[test]
fn a_pool_asks_four_of_its_addresses() {
    let addresses: Vec<_> = (1..=10).map(|n| format!("192.0.2.{n}:123")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let mut world = World::new(vec![pool("pool.example")], |setting| {
        setting.name("pool.example", &addresses);
        for address in &addresses {
            setting.server(address, Manner::Answers);
        }
    });
    world.run(HOUR);
    assert_eq!(world.asked_since(START).len(), 4);
    assert_eq!(world.notes.0.borrow().sources.len(), 4);
}

#[test]
fn bad_members_of_a_pool_are_replaced_and_good_ones_stay() {
    let addresses: Vec<_> = (1..=10).map(|n| format!("192.0.2.{n}:123")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let mut world = World::new(vec![pool("pool.example")], |setting| {
        setting.name("pool.example", &addresses);
        for address in &addresses {
            setting.server(address, Manner::Answers);
        }
        setting.server("192.0.2.2:123", Manner::Silent);
        setting.server("192.0.2.3:123", Manner::Kisses(*b"DENY"));
    });
    world.run(Duration::from_secs(30));
    assert_eq!(world.removals(), [Removal::Unreachable], "eight questions 2 s apart");
    world.run(3 * HOUR);
    let asked = world.asked_since(Mono(world.now.0 - 3_600_000_000_000));
    let expected = ["192.0.2.1:123", "192.0.2.4:123", "192.0.2.5:123", "192.0.2.6:123"];
    assert_eq!(asked.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    assert!(matches!(world.removals()[1], Removal::GaveUp(_)), "{:?}", world.removals());
    // One whose time contradicts the majority goes too, but not at once.
    let liar = *world.notes.0.borrow().sources.first().expect("a source");
    world.notes.0.borrow_mut().false_ones.insert(liar);
    world.run(2 * MINUTE);
    assert_eq!(world.removals().len(), 2);
    world.run(30 * MINUTE);
    assert_eq!(world.removals().last(), Some(&Removal::False));
    assert_eq!(world.notes.0.borrow().sources.len(), 4);
}

#[test]
fn a_pool_without_other_addresses_keeps_its_members_and_looks_for_more() {
    let mut world = World::new(vec![pool("pool.example")], |setting| {
        setting.name("pool.example", &["192.0.2.1:123", "192.0.2.2:123"]);
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(HOUR);
    assert_eq!(world.removals(), []);
    assert_eq!(world.notes.0.borrow().sources.len(), 2);
    let lookups = world.lookups.len();
    assert!((3..=5).contains(&lookups), "{lookups} in an hour");
    world.names.insert("pool.example".to_owned(), vec!["192.0.2.9:123".parse().expect("address")]);
    world.servers.insert("192.0.2.9:123".parse().expect("address"), Manner::Answers);
    world.run(HOUR);
    assert!(world.times("192.0.2.9:123").len() > 10);
}

#[test]
fn a_pools_members_change_slowly() {
    let addresses: Vec<_> = (1..=40).map(|n| format!("192.0.2.{n}:123")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let mut world = World::new(vec![pool("pool.example")], |setting| {
        setting.name("pool.example", &addresses);
        for address in &addresses {
            setting.server(address, Manner::Answers);
        }
    });
    world.run(60 * DAY);
    assert_eq!(world.removals(), [Removal::Turn; 4], "one in two weeks");
}

#[test]
fn a_name_that_does_not_resolve_at_boot_is_tried_again_and_less_and_less() {
    let mut world = World::new(vec![server("time.example")], |_| ());
    world.run(HOUR);
    let waits: Vec<_> =
        world.lookups.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024]);
    world.names.insert("time.example".to_owned(), vec!["192.0.2.1:123".parse().expect("address")]);
    world.servers.insert("192.0.2.1:123".parse().expect("address"), Manner::Answers);
    // A route that appears is a reason to try at once.
    let reading = world.reading();
    world.sources.handle_route_change(|_| true, reading);
    world.carry_out();
    world.run(Duration::from_secs(10));
    assert_eq!(world.times("192.0.2.1:123").len(), 4);
}

#[test]
fn an_unreachable_address_gives_way_to_another_of_its_name() {
    let mut world = World::new(vec![server("time.example")], |setting| {
        setting.name("time.example", &["[2001:db8::1]:123", "192.0.2.1:123"]);
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(MINUTE);
    assert_eq!(world.removals(), [Removal::Unreachable]);
    assert!(!world.times("192.0.2.1:123").is_empty());
    world.run(HOUR);
    assert_eq!(world.removals().len(), 1, "and stays there");
}

#[test]
fn a_server_whose_name_moves_is_followed_in_two_weeks() {
    let mut world = World::new(vec![server("time.example")], |setting| {
        setting.name("time.example", &["192.0.2.1:123"]);
        setting.server("192.0.2.1:123", Manner::Answers);
        setting.server("192.0.2.2:123", Manner::Answers);
    });
    world.run(DAY);
    world.names.insert("time.example".to_owned(), vec!["192.0.2.2:123".parse().expect("address")]);
    world.run(14 * DAY);
    assert_eq!(world.removals(), [Removal::AddressGone]);
    assert!(!world.times("192.0.2.2:123").is_empty());
    assert_eq!(world.lookups.len(), 2);
}

#[test]
fn no_server_is_asked_by_two_sources() {
    let specs = vec![pool("pool.example"), pool("pool.example"), server("192.0.2.1")];
    let mut world = World::new(specs, |setting| {
        setting.name("pool.example", &["192.0.2.1:123", "192.0.2.2:123"]);
        setting.server("192.0.2.1:123", Manner::Answers);
        setting.server("192.0.2.2:123", Manner::Answers);
    });
    world.run(HOUR);
    assert_eq!(world.notes.0.borrow().sources.len(), 2);
}

#[test]
fn a_server_that_denies_rests_for_a_day() {
    let mut world = World::new(vec![server("192.0.2.1")], |setting| {
        setting.server("192.0.2.1:123", Manner::Kisses(*b"DENY"));
    });
    world.run(20 * HOUR);
    let before = world.questions.len();
    assert!(before <= 4, "{before}");
    world.run(10 * HOUR);
    assert!(world.questions.len() > before, "asked again after the rest");
    assert!(world.questions.len() <= 2 * before);
}

#[test]
fn nts_establishes_keys_first_and_never_asks_without() {
    let kind = SourceKind::Nts(Endpoint::new("nts.example", 4460));
    let mut world = World::new(vec![spec(kind)], |setting| {
        setting.key_server("nts.example", Ok("192.0.2.1:123"));
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(HOUR);
    assert_eq!(world.establishments.len(), 1);
    assert!(world.questions.len() > 50);
    assert!(world.questions.iter().all(|(.., question)| question.len() >= 228));
    assert!(world.notes.0.borrow().samples.iter().all(|(_, sample)| sample.authenticated));

    let kind = SourceKind::Nts(Endpoint::new("nts.example", 4460));
    let mut world = World::new(vec![spec(kind)], |setting| {
        setting.key_server("nts.example", Err(KeFailure::Unreachable));
    });
    world.run(DAY);
    assert_eq!(world.questions.len(), 0);
    let tries = world.establishments.len();
    assert!((15..30).contains(&tries), "{tries} in a day");
}

#[test]
fn servers_of_an_nts_pool_stand_in_for_each_other() {
    let hosts = ["a.example", "b.example", "c.example"];
    let kind = SourceKind::NtsPool {
        hosts: hosts.iter().map(|host| Endpoint::new(*host, 4460)).collect(),
        max_sources: 2,
    };
    let mut world = World::new(vec![spec(kind)], |setting| {
        setting.key_server("a.example", Err(KeFailure::Untrusted));
        setting.key_server("b.example", Ok("192.0.2.2:123"));
        setting.key_server("c.example", Ok("192.0.2.3:123"));
        setting.server("192.0.2.2:123", Manner::Answers);
        setting.server("192.0.2.3:123", Manner::Answers);
    });
    world.run(HOUR);
    let asked = world.asked_since(START);
    assert_eq!(asked.len(), 2);
    assert_eq!(world.removals(), [Removal::Unreachable]);
}

#[test]
fn two_names_of_one_server_are_not_two_members_of_an_nts_pool() {
    let check = |hosts: &[&str], expected: &[&str]| {
        let kind = SourceKind::NtsPool {
            hosts: hosts.iter().map(|host| Endpoint::new(*host, 4460)).collect(),
            max_sources: 2,
        };
        let mut world = World::new(vec![spec(kind)], |setting| {
            for (host, address) in [("a", 1), ("also-a", 1), ("b", 2)] {
                let address = format!("192.0.2.{address}:123");
                setting.key_server(host, Ok(&address));
                setting.server(&address, Manner::Answers);
            }
        });
        world.run(MINUTE);
        let names: Vec<_> =
            world.sources.statuses().into_iter().map(|status| status.name).collect();
        assert_eq!(names, expected, "{hosts:?}");
        assert_eq!(world.removals(), [Removal::Double], "{hosts:?}");
        world.run(10 * MINUTE);
        assert_eq!(world.removals().len(), 1, "it is not tried again at once");
        world.run(DAY);
        assert_eq!(world.sources.statuses().len(), expected.len(), "nor kept later");
    };
    check(&["a", "also-a"], &["a"]);
    check(&["a", "also-a", "b"], &["a", "b"]);
}

#[test]
fn the_keeper_hears_where_each_source_is_asked() {
    let nts = spec(SourceKind::Nts(Endpoint::new("nts.example", 4460)));
    let pool_of_one =
        SourceKind::NtsPool { hosts: vec![Endpoint::new("also.example", 4460)], max_sources: 2 };
    let mut world = World::new(vec![server("192.0.2.1"), nts, spec(pool_of_one)], |setting| {
        setting.key_server("nts.example", Ok("192.0.2.1:123"));
        setting.key_server("also.example", Ok("[::ffff:192.0.2.1]:123"));
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(MINUTE);
    let addresses = |world: &World| -> Vec<_> {
        let notes = world.notes.0.borrow();
        notes.sources.iter().map(|id| notes.options[id].address).collect()
    };
    let one = "192.0.2.1:123".parse().ok();
    assert_eq!(addresses(&world), [one; 3], "one server, however it is asked and written");
    let now = world.reading();
    world.sources.reconfigure(vec![server("192.0.2.1")], &[], now);
    world.carry_out();
    assert_eq!(addresses(&world), [one], "and with other options, too");
}

#[test]
fn a_server_named_anew_by_key_establishment_is_a_new_source() {
    let kind = SourceKind::Nts(Endpoint::new("nts.example", 4460));
    let mut world = World::new(vec![spec(kind)], |setting| {
        setting.key_server("nts.example", Ok("192.0.2.1:123"));
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(HOUR);
    world.servers.insert("192.0.2.1:123".parse().expect("address"), Manner::Silent);
    world.servers.insert("192.0.2.2:123".parse().expect("address"), Manner::Answers);
    world
        .key_servers
        .insert("nts.example".to_owned(), Ok("192.0.2.2:123".parse().expect("address")));
    world.run(6 * HOUR);
    assert_eq!(world.removals(), [Removal::Moved]);
    assert!(world.times("192.0.2.2:123").len() > 10);
    let established =
        |(_, event): &(Mono, SourceEvent)| matches!(event, SourceEvent::Established { .. });
    assert_eq!(world.events.iter().filter(|event| established(event)).count(), 2);
}

#[test]
fn keys_and_cookies_outlive_a_restart_without_key_establishment() {
    let nts = || vec![spec(SourceKind::Nts(Endpoint::new("nts.example", 4460)))];
    let mut world = World::new(nts(), |setting| {
        setting.key_server("nts.example", Ok("192.0.2.1:123"));
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(HOUR);
    let spent: Vec<_> = world.questions.iter().map(|(.., question)| question.clone()).collect();
    let octets = world.sources.into_keys();
    // Key establishment is out of order from now on.
    let mut world = World::new(nts(), |setting| {
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    let reading = world.reading();
    assert_eq!(world.sources.restore_keys(&octets, reading), 1);
    assert_eq!(world.sources.restore_keys(&octets, reading), 0, "only once");
    world.run(HOUR);
    assert_eq!(world.establishments.len(), 0);
    assert!(world.notes.0.borrow().samples.len() > 50);
    // Keys of a server that is not configured any more, or damaged ones, are of no use and do no harm.
    for octets in [&octets[..octets.len() - 1], &[]] {
        let mut world = World::new(nts(), |_| ());
        let reading = world.reading();
        assert_eq!(world.sources.restore_keys(octets, reading), 0);
    }
    let mut world = World::new(vec![server("192.0.2.1")], |_| ());
    let reading = world.reading();
    assert_eq!(world.sources.restore_keys(&octets, reading), 0);
    assert!(!spent.is_empty());
}

#[test]
fn every_source_has_a_status_even_one_without_a_server() {
    let nts = spec(SourceKind::Nts(Endpoint::new("nts.example", 4460)));
    let specs = vec![server("nobody.example"), nts, pool("pool.example"), server("192.0.2.9")];
    let mut world = World::new(specs, |setting| {
        setting.key_server("nts.example", Ok("192.0.2.1:123"));
        setting.name("pool.example", &["192.0.2.2:123", "192.0.2.3:123"]);
        setting.server("192.0.2.1:123", Manner::Answers);
        setting.server("192.0.2.2:123", Manner::Kisses(*b"RATE"));
    });
    world.run(HOUR);
    let all = world.sources.statuses();
    let names: Vec<_> = all.iter().map(|status| (status.place, status.name.as_str())).collect();
    let pool = (2, "pool.example");
    assert_eq!(names, [(0, "nobody.example"), (1, "nts.example"), pool, pool, (3, "192.0.2.9")]);
    assert_eq!((all[0].id, all[0].address), (None, None));
    let keys = all[1].nts.expect("keys");
    assert_eq!((keys.cookies, keys.failures), (8, 0));
    assert!(keys.aead.is_some());
    assert_eq!(all[1].reach, 0xff);
    assert_eq!(all[1].tally.measured, all[1].tally.asked);
    assert_eq!(all[1].interval, Duration::from_secs(64));
    assert!(all[2].tally.kisses > 3);
    assert_eq!(all[4].tally.unanswered, all[4].tally.asked);
    assert!(all[4].last.is_none() && all[1].last.is_some());
}

#[test]
fn a_name_whose_only_server_is_asked_already_says_by_whom() {
    let mut world = World::new(vec![server("192.0.2.1"), server("a.example")], |setting| {
        setting.server("192.0.2.1:123", Manner::Answers);
    });
    world.run(MINUTE);
    assert_eq!(world.sources.statuses()[1].asked_as, None, "the name does not resolve");
    let address = "192.0.2.1:123".parse().expect("an address");
    world.names.insert("a.example".to_owned(), vec![address]);
    world.run(HOUR);
    let statuses = world.sources.statuses();
    assert_eq!(statuses[1].asked_as, statuses[0].id);
    assert!(statuses[0].asked_as.is_none() && statuses[0].id.is_some());
    let told = |event: &SourceEvent| world.events.iter().any(|(_, told)| told == event);
    assert!(told(&SourceEvent::Resolved { name: "a.example".to_owned() }));
}

#[test]
fn what_comes_in_place_of_time_is_told_until_time_comes() {
    let check = |manner, expected: &str| {
        let mut world = World::new(vec![server("192.0.2.1")], |setting| {
            setting.server("192.0.2.1:123", manner);
        });
        world.run(MINUTE);
        let instead = |world: &World| {
            world.sources.statuses()[0]
                .instead
                .map_or_else(String::new, |instead| instead.to_string())
        };
        assert_eq!(instead(&world), expected, "{manner:?}");
        world.servers.insert("192.0.2.1:123".parse().expect("an address"), Manner::Answers);
        world.run(2 * DAY);
        assert_eq!(instead(&world), "", "{manner:?}, before it answers");
    };
    check(Manner::Answers, "");
    check(Manner::Silent, "");
    check(
        Manner::Kisses(*b"RATE"),
        "the last answer was a kiss RATE (without proof of origin): it is asked less often",
    );
    for code in ["DENY", "RSTR"] {
        let octets = code.as_bytes().try_into().expect("four");
        check(
            Manner::Kisses(octets),
            &format!(
                "the last answer was a kiss {code} (without proof of origin): it is asked rarely, as anybody may have sent that"
            ),
        );
    }
    check(
        Manner::Kisses(*b"XYZW"),
        "the last answer was a kiss XYZW (without proof of origin): which asks nothing of us",
    );
    check(Manner::At(16), "the last answer was dropped: the server's stratum 16 is not in 1 to 15");
}

#[test]
fn a_source_without_keys_tells_when_they_are_sought_again() {
    let nts = spec(SourceKind::Nts(Endpoint::new("nts.example", 4460)));
    let mut world = World::new(vec![nts], |_| ());
    for _ in 0..24 {
        world.run(HOUR);
        let status = &world.sources.statuses()[0];
        let due = status.next_question.expect("nothing is under way");
        assert!(due > world.now && due == world.sources.deadline(), "{status:?}");
    }
}

#[test]
fn servers_that_do_not_want_us_are_left_alone_for_a_day_even_in_a_pool() {
    let hosts = ["a.example", "b.example", "c.example"];
    let kind = SourceKind::NtsPool {
        hosts: hosts.iter().map(|host| Endpoint::new(*host, 4460)).collect(),
        max_sources: 2,
    };
    let mut world = World::new(vec![spec(kind)], |setting| {
        for host in hosts {
            setting.key_server(host, Err(KeFailure::Refused { code: 1 }));
        }
    });
    world.run(20 * HOUR);
    assert_eq!(world.establishments.len(), 3, "each once: {:?}", world.establishments);
    world.run(10 * HOUR);
    let tries = world.establishments.len();
    assert!((5..=6).contains(&tries), "{tries}: those in use once more on the next day");
}
