use std::net::SocketAddr;

use noonmark_client::{Action, Endpoint, SourceKind, SourceSpec, Sources};
use noonmark_clock::guard::{Facts, Guard, Life, Request, Rules};
use noonmark_clock::leap::LeapSeconds;
use noonmark_clock::{Adjustment, Keeper, Reading};
use noonmark_nts::{CertificateFacts, Identity, TrustRoots};
use noonmark_os::generation::{tells_of_copy, uevent};
use noonmark_os::store::fault::FaultyFolder;
use noonmark_os::store::{Folder, Kind, Store, StoreError};
use noonmark_units::{Frequency, Mono, Precision, Timestamp, UnixTime};

use crate::{Fault, Input};

/// Target `files`: what is read of files. The first octet says what the rest is: a list of leap seconds, a certificate, PEM, the frame of a
/// stored file, the guard's account, stored NTS keys, a record of the kernel's log or an event of its device model.
///
/// # Panics
/// If what was read and is written is not read again as the same, or damage is not noticed.
pub fn files(octets: &[u8]) {
    files_through(octets, &|_, _| {});
}

/// [`files`] with `fault` applied to whatever is written.
///
/// # Panics
/// As [`files`].
pub fn files_through(octets: &[u8], fault: Fault<'_>) {
    let mut input = Input::new(octets);
    match input.octet() % 7 {
        0 => a_list_of_leap_seconds_is_in_order(input.all(), fault),
        1 => a_certificate_says_the_same_whatever_follows(input.all(), fault),
        2 => pem_is_read_or_refused(input.all(), fault),
        3 => only_whole_files_are_read(input, fault),
        4 => an_account_is_read_as_it_was_written(input.all(), fault),
        5 => keys_are_read_as_they_were_written(input.all(), fault),
        _ => a_copy_is_told_by_the_kernel_alone(input.all(), fault),
    }
}

fn a_list_of_leap_seconds_is_in_order(octets: &[u8], fault: Fault<'_>) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    for read in [LeapSeconds::from_list, LeapSeconds::from_tzdata, LeapSeconds::from_text] {
        let list = match read(text) {
            Ok(list) => list,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let mut at: Vec<u8> = Vec::new();
        for leap in list.leap_seconds() {
            at.extend(leap.at.seconds.to_be_bytes());
            let _ = list.tai_offset(leap.at);
        }
        fault("leap seconds in order", &mut at);
        let at: Vec<i64> = at
            .chunks_exact(8)
            .map(|octets| i64::from_be_bytes(octets.try_into().expect("eight")))
            .collect();
        assert!(at.is_sorted_by(|a, b| a < b), "{at:?}");
        assert!(at.iter().all(|at| at % 86_400 == 0), "{at:?}");
        let _ = (list.is_expired(UnixTime::EPOCH), list.today(UnixTime::new(1_483_228_799, 0)));
    }
}

fn a_certificate_says_the_same_whatever_follows(octets: &[u8], fault: Fault<'_>) {
    let facts = CertificateFacts::read(octets);
    let mut again = octets.to_vec();
    fault("certificate read again", &mut again);
    assert_eq!(
        CertificateFacts::read(&again).map(|facts| facts.spki_sha256),
        facts.as_ref().map(|facts| facts.spki_sha256)
    );
    if let Some(facts) = facts {
        assert_eq!(facts.spki_hex().len(), 64);
        let _ = facts.period.at(UnixTime::new(1_800_000_000, 0));
    }
}

fn pem_is_read_or_refused(octets: &[u8], fault: Fault<'_>) {
    let identity = Identity::from_pem(octets, octets);
    let mut roots = TrustRoots::new();
    let added = roots.add_pem(octets);
    let mut len = vec![u8::try_from(roots.len()).unwrap_or(u8::MAX)];
    fault("number of authorities", &mut len);
    match added {
        Ok(added) => assert_eq!([u8::try_from(added).unwrap_or(u8::MAX)], len[..]),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match identity {
        Ok(identity) => assert!(identity.certificates().count() > 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// First the octets are a file as it is found; then the content of one that is written, and damaged.
fn only_whole_files_are_read(mut input: Input<'_>, fault: Fault<'_>) {
    let (at, flip) = (usize::from(input.number()), input.octet());
    let found = input.all();
    match store_with(found).read(KIND) {
        Ok(content) => assert!(content.expect("it is there").len() < found.len()),
        Err(error) => assert!(
            matches!(
                error,
                StoreError::Damaged { .. }
                    | StoreError::OtherKind { .. }
                    | StoreError::OtherVersion { .. }
            ) && !error.to_string().is_empty()
        ),
    }
    let mut store = Store::new(FaultyFolder::new());
    store.write(KIND, found).expect("room");
    let mut folder = store.folder().clone();
    let mut framed =
        folder.read(KIND.name, usize::MAX).expect("readable").expect("written").octets.to_vec();
    fault("file as it was written", &mut framed);
    let read = store_with(&framed).read(KIND).expect("whole").expect("there");
    assert_eq!(read[..], *found);
    if flip != 0 {
        let place = at % framed.len();
        framed[place] ^= flip;
        assert!(matches!(store_with(&framed).read(KIND), Err(StoreError::Damaged { .. })));
    }
}

fn store_with(octets: &[u8]) -> Store<FaultyFolder> {
    let mut folder = FaultyFolder::new();
    folder.create(KIND.name).expect("no fault");
    folder.write(KIND.name, octets).expect("no fault");
    Store::new(folder)
}

fn an_account_is_read_as_it_was_written(octets: &[u8], fault: Fault<'_>) {
    let rules = Rules::new(UnixTime::EPOCH);
    let life = Life { boot: [1; 16], run: [1; 16] };
    // Another boot: no time has passed that could be counted.
    let read = |octets: &[u8]| Guard::from_octets(rules, life, octets, at(5));
    let Ok(mut guard) = read(octets) else { return };
    let mut stored = guard.to_octets();
    fault("account written", &mut stored);
    let mut again = read(&stored).expect("our own");
    assert_eq!((guard.floor(), guard.used(at(5))), (again.floor(), again.used(at(5))));
    let adjustment = Adjustment::Rate(Frequency::from_ppm(600.0));
    let request = Request { adjustment, facts: Facts { agreeing: 1, updates: 0 } };
    let wall = UnixTime::new(1_800_000_000, 0);
    assert_eq!(guard.permit(&request, at(6), wall), again.permit(&request, at(6), wall));
}

fn keys_are_read_as_they_were_written(octets: &[u8], fault: Fault<'_>) {
    let mut first = sources();
    let restored = first.restore_keys(octets, at(1));
    let mut stored = first.into_keys().to_vec();
    fault("keys written", &mut stored);
    let mut again = sources();
    let restored_again = again.restore_keys(&stored, at(1));
    assert!(restored_again <= restored);
    assert_eq!(*again.into_keys(), stored);
    // Entries are written in the order of the configuration, whatever order they had.
    let in_order = |octets: &[u8]| {
        let mut octets = octets.to_vec();
        octets.sort_unstable();
        octets
    };
    let is_all = stored.len() == octets.len() && restored > 0;
    assert!(!is_all || in_order(&stored) == in_order(octets));
}

/// Octets that tell of a copy of this machine begin as only the kernel's do, hold the whole word, and tell it whatever comes behind.
fn a_copy_is_told_by_the_kernel_alone(octets: &[u8], fault: Fault<'_>) {
    let holds = |word: &[u8]| octets.windows(word.len()).any(|part| part == word);
    let mut again = octets.to_vec();
    if tells_of_copy(octets) {
        assert!(holds(b";random: crng reseeded due to virtual machine fork"));
        let head = octets.split(|octet| *octet == b',' || *octet == b';').next();
        let priority: u32 =
            std::str::from_utf8(head.expect("one")).expect("digits").parse().expect("few");
        assert!(priority < 8, "not the kernel's");
        again.extend_from_slice(b"\n SUBSYSTEM=acpi\n");
        fault("record with more behind", &mut again);
        assert!(tells_of_copy(&again));
    } else if uevent::is_new_generation(octets) {
        assert!(octets.starts_with(b"change@") && holds(b"\0NEW_VMGENID=1"));
        again.extend_from_slice(b"\0SEQNUM=1\0");
        fault("event with more behind", &mut again);
        assert!(uevent::is_new_generation(&again));
    }
}

/// Three servers with NTS that may have left keys behind.
fn sources() -> Sources {
    let spec = |host: &str| SourceSpec::new(SourceKind::Nts(Endpoint::new(host, 4460)));
    let keeper = Keeper::new(noonmark_clock::Settings::default(), None, at(0));
    let specs = ["a.example", "b.example", "192.0.2.1"].map(spec).to_vec();
    let random = Box::new(|out: &mut [u8]| out.fill(0x5a));
    let mut sources = Sources::new(specs, keeper, Precision(-25), random, at(0));
    while let Some(action) = sources.poll_output() {
        if let Action::Resolve { endpoint, family } = action {
            let found: [SocketAddr; 1] = [([192, 0, 2, 7], endpoint.port).into()];
            sources.handle_resolved(&endpoint, family, &found, at(0));
        }
    }
    sources
}

fn at(seconds: u64) -> Reading {
    let real = Timestamp::from_unix(UnixTime::new(1_800_000_000, 0));
    Reading { mono: Mono(seconds * 1_000_000_000), real }
}

const KIND: Kind = Kind { name: "file", label: *b"fuzzfile", version: 1 };
