//! What this process holds in memory.

use super::lab::{Outcome, ensure};

/// Does something that must leave less than `limit` octets of memory behind.
pub fn grows_by(limit: u64, doing: impl FnOnce() -> Outcome) -> Outcome {
    let before = resident()?;
    doing()?;
    let grown = resident()?.saturating_sub(before);
    ensure(grown < limit, || format!("{grown} octets of memory stay behind"))
}

fn resident() -> Result<u64, String> {
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    Ok(pages.ok_or("no resident pages")? * 4096)
}
