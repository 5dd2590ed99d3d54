//! Every property can fail: a deliberate fault each, found by the kept inputs. And none fails on octets chosen at random.

#![expect(clippy::ptr_arg, reason = "a mistake may also change the length")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use noonmark_fuzz::{TARGETS, Target, replay};
use proptest::collection::vec;
use proptest::prelude::*;

/// One deliberate fault: the target, the place, and what a mistake there would do to the octets.
struct Mistake {
    target: &'static str,
    place: &'static str,
    damage: fn(&mut Vec<u8>),
}

/// At least one for every place.
const MISTAKES: &[Mistake] = &[
    Mistake { target: "packet", place: "packet written back", damage: swap_stamps },
    Mistake { target: "packet", place: "packet written back", damage: lose_last },
    Mistake {
        target: "packet",
        place: "packet written back",
        damage: forget_header_in_length::<50>,
    },
    Mistake { target: "packet", place: "unique identifier found", damage: flip::<9> },
    Mistake { target: "fields", place: "plaintext written back", damage: lose_last },
    Mistake { target: "fields", place: "encrypted fields", damage: forget_header_in_length::<2> },
    Mistake {
        target: "fields",
        place: "fields in the clear",
        damage: forget_header_in_length::<50>,
    },
    Mistake { target: "cookie", place: "cookie sealed again", damage: flip::<25> },
    Mistake { target: "cookie", place: "cookie sealed", damage: flip::<25> },
    Mistake { target: "cookie", place: "ring stored", damage: flip::<40> },
    Mistake { target: "records", place: "records written back", damage: lose_critical_bit },
    Mistake { target: "records", place: "piece of a stream", damage: lose_last },
    Mistake { target: "records", place: "request written back", damage: flip::<5> },
    Mistake { target: "records", place: "request written back", damage: lose_critical_bit },
    Mistake { target: "records", place: "response written back", damage: flip::<5> },
    Mistake { target: "responder", place: "answer", damage: lengthen },
    Mistake { target: "responder", place: "answer", damage: flip::<0> },
    Mistake { target: "responder", place: "answer", damage: flip::<2> },
    Mistake { target: "responder", place: "answer", damage: flip::<31> },
    Mistake { target: "responder", place: "answer", damage: flip::<39> },
    Mistake { target: "responder", place: "answer", damage: flip::<60> },
    Mistake { target: "responder", place: "answer", damage: flip::<120> },
    Mistake { target: "responder", place: "fates", damage: flip::<0> },
    Mistake { target: "responder", place: "answer alone", damage: lengthen },
    Mistake { target: "responder", place: "answer to the next", damage: flip::<3> },
    Mistake { target: "messages", place: "message written back", damage: lose_last },
    Mistake { target: "messages", place: "report written back", damage: flip::<15> },
    Mistake { target: "messages", place: "bequest written back", damage: flip::<15> },
    Mistake { target: "messages", place: "state written back", damage: flip::<39> },
    Mistake { target: "messages", place: "datagram read again", damage: flip::<23> },
    Mistake { target: "files", place: "leap seconds in order", damage: flip::<7> },
    Mistake { target: "files", place: "certificate read again", damage: lose_last },
    Mistake { target: "files", place: "number of authorities", damage: flip::<0> },
    Mistake { target: "files", place: "file as it was written", damage: flip::<0> },
    Mistake { target: "files", place: "account written", damage: flip::<0> },
    Mistake { target: "files", place: "keys written", damage: flip::<0> },
    Mistake { target: "files", place: "record with more behind", damage: flip::<17> },
    Mistake { target: "files", place: "event with more behind", damage: flip::<0> },
    Mistake { target: "configuration", place: "text read again", damage: begin_otherwise },
    Mistake { target: "ntp_conf", place: "lines told of", damage: lose_last },
    Mistake { target: "ntp_conf", place: "configuration made again", damage: begin_otherwise },
    Mistake { target: "chrony_conf", place: "lines told of", damage: lose_last },
    Mistake { target: "chrony_conf", place: "configuration made again", damage: begin_otherwise },
    Mistake { target: "ntp_toml", place: "lines told of", damage: lose_last },
    Mistake { target: "ntp_toml", place: "configuration made again", damage: begin_otherwise },
    Mistake { target: "association", place: "question", damage: lose_last },
    Mistake { target: "establishment", place: "cookie agreed", damage: flip::<25> },
    Mistake { target: "decode", place: "leaves", damage: lose_last },
    Mistake { target: "decode", place: "fields shown", damage: flip::<3> },
    Mistake { target: "decode", place: "records shown", damage: lose_critical_bit },
    Mistake { target: "decode", place: "plaintext shown", damage: flip::<0> },
    Mistake { target: "decode", place: "keys written", damage: flip::<12> },
];

/// Places whose mistake depends on more than the octets; each has a test of its own below.
const ELSEWHERE: &[(&str, &str)] = &[("cookie", "cookie damaged"), ("responder", "answer damaged")];

#[test]
fn every_mistake_is_seen_by_a_kept_input() {
    for Mistake { target, place, damage } in MISTAKES {
        let fault = |at: &str, octets: &mut Vec<u8>| {
            if at == *place {
                damage(octets);
            }
        };
        let seen = is_seen(target, |target, octets| (target.check_through)(octets, &fault));
        assert!(seen, "no input of {target} sees the mistake at {place}");
    }
}

#[test]
fn every_place_has_a_mistake() {
    let places = RefCell::new(BTreeSet::new());
    for target in TARGETS {
        for octets in kept(target.name) {
            (target.check_through)(&octets, &|place, _| {
                places.borrow_mut().insert((target.name, place.to_owned()));
            });
        }
    }
    let tested = MISTAKES.iter().map(|mistake| (mistake.target, mistake.place));
    let tested: BTreeSet<_> = tested
        .chain(ELSEWHERE.iter().copied())
        .map(|(target, place)| (target, place.to_owned()))
        .collect();
    assert_eq!(places.into_inner(), tested);
}

/// What an opener without a check would do: the damage makes no difference.
#[test]
fn a_check_that_misses_damage_is_seen() {
    for (name, whole, damaged) in
        [("cookie", "cookie sealed", "cookie damaged"), ("responder", "answer", "answer damaged")]
    {
        let seen = is_seen(name, |target, octets| {
            let good = RefCell::new(Vec::new());
            (target.check_through)(octets, &|place, octets| {
                if place == whole {
                    good.borrow_mut().clone_from(octets);
                } else if place == damaged {
                    octets.clone_from(&good.borrow());
                }
            });
        });
        assert!(seen, "no input of {name} sees it");
    }
}

#[test]
fn a_panic_in_a_replay_is_seen() {
    let careless = |octets: &[u8]| assert!(octets[47] < 200);
    assert!(catch_unwind(|| replay(&folder("packet"), careless)).is_err());
}

proptest! {
    #[test]
    fn random_octets_keep_every_property(octets in vec(any::<u8>(), 0..600)) {
        for Target { check, .. } in TARGETS {
            check(&octets);
        }
    }
}

/// Whether one of a target's kept inputs makes `check` panic.
fn is_seen(name: &str, check: impl Fn(Target, &[u8])) -> bool {
    let target = TARGETS.into_iter().find(|target| target.name == name).expect("a target");
    kept(name)
        .iter()
        .any(|octets| catch_unwind(AssertUnwindSafe(|| check(target, octets))).is_err())
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let entries = folder(target).read_dir().expect("the corpus is there");
    entries.map(|entry| fs::read(entry.expect("readable").path()).expect("readable")).collect()
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Two 64-bit stamps swapped, as by a wrong offset.
fn swap_stamps(octets: &mut Vec<u8>) {
    if let Some(stamps) = octets.get_mut(24..40) {
        stamps.rotate_left(8);
    }
}

fn lengthen(octets: &mut Vec<u8>) {
    octets.extend([0; 4]);
}

fn begin_otherwise(octets: &mut Vec<u8>) {
    octets.insert(0, b'=');
}

fn lose_last(octets: &mut Vec<u8>) {
    octets.pop();
}

/// The length at `AT` without the header it must include.
fn forget_header_in_length<const AT: usize>(octets: &mut Vec<u8>) {
    if let Some([high, low]) = octets.get_mut(AT..AT + 2).and_then(|len| len.first_chunk_mut()) {
        [*high, *low] = u16::from_be_bytes([*high, *low]).wrapping_sub(4).to_be_bytes();
    }
}

fn flip<const AT: usize>(octets: &mut Vec<u8>) {
    if let Some(octet) = octets.get_mut(AT) {
        *octet ^= 1;
    }
}

fn lose_critical_bit(octets: &mut Vec<u8>) {
    if let Some(first) = octets.first_mut() {
        *first &= 0x7f;
    }
}
