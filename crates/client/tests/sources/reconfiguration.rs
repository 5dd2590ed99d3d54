//! Other sources than before, without a new beginning for those that stay.

use std::time::Duration;

use noonmark_client::{Endpoint, Removal, SourceKind, SourceSpec, SourceStatus};
use noonmark_units::PollExponent;

use crate::world::{Manner, World, pool, server, spec};

const MINUTE: Duration = Duration::from_secs(60);

fn nts(host: &str) -> SourceSpec {
    spec(SourceKind::Nts(Endpoint::new(host, 4460)))
}

/// Two plain servers, one with NTS and a pool of four, all of which answer, ten minutes on.
fn world() -> World {
    let specs =
        vec![server("192.0.2.1"), server("192.0.2.2"), nts("nts.example"), pool("pool.example")];
    let addresses: Vec<_> = (11..=16).map(|n| format!("192.0.2.{n}:123")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let mut world = World::new(specs, |setting| {
        for address in ["192.0.2.1:123", "192.0.2.2:123", "192.0.2.3:123", "192.0.2.7:123"] {
            setting.server(address, Manner::Answers);
        }
        setting.key_server("nts.example", Ok("192.0.2.7:123"));
        setting.name("pool.example", &addresses);
        for address in &addresses {
            setting.server(address, Manner::Answers);
        }
    });
    world.run(10 * MINUTE);
    assert!(world.sources.statuses().iter().all(|status| status.reach > 0x1f));
    world
}

fn reconfigure(world: &mut World, specs: Vec<SourceSpec>, distrusted: &[&str]) {
    let distrusted: Vec<_> = distrusted.iter().map(|host| Endpoint::new(*host, 4460)).collect();
    let now = world.reading();
    world.sources.reconfigure(specs, &distrusted, now);
    world.carry_out();
}

fn of<'a>(statuses: &'a [SourceStatus], name: &str) -> Vec<&'a SourceStatus> {
    statuses.iter().filter(|status| status.name == name).collect()
}

#[test]
fn sources_that_stay_go_on_as_if_nothing_had_been_said() {
    let mut world = world();
    let before = world.sources.statuses();
    let (lookups, establishments) = (world.lookups.len(), world.establishments.len());
    // In another order, with one more and one less.
    let specs =
        vec![pool("pool.example"), server("192.0.2.3"), nts("nts.example"), server("192.0.2.1")];
    reconfigure(&mut world, specs, &[]);
    assert_eq!(world.removals(), [Removal::Reconfigured], "192.0.2.2");
    let after = world.sources.statuses();
    for name in ["pool.example", "nts.example", "192.0.2.1"] {
        let (was, is) = (of(&before, name), of(&after, name));
        assert_eq!(was.len(), is.len(), "{name}");
        for (was, is) in was.iter().zip(is) {
            let same = SourceStatus { place: was.place, ..is.clone() };
            assert_eq!(**was, same, "number, address, keys, reach, tally");
        }
    }
    let places: Vec<_> = after.iter().map(|status| status.place).collect();
    assert_eq!(places, [0, 0, 0, 0, 1, 2, 3]);
    assert_eq!((world.lookups.len(), world.establishments.len()), (lookups, establishments));
    assert_eq!(world.notes.0.borrow().sources.len(), 7);
    world.run(MINUTE);
    assert!(of(&world.sources.statuses(), "192.0.2.3")[0].reach > 0, "the new one is asked");
}

#[test]
fn other_options_are_taken_without_a_new_beginning() {
    let mut world = world();
    let mut slow = server("192.0.2.1");
    slow.options.min_poll = PollExponent(8);
    slow.options.noselect = true;
    slow.interleaved = true;
    let smaller = SourceKind::Pool { name: Endpoint::new("pool.example", 123), max_sources: 2 };
    reconfigure(&mut world, vec![slow, spec(smaller)], &[]);
    let statuses = world.sources.statuses();
    let id = of(&statuses, "192.0.2.1")[0].id.expect("asked");
    assert!(world.notes.0.borrow().options[&id].noselect, "the keeper hears of it");
    assert_eq!(of(&statuses, "pool.example").len(), 2);
    let asked = world.times("192.0.2.1:123").len();
    world.run(10 * MINUTE);
    let times = world.times("192.0.2.1:123");
    assert!((2..=3).contains(&(times.len() - asked)), "every 256 s: {times:?}");
    assert_eq!(of(&world.sources.statuses(), "192.0.2.1")[0].id, Some(id));
}

#[test]
fn who_is_no_longer_believed_as_before_begins_anew() {
    let mut world = world();
    let id = |world: &World| of(&world.sources.statuses(), "nts.example")[0].id;
    let before = id(&world);
    reconfigure(&mut world, vec![nts("nts.example")], &["other.example"]);
    assert_eq!(id(&world), before);
    let count = world.establishments.len();
    reconfigure(&mut world, vec![nts("nts.example")], &["nts.example"]);
    world.run(MINUTE);
    assert!(id(&world) > before);
    assert_eq!(world.establishments.len(), count + 1, "it is asked for keys again");
    // The same name with another family or as another kind is another source.
    let v6 = SourceSpec { family: noonmark_client::Family::V6, ..nts("nts.example") };
    let third = id(&world);
    reconfigure(&mut world, vec![v6], &[]);
    assert!(id(&world) > third);
}
