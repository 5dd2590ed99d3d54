//! What became of every connection, counted by outcome and reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// One set of counters, shared by all sessions of a process.
///
/// Every connection is counted in [`Counter::Accepted`] and, once it is over, in exactly one of the counters that say what
/// became of it (see [`Counter::is_fate`]); the others add detail.
#[derive(Debug)]
pub struct Counters {
    values: [AtomicU64; Counter::COUNT],
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        Self { values: [const { AtomicU64::new(0) }; Counter::COUNT] }
    }

    /// The number counted.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values.get(counter as usize).map_or(0, |value| value.load(Ordering::Relaxed))
    }

    /// All numbers, in the order of [`Counter::ALL`].
    pub fn values(&self) -> [u64; Counter::COUNT] {
        Counter::ALL.map(|counter| self.get(counter))
    }

    /// Copies all numbers to `page`, which only this process writes. Surplus words stay as they are.
    pub fn publish(&self, page: &[AtomicU64]) {
        for (word, value) in page.iter().zip(&self.values) {
            word.store(value.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Counts one.
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts several.
    pub(crate) fn add(&self, counter: Counter, number: u64) {
        // A variant's number is its place among all, so there is always a value.
        if let Some(value) = self.values.get(counter as usize) {
            value.fetch_add(number, Ordering::Relaxed);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

noonmark_os::counters! {
    /// Connections accepted.
    Accepted = "accepted";
    /// Served with keys and cookies for AEAD_AES_SIV_CMAC_256.
    ServedAesSivCmac256 = "served_aes_siv_cmac_256", fate;
    /// Served with keys and cookies for AEAD_AES_SIV_CMAC_512.
    ServedAesSivCmac512 = "served_aes_siv_cmac_512", fate;
    /// Served with keys and cookies for AEAD_AES_128_GCM_SIV.
    ServedAes128GcmSiv = "served_aes_128_gcm_siv", fate;
    /// Answered that no protocol is shared: the client does not want NTPv4.
    NoSharedProtocol = "no_shared_protocol", fate;
    /// Answered that no AEAD is shared.
    NoSharedAead = "no_shared_aead", fate;
    /// Answered with error 0: a critical record that nobody here knows.
    ErrorUnknownCritical = "error_unknown_critical", fate;
    /// Answered with error 1: a request that breaks a rule.
    ErrorBadRequest = "error_bad_request", fate;
    /// Answered with error 1: the request was not whole when time ran out or the client stopped sending.
    ErrorIncomplete = "error_incomplete", fate;
    /// Answered with error 2: no cookie keys are here.
    ErrorInternal = "error_internal", fate;
    /// The answer was ready but could not be delivered.
    Undelivered = "undelivered", fate;
    /// TLS failed: no version in common, TLS 1.3 being the only one here.
    TlsVersion = "tls_version", fate;
    /// TLS failed: the client does not offer the application protocol `ntske/1`.
    TlsAlpn = "tls_alpn", fate;
    /// TLS failed for another reason.
    TlsFailed = "tls_failed", fate;
    /// The TLS handshake was not over when time ran out.
    TlsTimedOut = "tls_timed_out", fate;
    /// The client went away before its request was whole.
    WentAway = "went_away", fate;
    /// Closed at once: access rules do not let the address in.
    ClosedAccess = "closed_access", fate;
    /// Closed at once: as many sessions as are allowed in all.
    ClosedFull = "closed_full", fate;
    /// Closed at once: as many sessions as are allowed for the address's prefix.
    ClosedPrefixFull = "closed_prefix_full", fate;
    /// Cookies given out.
    CookiesIssued = "cookies_issued";
    /// Served with AEAD_AES_128_GCM_SIV and record 1024 agreed.
    CompliantGcmSivExport = "compliant_gcm_siv_export";
    /// Failed attempts to accept for want of descriptors or memory; accepting pauses then.
    AcceptExhausted = "accept_exhausted";
    /// Failed attempts to accept for other reasons.
    AcceptFailed = "accept_failed";
    /// Certificates taken into use, the first among them.
    IdentitiesTaken = "identities_taken";
    /// Sets of cookie keys taken into use, the first among them.
    CookieKeysTaken = "cookie_keys_taken";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_words_and_numbers_are_places() {
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, place);
            let name = counter.name();
            assert!(
                name.bytes().all(|o| o.is_ascii_lowercase() || o.is_ascii_digit() || o == b'_'),
                "{name}"
            );
            assert_eq!(
                Counter::ALL.iter().filter(|other| other.name() == name).count(),
                1,
                "{name}"
            );
            assert!(counter.help().ends_with('.'), "{name}");
        }
    }

    #[test]
    fn page_gets_the_numbers_in_order() {
        let counters = Counters::new();
        counters.count(Counter::Accepted);
        counters.add(Counter::CookiesIssued, 8);
        let page: Vec<AtomicU64> = (0..Counter::COUNT + 1).map(|_| AtomicU64::new(77)).collect();
        counters.publish(&page);
        let page: Vec<u64> = page.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        assert_eq!(page.split_last(), Some((&77, &counters.values()[..])));
        assert_eq!(page[Counter::CookiesIssued as usize], 8);
    }
}
