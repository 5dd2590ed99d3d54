//! The list of leap seconds that `leap-seconds` in `[clock]` names.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use noonmark_clock::leap::LeapSeconds;

/// Reads a list of leap seconds in any of its texts. Whoever owns it: what it says is no secret, and what it says wrong is found by its sum.
///
/// # Errors
/// Why there is none, as words that follow the file's name.
pub fn read_leap_seconds(path: &Path) -> Result<LeapSeconds, String> {
    // Opening a pipe would wait for whoever writes to it. In a sandbox nothing but opening may be tried.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err("not an ordinary file".to_owned());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    // One octet more than allowed is too long a list.
    let most = LeapSeconds::LONGEST as u64 + 1;
    file.take(most).read_to_string(&mut text).map_err(|error| error.to_string())?;
    LeapSeconds::from_text(&text).map_err(|error| error.to_string())
}
