//! The program of the fast path, run by the kernel over frames of ours: the same octets as the responder's, and everything else passes up.
//!
//! It takes CAP_BPF and CAP_NET_ADMIN. Who does not have them gets the tests listed as not run. With `NOONMARK_FAST_PATH` in the environment, a
//! folder, the programs in it are tried in the place of those in the tree.

mod bench;
mod frames;
mod passing;
mod same;

use std::path::PathBuf;
use std::process::ExitCode;

use noonmark_server::fast_path::{FastPath, OBJECT, SCRIPTED};

const TESTS: &[(&str, fn())] = &[
    ("answers_have_the_octets_of_the_responder", same::answers_have_the_octets_of_the_responder),
    ("access_rules_hold_as_on_the_sockets", same::access_rules_hold_as_on_the_sockets),
    ("the_rate_limit_holds_as_on_the_sockets", same::the_rate_limit_holds_as_on_the_sockets),
    ("whatever_is_no_plain_request_passes_up", passing::whatever_is_no_plain_request_passes_up),
    ("requests_that_may_be_interleaved_pass_up", passing::requests_that_may_be_interleaved_pass_up),
    (
        "nothing_is_answered_from_a_clock_in_doubt",
        passing::nothing_is_answered_from_a_clock_in_doubt,
    ),
    ("only_places_that_listen_answer", passing::only_places_that_listen_answer),
    ("any_octets_pass_up_unchanged", passing::any_octets_pass_up_unchanged),
    ("the_shipped_program_tells_the_time", same::the_shipped_program_tells_the_time),
];

fn main() -> ExitCode {
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_asked =
        |name: &str| asked.is_empty() || asked.iter().any(|word| name.contains(word.as_str()));
    if std::env::args().any(|word| word == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let may = match FastPath::load(&object(false), None, [0; 2]) {
        Err(error) if error.is_about_rights() => Err(error.to_string()),
        _ => Ok(()),
    };
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, test) in TESTS.iter().filter(|(name, _)| is_asked(name)) {
        if let Err(reason) = &may {
            println!("test {name} ... ignored, {reason}");
            ignored += 1;
        } else if std::panic::catch_unwind(test).is_ok() {
            println!("test {name} ... ok");
            passed += 1;
        } else {
            println!("test {name} ... FAILED");
            failed += 1;
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// The program, or the one whose clock and chance are ours.
fn object(scripted: bool) -> Vec<u8> {
    let (ours, name) =
        if scripted { (SCRIPTED, "fast-path-scripted.o") } else { (OBJECT, "fast-path.o") };
    match std::env::var_os("NOONMARK_FAST_PATH") {
        Some(folder) => std::fs::read(PathBuf::from(folder).join(name)).expect("an object there"),
        None => ours.to_vec(),
    }
}

/// Numbers without a pattern, the same in each run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
