use zeroize::Zeroizing;

use super::{Folder, Kind, Store, StoreError};

/// A secret that is left in the store for the next process and taken out of it once, such as cookies that must not be used twice.
///
/// Each has a number, and the number last taken stays behind on disk before the secret is handed out. So neither a crash in between nor a
/// copy of the file put back later brings a secret out a second time; only a copy of the whole folder would.
#[derive(Clone, Copy, Debug)]
pub struct Once {
    /// Where the secret waits. Content: its number (8), most significant octet first, and the secret.
    pub secret: Kind,
    /// Which one was taken last. Content: its number (8).
    pub taken: Kind,
}

impl Once {
    /// Leaves `content`, in place of what may be there.
    ///
    /// # Errors
    /// As [`Store::write`] and [`Store::read`].
    pub fn leave<F: Folder>(&self, store: &mut Store<F>, content: &[u8]) -> Result<(), StoreError> {
        let number = self.last_taken(store)?.saturating_add(1);
        let mut numbered = Zeroizing::new(Vec::with_capacity(8 + content.len()));
        numbered.extend_from_slice(&number.to_be_bytes());
        numbered.extend_from_slice(content);
        store.write(self.secret, &numbered)
    }

    /// Takes what was left; `None` if nothing was, or it was taken before.
    ///
    /// # Errors
    /// As [`Store::read`], [`Store::write`] and [`Store::remove`]; nothing is handed out then.
    pub fn take<F: Folder>(
        &self,
        store: &mut Store<F>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(found) = store.read(self.secret)? else { return Ok(None) };
        let numbered = found.split_first_chunk::<8>();
        let last = self.last_taken(store)?;
        let fresh = numbered.filter(|(number, _)| u64::from_be_bytes(**number) > last);
        if let Some((number, _)) = fresh {
            store.write(self.taken, number)?;
        }
        store.remove(self.secret)?;
        Ok(fresh.map(|(_, content)| Zeroizing::new(content.to_vec())))
    }

    fn last_taken<F: Folder>(&self, store: &mut Store<F>) -> Result<u64, StoreError> {
        let found = store.read(self.taken)?;
        let number = found.as_deref().and_then(|content| content.first_chunk::<8>().copied());
        Ok(number.map_or(0, u64::from_be_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fault::{Fault, FaultyFolder};

    const KEYS: Once = Once {
        secret: Kind { name: "keys", label: *b"keys    ", version: 1 },
        taken: Kind { name: "taken", label: *b"taken   ", version: 1 },
    };

    #[test]
    fn what_is_left_is_taken_once() {
        let mut store = Store::new(FaultyFolder::new());
        let take = |store: &mut Store<FaultyFolder>| {
            KEYS.take(store).expect("good").map(|content| content.to_vec())
        };
        assert_eq!(take(&mut store), None);
        KEYS.leave(&mut store, b"first").expect("room");
        KEYS.leave(&mut store, b"second").expect("room");
        let copy = store.read(KEYS.secret).expect("good").expect("left");
        assert_eq!(take(&mut store).as_deref(), Some(&b"second"[..]));
        assert_eq!(take(&mut store), None);
        // A copy is put back.
        store.write(KEYS.secret, &copy).expect("room");
        assert_eq!(take(&mut store), None);
        KEYS.leave(&mut store, b"third").expect("room");
        assert_eq!(take(&mut store).as_deref(), Some(&b"third"[..]));
        // Too short to have a number.
        store.write(KEYS.secret, b"short").expect("room");
        assert_eq!(take(&mut store), None);
    }

    /// Does `work` on a folder with each fault at each step, and hands each folder that may be left to `look`, with the fault and what
    /// `work` returned.
    fn with_every_fault<T>(
        folder: &FaultyFolder,
        work: impl Fn(&mut Store<FaultyFolder>) -> T,
        look: impl Fn(FaultyFolder, &str, &T),
    ) {
        let mut store = Store::new(folder.clone());
        work(&mut store);
        let (first, last) = (folder.steps(), store.folder().steps());
        assert!(last > first, "it takes some steps");
        for step in first..=last {
            for fault in [Fault::Error, Fault::CrashBefore, Fault::CrashAfter] {
                let mut faulty = folder.clone();
                faulty.set_fault(step, fault);
                let mut store = Store::new(faulty);
                let returned = work(&mut store);
                let left = store.folder().clone();
                let what = format!("{fault:?} at step {}", step - first);
                // The machine has stopped there, or only the process.
                for folder in left.remains().into_iter().chain([left.left_behind()]) {
                    look(folder, &what, &returned);
                }
            }
        }
    }

    fn taken(folder: FaultyFolder, what: &str) -> Option<Vec<u8>> {
        let mut store = Store::new(folder);
        let taken = KEYS.take(&mut store).unwrap_or_else(|error| panic!("{what}: {error}"));
        taken.map(|content| content.to_vec())
    }

    #[test]
    fn a_secret_left_with_any_fault_is_the_old_one_or_the_new_one() {
        let mut store = Store::new(FaultyFolder::new());
        KEYS.leave(&mut store, b"first").expect("room");
        KEYS.take(&mut store).expect("good");
        KEYS.leave(&mut store, b"old").expect("room");
        let leave = |store: &mut Store<FaultyFolder>| KEYS.leave(store, b"new").is_ok();
        with_every_fault(store.folder(), leave, |folder, what, done| {
            let taken = taken(folder, what);
            let is_new = taken.as_deref() == Some(b"new");
            assert!(is_new || (!done && taken.as_deref() == Some(b"old")), "{what}: {taken:?}");
        });
    }

    #[test]
    fn a_secret_taken_with_any_fault_is_never_taken_twice() {
        let mut store = Store::new(FaultyFolder::new());
        KEYS.leave(&mut store, b"first").expect("room");
        KEYS.take(&mut store).expect("good");
        KEYS.leave(&mut store, b"secret").expect("room");
        let take = |store: &mut Store<FaultyFolder>| KEYS.take(store).ok().flatten().is_some();
        with_every_fault(store.folder(), take, |folder, what, was_taken| {
            let again = taken(folder.clone(), what);
            assert!(!(*was_taken && again.is_some()), "{what}: twice");
            assert!(again.is_none_or(|secret| secret == b"secret"), "{what}");
            // And whatever became of it, the next one is not stopped.
            let mut store = Store::new(folder);
            KEYS.leave(&mut store, b"next").expect("room");
            let next = taken(store.folder().clone(), what);
            assert_eq!(next.as_deref(), Some(&b"next"[..]), "{what}");
        });
    }
}
