//! The role that owns what lasts: the state folder, the secret of the key ring, and what is said about the clock.
//!
//! It reads nothing from the network. Of the key ring it hands out the keys of single epochs, never the secret they come from.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use noonmark_config::{Local, Settings};
use noonmark_nts::{Advance, KeyRing, Pace};
use noonmark_os::clock;
use noonmark_os::page::StatePage;
use noonmark_os::random::RandomPool;
use noonmark_os::store::{DiskFolder, Folder, Kind, LockError, Store};
use noonmark_packet::ReferenceId;
use noonmark_server::{CLOCK_WORDS, ClockState};
use noonmark_units::{Mono, Precision, Stratum, UnixTime};

use crate::exit::{Failure, Status};
use crate::launcher::{PREDECESSOR_LEAVES_WITHIN, PREDECESSOR_LOOK_EVERY};
use crate::message::{KeySet, Message};
use crate::station::{Ending, Station};

/// Works until told to stop.
///
/// # Errors
/// [`Ending::Stopped`], or why it cannot go on.
pub fn run(station: &mut Station) -> Result<(), Ending> {
    // Before the state folder is opened: a disk that does not answer is what a warden hangs at.
    station.show_pulse(0)?;
    let settings = &station.settings;
    let folder = open_folder(&settings.state.folder)?;
    if let Some(mode) = folder.open_to_others() {
        let (folder, mode) = (folder.path().display(), format!("{mode:04o}"));
        tracing::warn!(%folder, mode, "others may look into the state folder; 0700 is better (chmod go=)");
    }
    let store = Store::new(folder);
    let pool = RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
    let mut ring = settings.nts.is_some().then(|| Ring::open(store, pool, settings)).transpose()?;
    let mut page = StatePage::new(c"noonmark-clock", CLOCK_WORDS)
        .map_err(Failure::while_doing(Status::System, "the clock page"))?;
    let precision = clock::precision();
    let local = settings.server.local;
    page.publish(&clock_state(local, precision, clock::boot_time()).to_words());
    station.tell(&Message::ClockPage, &[page.descriptor()])?;
    if let Some(ring) = &ring {
        station.tell(&Message::CookieKeys(ring.keys()), &[])?;
    }
    station.ready()?;
    loop {
        station.sleep(&[], PUBLISH_EVERY)?;
        // Everything the launcher says to a warden ends it.
        if let Some(incoming) = station.poll()? {
            return Err(Ending::unexpected(&incoming.message));
        }
        page.publish(&clock_state(local, precision, clock::boot_time()).to_words());
        if let Some(ring) = &mut ring
            && ring.turn(clock::realtime())
        {
            station.tell(&Message::CookieKeys(ring.keys()), &[])?;
        }
    }
}

/// What answers say of the clock. Nothing disciplines it yet, so it is either served on purpose as it stands, or not known to
/// be right.
fn clock_state(local: Option<Local>, precision: Precision, now: Mono) -> ClockState {
    match local {
        Some(local) => {
            let state = ClockState::local(
                Stratum::new(local.stratum),
                ReferenceId(local.reference_id),
                precision,
            );
            ClockState { as_of: now, ..state }
        }
        None => ClockState { precision, as_of: now, ..ClockState::UNSYNCHRONISED },
    }
}

/// Opens the state folder for this daemon alone, and makes it if only the last part of its path is missing.
fn open_folder(path: &Path) -> Result<DiskFolder, Failure> {
    // An existing folder, and one that cannot be made, are both told apart by opening it.
    let _ = std::fs::DirBuilder::new().mode(0o700).create(path);
    let deadline = clock::monotonic() + PREDECESSOR_LEAVES_WITHIN;
    let opened = loop {
        match DiskFolder::open(path) {
            // The warden of a launcher that was killed may not quite have left yet.
            Err(LockError::Busy { .. }) if clock::monotonic() < deadline => {
                std::thread::sleep(PREDECESSOR_LOOK_EVERY);
            }
            result => break result,
        }
    };
    opened.map_err(|error| {
        let status = match &error {
            LockError::Busy { .. } => Status::AlreadyRunning,
            LockError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Status::Permission
            }
            LockError::Exposed { .. } | LockError::Io { .. } => Status::State,
        };
        Failure::new(status, format_args!("state folder {error}"))
    })
}

/// The key ring and the file it lives in.
struct Ring<F> {
    ring: KeyRing,
    /// Where the store is, for messages.
    folder: PathBuf,
    store: Store<F>,
    pool: RandomPool,
    /// What was last stored; what is handed out is never ahead of it.
    stored: KeySet,
    retry_at: UnixTime,
}

impl<F: Folder> Ring<F> {
    fn open(
        mut store: Store<F>,
        mut pool: RandomPool,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let now = clock::realtime();
        let pace = pace_of(settings)?;
        let folder = settings.state.folder.as_path();
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::new(Status::State, format_args!("state folder {}: {error}", folder.display()))
        };
        let found = store.read(KEY_RING).map_err(|error| unusable(&error))?;
        let mut random = |out: &mut [u8]| pool.fill(out);
        let mut ring = match found {
            Some(octets) => KeyRing::from_octets(&octets).map_err(|error| unusable(&error))?,
            None => {
                tracing::info!("no cookie keys are stored; beginning with new ones");
                KeyRing::new(pace, now, &mut random).map_err(|error| unusable(&error))?
            }
        };
        if ring.pace() != pace {
            ring.set_pace(pace, now).map_err(|error| unusable(&error))?;
        }
        report(ring.advance(now, &mut random));
        store.write(KEY_RING, &ring.to_octets()).map_err(|error| unusable(&error))?;
        let stored = key_set(&ring);
        let folder = folder.to_owned();
        Ok(Self { ring, folder, store, pool, stored, retry_at: UnixTime::MIN })
    }

    /// The keys that are good now and will be after a restart, too.
    fn keys(&self) -> KeySet {
        self.stored.clone()
    }

    /// Turns the ring to the epoch of `now` and stores it. Returns whether there are new keys to hand out. If it cannot be
    /// stored, the keys handed out stay as they are, and it is tried again later.
    fn turn(&mut self, now: UnixTime) -> bool {
        let pool = &mut self.pool;
        let advance = self.ring.advance(now, &mut |out: &mut [u8]| pool.fill(out));
        let pending = self.ring.current() != self.stored.current;
        match advance {
            Advance::Same | Advance::Waiting { .. } if !pending => return false,
            Advance::Same | Advance::Waiting { .. } if now < self.retry_at => return false,
            _ => report(advance),
        }
        match self.store.write(KEY_RING, &self.ring.to_octets()) {
            Ok(()) => {
                self.stored = key_set(&self.ring);
                tracing::info!(epoch = self.stored.current, until = %self.stored.next_turn, "cookie keys turned");
                true
            }
            Err(error) => {
                self.retry_at = UnixTime::new(now.seconds.saturating_add(RETRY_SECONDS), 0);
                let folder = self.folder.display();
                tracing::error!(%folder, %error, "cookie keys cannot be stored; the old ones stay in use");
                false
            }
        }
    }
}

fn pace_of(settings: &Settings) -> Result<Pace, Failure> {
    let cookies = settings.cookies;
    let out_of_range =
        || Failure::new(Status::Internal, "[cookies] is beyond what the configuration allows");
    Ok(Pace {
        interval: u32::try_from(cookies.rotation.as_secs()).map_err(|_| out_of_range())?,
        retained: u16::try_from(cookies.retention).map_err(|_| out_of_range())?,
    })
}

fn key_set(ring: &KeyRing) -> KeySet {
    KeySet { current: ring.current(), next_turn: ring.next_turn(), keys: ring.keys() }
}

fn report(advance: Advance) {
    if let Advance::Renewed(why) = advance {
        tracing::warn!(
            ?why,
            "cookie keys begun anew, every cookie is void: the clock is far from where it was"
        );
    }
}

const KEY_RING: Kind = Kind { name: "keyring", label: *b"keyring ", version: 1 };

/// How often the clock page is renewed and the ring is looked at.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
const RETRY_SECONDS: i64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_nts::CookieKey;
    use noonmark_os::store::fault::{Fault, FaultyFolder};

    fn settings(retention: u32) -> Settings {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[nts]\ncertificate = \"c\"\nkey = \"k\"\n\
             [cookies]\nrotation = \"1m\"\nretention = {retention}\n"
        );
        noonmark_config::parse(&text, Path::new("/x/noonmark.toml"))
            .unwrap_or_else(|report| panic!("{report}"))
    }

    fn open(folder: FaultyFolder, retention: u32) -> Result<Ring<FaultyFolder>, Failure> {
        let pool = RandomPool::new().expect("kernel");
        Ring::open(Store::new(folder), pool, &settings(retention))
    }

    fn exposed(keys: &KeySet) -> Vec<(u32, [u8; 32])> {
        keys.keys.iter().map(|key: &CookieKey| (key.epoch(), *key.expose())).collect()
    }

    fn later(ring: &Ring<FaultyFolder>) -> UnixTime {
        ring.ring.next_turn()
    }

    #[test]
    fn keys_survive_a_restart() {
        let first = open(FaultyFolder::new(), 3).expect("a new ring");
        let again = open(first.store.folder().clone(), 3).expect("stored");
        assert_eq!(exposed(&first.keys()), exposed(&again.keys()));
        let fewer = open(first.store.folder().clone(), 2).expect("another pace");
        assert_eq!(exposed(&fewer.keys()), exposed(&first.keys()), "the current keys stay");
    }

    #[test]
    fn longest_window_fits_a_message() {
        let mut ring = open(FaultyFolder::new(), 64).expect("a new ring");
        for _ in 0..70 {
            assert!(ring.turn(later(&ring)));
        }
        let keys = ring.keys();
        assert_eq!(keys.keys.len(), 66);
        assert!(Message::parse(&Message::CookieKeys(keys).to_octets()).is_ok());
    }

    #[test]
    fn keys_that_cannot_be_stored_are_not_handed_out() {
        let mut folder = FaultyFolder::new();
        let mut ring = open(folder.clone(), 3).expect("a new ring");
        let before = exposed(&ring.keys());
        folder = ring.store.folder().clone();
        let steps = folder.steps();
        folder.set_fault(steps + 1, Fault::Error);
        ring.store = Store::new(folder);
        let turn = later(&ring);
        assert!(!ring.turn(turn), "the write failed");
        assert_eq!(exposed(&ring.keys()), before);
        assert!(!ring.turn(turn), "not tried again at once");
        assert!(ring.turn(UnixTime::new(turn.seconds + RETRY_SECONDS, 0)), "but later");
        let after = ring.keys();
        assert_eq!(after.current, 1);
        assert_eq!(after.epochs().oldest, 0, "cookies of the epoch before are honoured");
        assert_eq!(exposed(&open(ring.store.folder().clone(), 3).expect("stored").keys()).len(), 3);
    }

    #[test]
    fn damaged_ring_is_refused_and_not_replaced() {
        let mut folder = FaultyFolder::new();
        folder.create("keyring").expect("no fault");
        folder.write("keyring", b"NOONMARK and then nonsense").expect("no fault");
        let failure = open(folder, 3).err().expect("damaged");
        assert_eq!(failure.status, Status::State);
        let named = "state folder /var/lib/noonmark: keyring is damaged";
        assert!(failure.reason.contains(named), "{failure}");
    }

    #[test]
    fn clock_is_unsynchronised_unless_served_on_purpose() {
        let unknown = clock_state(None, Precision(-25), Mono(7));
        assert!(!unknown.is_synchronised());
        assert_eq!((unknown.as_of, unknown.precision), (Mono(7), Precision(-25)));
        let local = Local { stratum: 5, reference_id: [127, 127, 1, 1] };
        let served = clock_state(Some(local), Precision(-25), Mono(7));
        assert!(served.is_synchronised());
        assert_eq!((served.stratum.get(), served.as_of), (5, Mono(7)));
    }
}
