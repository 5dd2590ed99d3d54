//! Every file that the daemon keeps in its state folder, and nobody else: what is not listed here is never written.

use noonmark_os::store::{Kind, Once};

/// The secret behind the cookie keys, and where its ratchet stands.
pub const KEY_RING: Kind = Kind { name: "keyring", label: *b"keyring ", version: 1 };

/// The guard's account of what was done to the clock, with the last time that is known to be over.
pub const GUARD: Kind = Kind { name: "guard", label: *b"guard   ", version: 1 };

/// The oscillator's frequency.
pub const DRIFT: Kind = Kind { name: "drift", label: *b"drift   ", version: 1 };

/// NTS keys and unspent cookies of ours, and the number of the last that were taken.
pub const CLIENT_KEYS: Once = Once {
    secret: Kind { name: "clientkeys", label: *b"clntkeys", version: 2 },
    taken: Kind { name: "clientkeys-taken", label: *b"clnttake", version: 1 },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warden::RELEASED;
    use crate::warden::helm::{memory_of, octets_of};
    use noonmark_clock::guard::{Guard, Life, Rules};
    use noonmark_clock::{Memory, Reading};
    use noonmark_nts::{KeyRing, Pace};
    use noonmark_os::store::Store;
    use noonmark_os::store::fault::{Fault, FaultyFolder};
    use noonmark_units::{Frequency, Mono, Timestamp, UnixTime};
    use std::path::Path;

    /// What a file held before and is to hold, and whether what is found there is of use.
    struct Row {
        kind: Kind,
        old: Vec<u8>,
        new: Vec<u8>,
        is_read: fn(&[u8]) -> bool,
    }

    fn ring(fill: u8) -> Vec<u8> {
        let pace = Pace { interval: 60, retained: 3 };
        let mut random = move |out: &mut [u8]| out.fill(fill);
        let ring = KeyRing::new(pace, UnixTime::new(1_800_000_000, 0), &mut random);
        ring.expect("a pace that can be kept").to_octets().to_vec()
    }

    fn guard(seconds: u64) -> Guard {
        let now = Reading { real: Timestamp::UNSET, mono: Mono(seconds * 1_000_000_000) };
        Guard::new(Rules::new(RELEASED), Life { boot: [1; 16], run: [2; 16] }, now)
    }

    fn drift(ppm: f64) -> Vec<u8> {
        let frequency = Frequency::from_ppm(ppm);
        octets_of(Memory { frequency, skew: frequency }).to_vec()
    }

    fn rows() -> [Row; 5] {
        let is_number = |octets: &[u8]| octets.len() == 8;
        [
            Row {
                kind: KEY_RING,
                old: ring(1),
                new: ring(2),
                is_read: |octets| KeyRing::from_octets(octets).is_ok(),
            },
            Row {
                kind: GUARD,
                old: guard(1).to_octets(),
                new: guard(2).to_octets(),
                is_read: |octets| {
                    let now = Reading { real: Timestamp::UNSET, mono: Mono(3_000_000_000) };
                    let life = Life { boot: [1; 16], run: [3; 16] };
                    Guard::from_octets(Rules::new(RELEASED), life, octets, now).is_ok()
                },
            },
            Row {
                kind: DRIFT,
                old: drift(12.0),
                new: drift(-3.0),
                is_read: |octets| memory_of(octets).is_some(),
            },
            Row {
                kind: CLIENT_KEYS.secret,
                old: [&1_u64.to_be_bytes()[..], b"old keys"].concat(),
                new: [&2_u64.to_be_bytes()[..], b"new keys and cookies"].concat(),
                is_read: |octets| octets.len() > 8,
            },
            Row {
                kind: CLIENT_KEYS.taken,
                old: 1_u64.to_be_bytes().to_vec(),
                new: 2_u64.to_be_bytes().to_vec(),
                is_read: is_number,
            },
        ]
    }

    #[test]
    fn every_file_is_the_old_one_or_the_new_one_wherever_the_write_ends() {
        for Row { kind, old, new, is_read } in rows() {
            let name = kind.name;
            assert!(old != new && is_read(&old) && is_read(&new), "{name}");
            let mut store = Store::new(FaultyFolder::new());
            // The first time there is nothing before.
            check(store.folder(), kind, None, &new, is_read);
            store.write(kind, &old).expect("no fault yet");
            check(store.folder(), kind, Some(&old), &new, is_read);
        }
    }

    /// Writes `new` with every fault at every step, and looks at everything that may be left.
    fn check(
        folder: &FaultyFolder,
        kind: Kind,
        old: Option<&[u8]>,
        new: &[u8],
        is_read: fn(&[u8]) -> bool,
    ) {
        let mut whole = Store::new(folder.clone());
        whole.write(kind, new).expect("no fault");
        let steps = whole.folder().steps() - folder.steps();
        assert!(steps >= 5, "create, write, sync, rename, sync");
        let mut looked_at = 0;
        for step in 0..=steps {
            for fault in [Fault::Error, Fault::CrashBefore, Fault::CrashAfter] {
                let mut faulty = folder.clone();
                faulty.set_fault(folder.steps() + step, fault);
                let mut store = Store::new(faulty);
                let is_done = store.write(kind, new).is_ok();
                let left = store.folder();
                // The power has gone, or only the process.
                for left in left.remains().into_iter().chain([left.left_behind()]) {
                    let what = format!("{}: {fault:?} at step {step}", kind.name);
                    let found = Store::new(left).read(kind);
                    let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
                    let found = found.as_deref().map(Vec::as_slice);
                    let is_old = found == old && !is_done;
                    assert!(found == Some(new) || is_old, "{what}: {found:?}");
                    assert!(found.is_none_or(is_read), "{what}");
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at > new.len(), "every beginning of the new content was among them");
    }

    #[test]
    fn nothing_is_kept_that_is_not_listed_here() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut folders, mut labels) = (vec![sources], 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("ours") {
                let path = entry.expect("ours").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = std::fs::read_to_string(&path).expect("ours");
                    let count = text.matches(concat!("label: ", "*b\"")).count();
                    assert!(count == 0 || path.ends_with("warden/kept.rs"), "{}", path.display());
                    labels += count;
                }
            }
        }
        assert_eq!(labels, rows().len());
    }
}
