//! The secret behind the cookie keys, and its file.

use std::path::PathBuf;

use noonmark_config::Settings;
use noonmark_nts::{Advance, KeyRing, Pace};
use noonmark_os::clock;
use noonmark_os::random::RandomPool;
use noonmark_os::store::{Folder, Store};
use noonmark_units::UnixTime;

use super::kept::KEY_RING;
use crate::exit::{Failure, Status};
use crate::message::KeySet;

/// The key ring and the file it lives in.
pub struct Ring {
    ring: KeyRing,
    /// Where the store is, for messages.
    folder: PathBuf,
    pool: RandomPool,
    /// What was last stored; what is handed out is never ahead of it.
    stored: KeySet,
    retry_at: UnixTime,
}

impl Ring {
    /// The stored ring, or a new one.
    ///
    /// # Errors
    /// [`Status::State`] for a ring that is damaged, and for a new one that cannot be stored.
    pub fn open<F: Folder>(
        store: &mut Store<F>,
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
        let mut ring = match &found {
            Some(octets) => KeyRing::from_octets(octets).map_err(|error| unusable(&error))?,
            None => {
                tracing::info!("no cookie keys are stored; beginning with new ones");
                KeyRing::new(pace, now, &mut random).map_err(|error| unusable(&error))?
            }
        };
        let mut stored = key_set(&ring);
        if ring.pace() != pace {
            ring.set_pace(pace, now).map_err(|error| unusable(&error))?;
        }
        report(ring.advance(now, &mut random));
        let mut retry_at = UnixTime::MIN;
        match store.write(KEY_RING, &ring.to_octets()) {
            Ok(()) => stored = key_set(&ring),
            // A disk that is full, or was made read-only, is no reason to serve nobody.
            Err(error) if found.is_some() => {
                retry_at = later(now);
                let folder = folder.display();
                tracing::error!(%folder, %error, "cookie keys cannot be stored; those of before stay in use");
            }
            Err(error) => return Err(unusable(&error)),
        }
        let folder = folder.to_owned();
        Ok(Self { ring, folder, pool, stored, retry_at })
    }

    /// The keys that are good now and will be after a restart, too.
    #[must_use]
    pub fn keys(&self) -> KeySet {
        self.stored.clone()
    }

    /// Draws from another pool from now on: somebody may have a copy of the one before.
    pub fn draw_from(&mut self, pool: RandomPool) {
        self.pool = pool;
    }

    /// Turns the ring to the epoch of `now` and stores it. Returns whether there are new keys to hand out. If it cannot be
    /// stored, the keys handed out stay as they are, and it is tried again later.
    pub fn turn<F: Folder>(&mut self, store: &mut Store<F>, now: UnixTime) -> bool {
        let pool = &mut self.pool;
        let advance = self.ring.advance(now, &mut |out: &mut [u8]| pool.fill(out));
        let pending = self.ring.current() != self.stored.current;
        match advance {
            Advance::Same | Advance::Waiting { .. } if !pending => return false,
            Advance::Same | Advance::Waiting { .. } if now < self.retry_at => return false,
            _ => report(advance),
        }
        match store.write(KEY_RING, &self.ring.to_octets()) {
            Ok(()) => {
                self.stored = key_set(&self.ring);
                tracing::info!(epoch = self.stored.current, until = %self.stored.next_turn, "cookie keys turned");
                true
            }
            Err(error) => {
                self.retry_at = later(now);
                let folder = self.folder.display();
                tracing::error!(%folder, %error, "cookie keys cannot be stored; the old ones stay in use");
                false
            }
        }
    }
}

fn later(now: UnixTime) -> UnixTime {
    UnixTime::new(now.seconds.saturating_add(RETRY_SECONDS), 0)
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

const RETRY_SECONDS: i64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use noonmark_nts::CookieKey;
    use noonmark_os::store::fault::{Fault, FaultyFolder};
    use std::path::Path;

    fn settings(retention: u32) -> Settings {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[nts]\ncertificate = \"c\"\nkey = \"k\"\n\
             [cookies]\nrotation = \"1m\"\nretention = {retention}\n"
        );
        noonmark_config::parse(&text, Path::new("/x/noonmark.toml"))
            .unwrap_or_else(|report| panic!("{report}"))
    }

    /// A ring with its store.
    struct Kept {
        ring: Ring,
        store: Store<FaultyFolder>,
    }

    impl Kept {
        fn keys(&self) -> KeySet {
            self.ring.keys()
        }

        fn turn(&mut self, now: UnixTime) -> bool {
            self.ring.turn(&mut self.store, now)
        }
    }

    fn open(folder: FaultyFolder, retention: u32) -> Result<Kept, Failure> {
        let (mut store, pool) = (Store::new(folder), RandomPool::new().expect("kernel"));
        let ring = Ring::open(&mut store, pool, &settings(retention))?;
        Ok(Kept { ring, store })
    }

    fn exposed(keys: &KeySet) -> Vec<(u32, [u8; 32])> {
        keys.keys.iter().map(|key: &CookieKey| (key.epoch(), *key.expose())).collect()
    }

    fn next_turn(kept: &Kept) -> UnixTime {
        kept.ring.ring.next_turn()
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
            assert!(ring.turn(next_turn(&ring)));
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
        let turn = next_turn(&ring);
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
    fn no_key_that_was_handed_out_is_lost_wherever_a_turn_ends() {
        let first = open(FaultyFolder::new(), 3).expect("a new ring");
        let (folder, turn) = (first.store.folder().clone(), next_turn(&first));
        let mut looked_at = 0;
        for step in 0..=6 {
            for fault in [Fault::Error, Fault::CrashBefore, Fault::CrashAfter] {
                let mut kept = open(folder.clone(), 3).expect("stored");
                let mut faulty = kept.store.folder().clone();
                faulty.set_fault(faulty.steps() + step, fault);
                kept.store = Store::new(faulty);
                kept.turn(turn);
                let (handed_out, left) = (exposed(&kept.keys()), kept.store.folder());
                for left in left.remains().into_iter().chain([left.left_behind()]) {
                    let next = open(left, 3).unwrap_or_else(|failure| panic!("{failure}"));
                    let keys = exposed(&next.keys());
                    let is_there = |key: &(u32, [u8; 32])| keys.contains(key);
                    assert!(handed_out.iter().all(is_there), "{fault:?} at step {step}");
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at > 500, "{looked_at}");
    }

    #[test]
    fn stored_keys_are_used_though_nothing_can_be_stored() {
        let first = open(FaultyFolder::new(), 3).expect("a new ring");
        let mut folder = first.store.folder().clone();
        folder.set_fault(folder.steps(), Fault::Error);
        let mut again = open(folder, 3).expect("there is one");
        assert_eq!(exposed(&first.keys()), exposed(&again.keys()));
        let turn = next_turn(&again);
        assert!(again.turn(turn), "there is room again");
        assert_eq!(again.keys().current, 1);
        // But a new one that would be lost is not begun with.
        let mut folder = FaultyFolder::new();
        folder.set_fault(0, Fault::Error);
        let failure = open(folder, 3).err().expect("no room");
        assert_eq!(failure.status, Status::State);
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
}
