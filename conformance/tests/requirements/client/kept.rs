//! Keys and cookies over a restart (NC-26).

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use noonmark_conformance::check::{Check, Failure};
use noonmark_os::random::RandomPool;
use noonmark_os::store::{DiskFolder, Kind, Once, Store};

use super::Fault;
use super::bench::ensure;
use crate::{FaultKind, Lab};

pub const CHECKS: &[Check<Lab>] = &[Check {
    ids: &["NC-26"],
    name: "kept_keys_are_private_and_come_out_once_even_if_a_copy_is_put_back",
    run: kept_keys,
}];

/// As the daemon has them.
const KEYS: Once = Once {
    secret: Kind { name: "clientkeys", label: *b"clntkeys", version: 2 },
    taken: Kind { name: "clientkeys-taken", label: *b"clnttake", version: 1 },
};

/// A folder of its own, gone when dropped.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn kept_keys(lab: &mut Lab) -> Result<(), Failure> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mark = u64::from_be_bytes(RandomPool::new().map_err(|error| text(&error))?.array());
    let place = Place(std::env::temp_dir().join(format!("noonmark-kept-{mark:016x}")));
    std::fs::DirBuilder::new().mode(0o700).create(&place.0).map_err(|error| text(&error))?;
    let mut store = Store::new(DiskFolder::open(&place.0).map_err(|error| text(&error))?);
    KEYS.leave(&mut store, b"keys and cookies").map_err(|error| text(&error))?;
    let file = place.0.join(KEYS.secret.name);
    let mode = std::fs::metadata(&file).map_err(|error| text(&error))?.permissions().mode();
    ensure(mode & 0o7777 == 0o600, || format!("mode {mode:o} of {}", file.display()))?;
    let copy = std::fs::read(&file).map_err(|error| text(&error))?;
    let first = KEYS.take(&mut store).map_err(|error| text(&error))?;
    ensure(first.as_deref().map(Vec::as_slice) == Some(b"keys and cookies"), || {
        "they are lost".into()
    })?;
    ensure(!file.exists(), || "they are still there once they are loaded".into())?;
    // A backup, or whoever wants a cookie to be seen twice, puts the file back.
    std::fs::write(&file, &copy).map_err(|error| text(&error))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| text(&error))?;
    if matches!(lab.fault, Some(FaultKind::Client(Fault::TakesKeysAgain))) {
        store.remove(KEYS.taken).map_err(|error| text(&error))?;
    }
    let again = KEYS.take(&mut store).map_err(|error| text(&error))?;
    ensure(again.is_none(), || "old keys that were put back are used again".into())
}
