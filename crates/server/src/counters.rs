//! What happened to every datagram, counted by kind and reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// One set of counters: plain numbers of one thread, copied to a shared page once per batch.
///
/// Every datagram is counted in [`Counter::Received`] and in exactly one of the counters that say what became of it
/// (see [`Counter::is_fate`]); the others add detail.
#[derive(Clone, Debug)]
pub struct Counters {
    values: [u64; Counter::COUNT],
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        Self { values: [0; Counter::COUNT] }
    }

    /// Counts one.
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts several.
    pub fn add(&mut self, counter: Counter, number: u64) {
        // A variant's number is its place among all, so there is always a value.
        if let Some(value) = self.values.get_mut(counter as usize) {
            *value = value.wrapping_add(number);
        }
    }

    /// The number counted.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values.get(counter as usize).copied().unwrap_or(0)
    }

    /// All numbers, in the order of [`Counter::ALL`].
    pub const fn values(&self) -> &[u64; Counter::COUNT] {
        &self.values
    }

    /// Copies all numbers to `page`, which only this thread writes. Surplus words stay as they are.
    pub fn publish(&self, page: &[AtomicU64]) {
        for (word, value) in page.iter().zip(self.values) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

noonmark_os::counters! {
    /// Datagrams received.
    Received = "received";
    /// Answered with time, without NTS.
    AnsweredPlain = "answered_plain", fate;
    /// Answered with time, authenticated by NTS.
    AnsweredNts = "answered_nts", fate;
    /// Answered with time in interleaved mode: the client was told when its answer before really left.
    AnsweredInterleaved = "answered_interleaved";
    /// Answers whose true departure the kernel was asked for, since their clients may ask next.
    DeparturesAwaited = "departures_awaited";
    /// Answers whose true departure the kernel told, and which is kept until it is asked for.
    DeparturesKnown = "departures_known";
    /// Cookies given out in authenticated answers and kisses.
    CookiesIssued = "cookies_issued";
    /// Answered although over the limit, by chance, so that a forged flood cannot starve the client it names.
    AnsweredOverLimit = "answered_over_limit";
    /// Kiss RATE sent to a client that proves nothing.
    KissRate = "kiss_rate", fate;
    /// Kiss RATE sent authenticated.
    KissRateAuthentic = "kiss_rate_authentic", fate;
    /// Kiss DENY sent authenticated.
    KissDenyAuthentic = "kiss_deny_authentic", fate;
    /// Kiss NTSN sent: the cookie or the tag was not good.
    KissNtsn = "kiss_ntsn", fate;
    /// Handed on: symmetric active (mode 1).
    HandedSymmetricActive = "handed_symmetric_active", fate;
    /// Handed on: symmetric passive (mode 2).
    HandedSymmetricPassive = "handed_symmetric_passive", fate;
    /// Handed on: control (mode 6).
    HandedControl = "handed_control", fate;
    /// Silence: no octet at all.
    DroppedEmpty = "dropped_empty", fate;
    /// Silence: fewer octets than a header has.
    DroppedShort = "dropped_short", fate;
    /// Silence: longer than any request.
    DroppedLong = "dropped_long", fate;
    /// Silence: not a whole number of 32-bit words.
    DroppedLength = "dropped_length", fate;
    /// Silence: mode 0.
    DroppedModeReserved = "dropped_mode_reserved", fate;
    /// Silence: an answer, not a request (mode 4).
    DroppedModeServer = "dropped_mode_server", fate;
    /// Silence: broadcast (mode 5).
    DroppedModeBroadcast = "dropped_mode_broadcast", fate;
    /// Silence: private (mode 7).
    DroppedModePrivate = "dropped_mode_private", fate;
    /// Silence: a version that does not exist for us, or is switched off.
    DroppedVersion = "dropped_version", fate;
    /// Silence: sent to a broadcast or multicast address.
    DroppedGroup = "dropped_group", fate;
    /// Silence: sent from port 0, to which nothing can be sent back.
    DroppedPort = "dropped_port", fate;
    /// Silence: the access rules say so.
    DroppedIgnored = "dropped_ignored", fate;
    /// Silence: denied by the access rules, and nothing proved that it was a real client.
    DroppedDenied = "dropped_denied", fate;
    /// Silence: over the limit, with no kiss due.
    DroppedLimited = "dropped_limited", fate;
    /// Silence: authentic but over the limit, with no kiss due.
    DroppedLimitedAuthentic = "dropped_limited_authentic", fate;
    /// Silence: extension fields or a trailer that cannot be framed.
    DroppedFields = "dropped_fields", fate;
    /// Silence: a MAC, and no key is configured.
    DroppedMac = "dropped_mac", fate;
    /// Silence: a crypto-NAK in a request.
    DroppedCryptoNak = "dropped_crypto_nak", fate;
    /// Silence: a unique identifier of fewer than 32 octets.
    DroppedUniqueShort = "dropped_unique_short", fate;
    /// Silence: more than one unique identifier.
    DroppedUniqueTwice = "dropped_unique_twice", fate;
    /// Silence: an authenticator, but no unique identifier before it.
    DroppedUniqueMissing = "dropped_unique_missing", fate;
    /// Silence: an authenticator, but no cookie before it.
    DroppedCookieMissing = "dropped_cookie_missing", fate;
    /// Silence: more than one cookie.
    DroppedCookieTwice = "dropped_cookie_twice", fate;
    /// Silence: a cookie or a placeholder, but no authenticator.
    DroppedAuthenticatorMissing = "dropped_authenticator_missing", fate;
    /// Silence: more than one authenticator.
    DroppedAuthenticatorTwice = "dropped_authenticator_twice", fate;
    /// Silence: an authenticator whose lengths do not fit, or with a nonce its algorithm does not take.
    DroppedAuthenticatorLength = "dropped_authenticator_length", fate;
    /// Silence: an authenticator whose nonce and padding leave no room for the nonce of an answer.
    DroppedAuthenticatorPadding = "dropped_authenticator_padding", fate;
    /// Silence: authentic, but the encrypted fields cannot be framed.
    DroppedEncryptedFields = "dropped_encrypted_fields", fate;
    /// Silence: an NTS request, and there are no keys for cookies.
    DroppedNoCookieKeys = "dropped_no_cookie_keys", fate;
    /// Silence: the cookie or the tag was not good, and no NTSN is due to this client.
    DroppedNtsnLimited = "dropped_ntsn_limited", fate;
    /// Silence: the answer would have been longer than the request.
    DroppedNoRoom = "dropped_no_room", fate;
    /// Cookies of a length we never make.
    CookieLength = "cookie_length";
    /// Cookies of an epoch whose key is gone or was never here.
    CookieEpoch = "cookie_epoch";
    /// Cookies whose tag is wrong.
    CookieForged = "cookie_forged";
    /// Requests whose cookie was good and whose tag was not.
    TagForged = "tag_forged";
    /// Datagrams without the kernel's receive stamp; the clock was read instead.
    Unstamped = "unstamped";
    /// Answers the kernel did not take.
    SendFailed = "send_failed";
    /// Attempts to receive that the kernel refused.
    ReceiveFailed = "receive_failed";
    /// Requests with more extension fields than any client needs, or with a giant one; answered like others.
    UnusualFields = "unusual_fields";
    /// Silence in overload: a request that proves nothing; most are not even looked at.
    ShedPlain = "shed_plain", fate;
    /// Silence in overload: an NTS request whose cookie does not open.
    ShedForged = "shed_forged", fate;
    /// Silence in overload: the cookie opened, and the client's prefix had more than its share already.
    ShedAuthentic = "shed_authentic", fate;
    /// Times overload began, each thread by itself.
    Overloads = "overloads";
    /// Times overload ended; the difference is the number of threads that are overloaded now.
    OverloadsEnded = "overloads_ended";
    /// Datagrams the kernel dropped before they could be received: in overload, or because nobody came for them in time.
    Unread = "unread";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct_and_snake_case() {
        let names: HashSet<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::COUNT);
        for counter in Counter::ALL {
            let name = counter.name();
            assert!(
                name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'),
                "{name}"
            );
            assert!(
                counter.help().len() > 5 && !counter.help().starts_with(' '),
                "{name}: {}",
                counter.help()
            );
        }
    }

    #[test]
    fn every_counter_has_its_own_place() {
        let mut counters = Counters::new();
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            counters.add(counter, place as u64 + 1);
        }
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counters.get(counter), place as u64 + 1, "{counter:?}");
        }
        counters.count(Counter::Received);
        assert_eq!(counters.values()[0], 2);
    }

    #[test]
    fn a_page_gets_all_numbers_and_keeps_its_own_words() {
        let mut counters = Counters::new();
        counters.add(Counter::SendFailed, 7);
        let page: Vec<_> = (0..Counter::COUNT + 1).map(|_| AtomicU64::new(99)).collect();
        counters.publish(&page);
        assert_eq!(page[Counter::SendFailed as usize].load(Ordering::Relaxed), 7);
        assert_eq!(page[0].load(Ordering::Relaxed), 0);
        assert_eq!(page[Counter::COUNT].load(Ordering::Relaxed), 99);
    }
}
