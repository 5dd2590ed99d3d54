//! What a noonmarkd on this machine tells of the clock, beside the cycle counter, so that it can be held against the truth.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::truth::cycles;

/// Between which bounds true time lies, says the daemon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// The cycle counter when this was read.
    pub cycles: u64,
    /// For how many ns it had been so by then.
    pub age: i64,
    /// True time minus the clock is no less, ns.
    pub earliest: i64,
    /// And no more.
    pub latest: i64,
}

impl Told {
    /// Asks over the status socket. `None` while the daemon knows nothing.
    ///
    /// # Errors
    /// A sentence, if nobody answers as docs/status.md says.
    pub fn read(socket: &Path) -> Result<Option<Self>, String> {
        let mut document = Vec::new();
        let mut ask = || {
            let mut stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_to_end(&mut document)
        };
        ask().map_err(|error| format!("{}: {error}", socket.display()))?;
        let cycles = cycles();
        Self::parse(&document, cycles)
    }

    fn parse(document: &[u8], cycles: u64) -> Result<Option<Self>, String> {
        let Document { tracking } = serde_json::from_slice(document).map_err(|e| e.to_string())?;
        let nanos = |seconds: f64| (seconds * 1e9).round() as i64;
        Ok(tracking.and_then(|tracking| {
            Some(Self {
                cycles,
                age: nanos(tracking.age_seconds),
                earliest: nanos(tracking.earliest_seconds?),
                latest: nanos(tracking.latest_seconds?),
            })
        }))
    }
}

/// What of the document counts here.
#[derive(Deserialize)]
struct Document {
    tracking: Option<Tracking>,
}

#[derive(Deserialize)]
struct Tracking {
    age_seconds: f64,
    earliest_seconds: Option<f64>,
    latest_seconds: Option<f64>,
}

/// For each part of the document.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_of_which_something_is_known_has_bounds() {
        let check = |document: &str, expected: Result<Option<[i64; 3]>, ()>| {
            let told = Told::parse(document.as_bytes(), 7).map_err(|_| ());
            let told = told.map(|told| told.map(|told| [told.age, told.earliest, told.latest]));
            assert_eq!(told, expected, "{document}");
        };
        let tracking = |earliest: &str| {
            format!(
                r#"{{"ready":true,"tracking":{{"age_seconds":0.25,"earliest_seconds":{earliest},"latest_seconds":9e-4}}}}"#
            )
        };
        check(&tracking("-0.0011"), Ok(Some([250_000_000, -1_100_000, 900_000])));
        check(&tracking("null"), Ok(None));
        check(r#"{"tracking":null}"#, Ok(None));
        check("{}", Ok(None));
        check(r#"{"tracking":{"earliest_seconds":1.0}}"#, Err(()));
        check("", Err(()));
    }
}
