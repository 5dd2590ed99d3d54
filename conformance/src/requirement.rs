//! The requirements Noonmark answers for as a server and as a client, each with its source.

/// How binding a requirement is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// MUST or SHALL of an RFC, or the negative of one.
    Must,
    /// SHOULD of an RFC.
    Should,
    /// MAY of an RFC.
    May,
    /// Our own rule where the RFC is silent or its text is unsafe.
    Hardening,
    /// Follows from a MUST by construction.
    Derived,
}

impl Level {
    /// The word used in the generated table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Hardening => "hardening",
            Self::Derived => "derived",
        }
    }
}

/// What Noonmark says of a requirement today.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Claim {
    /// Kept, and shown by at least one test of this crate.
    Kept,
    /// Kept in another way than the text says, knowingly; the reason is the text.
    Deviates(&'static str),
    /// Not claimed yet; the text names what it waits for.
    Later(&'static str),
}

/// One row of the table of requirements.
#[derive(Clone, Copy, Debug)]
pub struct Requirement {
    /// Two letters and a number, stable: `NS-14`.
    pub id: &'static str,
    /// How binding it is.
    pub level: Level,
    /// The clause it comes from.
    pub source: &'static str,
    /// What is required, in a few words.
    pub text: &'static str,
    /// Whether it is claimed.
    pub claim: Claim,
}

/// The row with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Requirement> {
    REQUIREMENTS.iter().find(|requirement| requirement.id == id)
}

const fn row(
    id: &'static str,
    level: Level,
    source: &'static str,
    text: &'static str,
) -> Requirement {
    Requirement { id, level, source, text, claim: Claim::Kept }
}

const fn deviates(
    id: &'static str,
    level: Level,
    source: &'static str,
    text: &'static str,
    reason: &'static str,
) -> Requirement {
    Requirement { id, level, source, text, claim: Claim::Deviates(reason) }
}

const fn later(
    id: &'static str,
    level: Level,
    source: &'static str,
    text: &'static str,
    waits_for: &'static str,
) -> Requirement {
    Requirement { id, level, source, text, claim: Claim::Later(waits_for) }
}

use Level::{Derived, Hardening, May, Must, Should};

const MAC_KEYS: &str = "symmetric keys are not configured yet";

/// Every requirement, in the order of the generated table.
#[rustfmt::skip]
pub static REQUIREMENTS: &[Requirement] = &[
    // NTS key establishment: transport and framing.
    row("KE-01", Must, "RFC 8915 §3", "no TLS version below 1.3 is ever negotiated"),
    row("KE-02", Must, "RFC 8915 §3, §4", "the ALPN protocol is exactly `ntske/1`"),
    row("KE-03", Derived, "RFC 8915 §3, §4", "without that ALPN protocol no NTS-KE message is sent"),
    row("KE-04", Must, "RFC 8915 §4", "the default port is TCP 4460"),
    row("KE-05", Must, "RFC 8915 §3, RFC 9325", "no early data, no resumption without a fresh key exchange"),
    row("KE-06", Must, "RFC 8915 §3, §8.5", "certificates are judged by path, name (not CN), purpose and time"),
    row("KE-07", Must, "RFC 8915 §4", "one request, one response on a connection"),
    row("KE-08", Must, "RFC 8915 §4", "close_notify follows the message"),
    row("KE-09", Must, "RFC 8915 §4, §4.1.1", "a message ends with one critical, empty End of Message"),
    row("KE-10", Derived, "RFC 8915 §4.1.1, §4.1.3", "End of Message with a body is a bad request"),
    row("KE-11", Derived, "RFC 8915 §4.1.1", "what follows End of Message is never processed"),
    row("KE-12", Must, "RFC 8915 §4", "record header: critical bit, 15-bit type, 16-bit length of the body"),
    row("KE-13", Must, "RFC 8915 §4", "bodies of any length, without alignment"),
    row("KE-14", Must, "RFC 8915 §4", "unknown records that are not critical are ignored"),
    row("KE-15", Must, "RFC 8915 §4, §4.1.3", "an unknown critical record is answered by Error 0"),
    row("KE-16", Must, "RFC 8915 §4", "an unknown critical record in a response is an error"),
    row("KE-17", Must, "RFC 8915 §4", "requests of at least 1024 octets are accepted"),
    row("KE-18", Should, "RFC 8915 §4", "responses of 65536 octets are accepted"),
    row("KE-19", Derived, "RFC 8915 §4", "how TLS and TCP cut the message does not matter"),
    row("KE-20", Must, "RFC 8915 §4.1.3", "a request still incomplete at the time limit is answered by Error 1"),
    row("KE-21", Hardening, "-", "sessions are bounded in time (at most 10 s) and in number per prefix"),
    // NTS key establishment: records.
    row("KE-30", Must, "RFC 8915 §4, §4.1.2", "exactly one critical Next Protocol record each way"),
    row("KE-31", Must, "RFC 8915 §4.1.2", "a request names at least one protocol"),
    row("KE-32", Derived, "RFC 8915 §4.1.2", "a Next Protocol body of odd length is a bad request"),
    row("KE-33", Must, "RFC 8915 §4.1.2", "the protocols answered are among those offered"),
    row("KE-34", Must, "RFC 8915 §4.1.2", "no shared protocol: an empty Next Protocol record and no cookies"),
    row("KE-35", Derived, "RFC 8915 §4.1.2", "unknown protocols beside NTPv4 are passed over"),
    row("KE-36", Must, "RFC 8915 §4.1.3", "an Error record is critical and has 2 octets"),
    row("KE-37", Must, "RFC 8915 §4.1.3", "a client never sends Error"),
    row("KE-38", Derived, "RFC 8915 §4.1.3", "Error, Warning or New Cookie in a request is a bad request"),
    row("KE-39", Must, "RFC 8915 §4.1.3", "a client that gets Error discards all keys and cookies"),
    row("KE-40", Should, "RFC 8915 §4.1.3", "a request answered by error 0 or 1 is not repeated unchanged"),
    row("KE-41", Must, "RFC 8915 §4.1.3", "an internal failure is answered by Error 2"),
    row("KE-42", May, "RFC 8915 §4.1.3", "error 2 is tried again, with the backoff"),
    row("KE-43", Must, "RFC 8915 §4.1.4", "a Warning record is critical and has 2 octets (none is ever sent)"),
    row("KE-44", Must, "RFC 8915 §4.1.4", "a warning not recognised (none are defined) is an error"),
    row("KE-45", Must, "RFC 8915 §4.1.5", "exactly one AEAD record where NTPv4 is offered"),
    row("KE-46", Must, "RFC 8915 §4.1.5", "a request names at least one AEAD, the answer at most one"),
    row("KE-47", Must, "RFC 8915 §4.1.5", "no shared AEAD: an empty AEAD record and no cookies"),
    row("KE-48", Must, "RFC 8915 §4.1.5", "AEAD 15 is supported"),
    row("KE-49", Derived, "RFC 8915 §4.1.5", "the AEAD answered is among those offered"),
    row("KE-50", May, "RFC 8915 §4.1.5", "the critical bit of the AEAD record may be either"),
    row("KE-51", May, "RFC 8915 §4.1.5", "the client's order of AEADs need not be kept"),
    row("KE-52", Must, "RFC 8915 §4.1.6", "at least one cookie once protocol and AEAD are agreed"),
    row("KE-53", Should, "RFC 8915 §4.1.6", "exactly eight cookies"),
    row("KE-54", Should, "RFC 8915 §4.1.6", "New Cookie records are not critical"),
    row("KE-55", Must, "RFC 8915 §4.1.6", "a client never sends New Cookie"),
    row("KE-56", Must, "RFC 8915 §4.1.6, §5.4", "cookies are opaque and go back octet for octet"),
    row("KE-57", Hardening, "RFC 7822", "one cookie length, a multiple of 4, at most 192 octets"),
    row("KE-58", Derived, "RFC 8915 §4.1.6", "no cookie is issued twice"),
    row("KE-59", Must, "RFC 8915 §4.1.7", "Server Negotiation holds an address or an ASCII name"),
    row("KE-60", Must, "RFC 8915 §4.1.7", "a server name is fully qualified, never completed"),
    row("KE-61", Must, "RFC 8915 §4.1.7", "no Server Negotiation: NTP goes to the address of the key exchange"),
    row("KE-62", Must, "RFC 8915 §4.1.7", "at most one Server Negotiation record each way"),
    row("KE-63", Should, "RFC 8915 §4.1.7", "a server the client asks for is granted where we can give it"),
    row("KE-64", Should, "RFC 8915 §4.1.7", "the NTP server answered has the session's address family or a name"),
    row("KE-65", Should, "RFC 8915 §4.1.7, §4.1.8", "critical Server and Port records in a request are no error"),
    row("KE-66", Must, "RFC 8915 §4.1.8", "Port Negotiation has 2 octets; without it the port is 123"),
    row("KE-67", Must, "RFC 8915 §1.3, §4", "nothing of a session is kept after it"),
    row("KE-68", Hardening, "-", "key establishment sends a client no nearer than it is itself, nor to foreign ports"),
    row("KE-70", Must, "RFC 8915 §4.2", "retries of key establishment are limited"),
    row("KE-71", Should, "RFC 8915 §4.2", "waits of 10 s, then half as long again each time, at most five days"),
    row("KE-72", Must, "RFC 8915 §4.2", "the waits begin anew only after a proven NTP answer"),
    row("KE-73", Derived, "IANA NTS-KE record 1024", "record 1024 is echoed exactly where AEAD 30 is chosen and it was asked for"),
    // Key export.
    row("KX-01", Must, "RFC 8915 §4.3", "the exporter label is `EXPORTER-network-time-security`"),
    row("KX-02", Must, "RFC 8915 §5.1", "the exporter context is protocol, AEAD, direction: 5 octets"),
    row("KX-03", Must, "RFC 8915 §4.3", "a context is always given"),
    row("KX-04", Derived, "RFC 5297, RFC 8452", "keys of 32, 64 and 16 octets for AEADs 15, 17 and 30"),
    deviates("KX-05", Must, "RFC 8915 §5.1", "the context names the negotiated AEAD",
        "with AEAD 30 it names 15 unless record 1024 was agreed, as chrony's clients and servers expect"),
    row("KX-06", Hardening, "IANA NTS-KE record 1024", "one response never mixes keys of two contexts"),
    row("KX-07", Must, "RFC 8915 §5.1", "no longer context is ever used under this label"),
    row("KX-08", Derived, "draft NTS-KE pool", "a connection asked to be kept alive is not: keys come from one exchange"),
    // Extension fields.
    row("EF-01", Derived, "RFC 7822 §7.5", "fields are allowed without a MAC"),
    row("EF-02", Derived, "RFC 7822 §7.5", "a field's length counts its header and is a multiple of 4"),
    row("EF-03", Derived, "RFC 7822 §7.5", "a field longer than the packet drops the packet"),
    row("EF-04", Derived, "RFC 7822 §7.5", "a field below 16 octets is never framed as one"),
    row("EF-05", Must, "RFC 7822 §7.5.1.4", "the only field of a packet without MAC has at least 28 octets"),
    row("EF-06", Must, "RFC 7822 §7.5.1.4", "the last field of a packet without MAC has at least 28 octets, others 16"),
    row("EF-07", Derived, "RFC 7822 §7.5.1.3-4", "20 or 24 octets at the end are a MAC, 28 and more a field"),
    row("EF-08", Must, "RFC 7822 §7.5.1.3", "a MAC has at most 24 octets unless agreed otherwise"),
    row("EF-09", Must, "RFC 7822 §7.5.1.2", "fields that would need two MACs are not answered"),
    row("EF-10", Should, "RFC 7822 §7.5", "unknown fields are ignored and the request is answered"),
    row("EF-11", Derived, "RFC 7822 §4", "unknown fields are not echoed"),
    row("EF-12", Hardening, "RFC 7822 §4", "many or large fields cost bounded work and are counted"),
    row("EF-13", Derived, "RFC 5905 §9.2", "up to version 3, octets after the header are a MAC, never fields"),
    row("EF-14", Derived, "RFC 9748", "0x0204 means a cookie only beside an NTS authenticator"),
    row("EF-15", Derived, "RFC 9748", "no field from the experimental range is ever sent"),
    row("EF-16", Must, "RFC 8915 §5.6", "encrypted fields may be shorter than 16 octets"),
    row("EF-17", Hardening, "-", "a field that may stand once and stands twice drops the packet"),
    row("EF-18", Derived, "RFC 7821", "the checksum complement is ignored"),
    // NTS: the client.
    row("NC-01", Must, "RFC 8915 §5.7", "one Unique Identifier, authenticated, in clear"),
    row("NC-02", Must, "RFC 8915 §5.3", "identifiers are at least 32 octets that cannot be predicted"),
    row("NC-03", Derived, "RFC 8915 §5.3", "each request has an identifier of its own"),
    row("NC-04", Must, "RFC 8915 §5.7", "one cookie, authenticated, in clear, that the server gave"),
    row("NC-05", Must, "RFC 8915 §5.7", "one authenticator, made with the C2S key"),
    row("NC-06", Must, "RFC 8915 §5.6", "the tag covers header and all fields before the authenticator"),
    row("NC-07", Must, "RFC 8915 §5.6", "nonce and ciphertext are padded to 4, their lengths are not"),
    row("NC-08", Must, "RFC 8915 §5.6", "nonce and padding have the room the algorithm demands"),
    row("NC-09", Should, "RFC 8915 §5.7", "no cookie is sent twice; without one, keys are established anew"),
    deviates("NC-10", Should, "RFC 8915 §5.7", "placeholders bring the stock back to eight, at most seven",
        "after four losses in a row fewer are tried: something on the way may drop long questions"),
    row("NC-11", Must, "RFC 8915 §5.5", "a placeholder is as long as the cookie it goes with"),
    row("NC-12", Should, "RFC 8915 §5.5", "a placeholder is all zero"),
    row("NC-13", Should, "RFC 8915 §5.7", "fewer placeholders rather than a fragment"),
    row("NC-14", Must, "RFC 8915 §5.7", "an answer needs the identifier of an open request and a valid tag"),
    row("NC-15", Must, "RFC 8915 §5.7", "an unprotected answer to a protected request is dropped"),
    row("NC-16", Must, "RFC 8915 §5.4, §5.7", "cookies outside the ciphertext are ignored"),
    row("NC-17", Must, "RFC 8915 §5.7", "fields after the authenticator are discarded, the answer is not"),
    row("NC-18", Hardening, "RFC 8915 §5.7", "more cookies than asked for: eight are kept"),
    row("NC-19", Derived, "RFC 8915 §5.7", "a request takes one answer"),
    row("NC-20", Must, "RFC 8915 §5.7", "a kiss needs the identifier"),
    row("NC-21", Should, "RFC 8915 §5.7", "NTSN leads to key establishment only if no valid answer comes before the next poll"),
    row("NC-22", Should, "RFC 8915 §5.7", "old cookies go on being used until key establishment succeeds"),
    row("NC-23", Must, "RFC 8915 §5.7", "after key establishment nothing of before is used"),
    row("NC-24", Must, "RFC 8915 §5.7", "key establishment after NTSN is rate limited"),
    row("NC-25", Should, "RFC 8915 §5.7", "keys and unused cookies outlive a restart"),
    row("NC-26", Hardening, "-", "kept keys are private to the daemon and consumed when loaded"),
    row("NC-27", Should, "RFC 8915 §8.7", "no fallback to plain NTP"),
    row("NC-28", Should, "RFC 8915 §8.5", "the first time after key establishment lies within the certificates' validity"),
    row("NC-29", Should, "RFC 8915 §8.5", "certificates that ended before the last good time are refused"),
    row("NC-30", Should, "RFC 8915 §8.5", "certificate times are judged strictly where the clock is right, or always"),
    row("NC-31", Should, "RFC 8915 §9.1, §9.2", "a request tells nothing of the client's clock and state"),
    row("NC-32", Must, "RFC 8915 §5.4", "cookies go to their own server only"),
    deviates("NC-33", Derived, "RFC 8915 §5.3", "identifiers without NTS",
        "optional, and left out: a plain question is the header alone, since networks drop longer ones; our server returns others' identifiers"),
    // NTS: the server.
    row("NS-01", Must, "RFC 8915 §5.7", "the Unique Identifier comes back once, authenticated, in clear, unchanged"),
    row("NS-02", Must, "RFC 8915 §5.3", "every answer to a request with a Unique Identifier has it"),
    row("NS-03", Must, "RFC 8915 §5.7", "one authenticator, made with the cookie's AEAD and S2C key"),
    row("NS-04", Must, "RFC 8915 §5.7", "1 to 1 + placeholders cookies, all of them encrypted"),
    deviates("NS-05", Should, "RFC 8915 §5.7", "1 + placeholders cookies",
        "an answer that would exceed 1232 octets or eight cookies carries as many as fit"),
    row("NS-06", Must, "RFC 8915 §5.7", "each cookie returned works"),
    row("NS-07", Must, "RFC 8915 §5.5", "a placeholder of another length than the cookie is not honoured"),
    row("NS-08", Must, "RFC 8915 §5.5", "what a placeholder holds is ignored"),
    row("NS-09", Must, "RFC 8915 §5.7", "encrypted placeholders are honoured"),
    row("NS-10", Must, "RFC 8915 §5.6", "a request that breaks the padding rule is dropped"),
    row("NS-11", Derived, "RFC 8915 §5.6", "nonces of any legal length are accepted"),
    row("NS-12", Must, "RFC 8915 §5.6", "one changed bit anywhere before the authenticator and no time is given"),
    row("NS-13", Must, "RFC 8915 §5.7", "fields after the authenticator are discarded"),
    row("NS-14", Should, "RFC 8915 §5.7", "a cookie or tag that fails is answered by NTSN"),
    row("NS-15", Must, "RFC 8915 §5.7", "an NTSN has neither cookie nor authenticator"),
    row("NS-16", Derived, "RFC 8915 §5.3, §5.7", "an NTSN echoes identifier and origin, leap unsynchronised"),
    row("NS-17", Derived, "RFC 8915 §8.4", "no answer to an NTS request is longer than it"),
    row("NS-18", Hardening, "RFC 8915 §8.4", "a full answer has its request's length without padding inside the authenticator"),
    row("NS-19", Must, "RFC 8915 §5.4-5.6", "NTS fields mean something in modes 3 and 4 only"),
    row("NS-20", Derived, "RFC 8915 §5.7", "a request with a part of the NTS fields gets no NTS answer"),
    row("NS-21", Derived, "RFC 8915 §5.7", "two cookies or two authenticators: no answer"),
    row("NS-22", Derived, "RFC 8915 §5.3", "a Unique Identifier below 32 octets in an NTS request: no time"),
    row("NS-23", Derived, "RFC 8915 §1.1", "a replay grows no state"),
    row("NS-24", Hardening, "RFC 8915 §6", "every answer has a nonce of its own"),
    row("NS-25", Derived, "RFC 8915 §6, §9.1", "cookies share no octets but the key id"),
    row("NS-26", Hardening, "RFC 8915 §6", "cookies live as long as their epoch is retained, then NTSN"),
    later("NS-27", Should, "RFC 8915 §8.2", "an operator can revoke all cookie keys at once",
        "the command comes with the control socket"),
    row("NS-28", Derived, "RFC 8915 §5.7", "cookies issued before a restart work after it"),
    row("NS-29", Hardening, "-", "an authentic request that is denied or limited gets an authentic kiss"),
    row("NS-30", Hardening, "RFC 8915 §6", "work per request is bounded: at most eight cookies are made"),
    // NTP on the wire.
    row("WS-01", Must, "RFC 5905 §7.3", "below 48 octets or not a multiple of 4: no answer"),
    row("WS-02", Derived, "RFC 5905 §A.5.3", "the answer has the request's version"),
    row("WS-03", Derived, "RFC 5905 §9.2, §A.5.1", "versions 0 and above 4 are dropped"),
    row("WS-04", Derived, "RFC 5905 §8, fig. 31", "origin is the request's transmit time, all 64 bits"),
    row("WS-05", Derived, "RFC 5905 §8", "receive is not after transmit, both within the request's flight"),
    row("WS-06", Derived, "RFC 5905 fig. 31", "the answer's mode is 4"),
    row("WS-07", Derived, "RFC 5905 fig. 31", "poll is copied from the request"),
    row("WS-08", Derived, "RFC 5905 §7.3", "unsynchronised is leap 3, stratum 16 is sent as 0"),
    row("WS-09", Derived, "RFC 5905 §7.3", "precision is the clock's, as a negative power of two"),
    row("WS-10", Derived, "RFC 5905 §7.3, §11.2", "dispersion grows between updates"),
    row("WS-11", Derived, "RFC 5905 §7.3", "reference id: ASCII at stratum 1, else an address"),
    row("WS-12", Derived, "RFC 5905 §A.5.1.1", "reference time is not after transmit"),
    row("WS-13", Derived, "RFC 5905 §9.2 fig. 20", "modes 0, 2 and 4 are not answered"),
    row("WS-14", Derived, "RFC 5905 §9.2", "mode 1 is not answered without a configured peer"),
    row("WS-15", Derived, "RFC 5905 §9.2", "mode 5 is never answered"),
    row("WS-16", Should, "RFC 8633 §3.4", "modes 6 and 7 are not answered"),
    row("WS-17", Derived, "RFC 5905 §9.2", "requests to a multicast or broadcast address are not answered"),
    row("WS-18", Derived, "RFC 5905 §A.5.3", "no MAC asked, no MAC answered"),
    row("WS-19", May, "RFC 5905 §9.2", "a MAC that cannot be checked gets no usable time"),
    row("WS-20", Derived, "RFC 5905 §6", "bits below the precision are random"),
    row("WS-21", Hardening, "-", "a timestamp of all zeros is never sent as a time"),
    row("WS-22", Hardening, "RFC 8915 §8.4", "no answer is longer than its request, in any version or mode"),
    row("WS-23", Derived, "RFC 5905 §7.3", "a leap second is announced on the last day of the right month only"),
    row("WS-24", Hardening, "-", "the answer comes from the address that was asked"),
    row("WS-25", Hardening, "-", "the answer comes from the port that was asked"),
    row("WS-26", Derived, "RFC 5905 §3", "clients leave no state but bounded caches"),
    // NTP: the client.
    row("WC-01", Derived, "RFC 5905 §8", "a duplicate answer is dropped"),
    row("WC-02", Derived, "RFC 5905 §8", "an answer with another origin is dropped"),
    row("WC-03", Derived, "RFC 5905 §8, CVE-2015-8138", "an answer with origin zero is dropped"),
    row("WC-04", Derived, "RFC 5905 §A.5.1", "an answer with a receive or transmit stamp of zero is dropped"),
    row("WC-05", Derived, "RFC 5905 §8", "a request takes one answer"),
    row("WC-06", Hardening, "RFC 9769 §2", "a packet that fails a check changes nothing"),
    row("WC-07", Derived, "RFC 5905 §A.5.1.1", "leap 3 and strata outside 1..=15 are unusable"),
    row("WC-08", Derived, "RFC 5905 §A.5.1.1", "a root distance of 16 s or more is dropped"),
    row("WC-09", Derived, "RFC 5905 §A.5.1.1", "a reference time after transmit is dropped"),
    row("WC-10", Derived, "RFC 5905 §9.2", "another mode or version is dropped"),
    row("WC-11", Derived, "RFC 5905 §8", "offset and delay by differences modulo 2^64"),
    row("WC-12", Should, "RFC 5905 §8", "a delay is never below the precision"),
    row("WC-13", Hardening, "-", "an answer held for less than no time or more than 4 s is dropped"),
    row("WC-14", Derived, "RFC 5905 §9.2", "dispersion is both precisions and 15 ppm of the round trip"),
    row("WC-15", Derived, "RFC 5905 §A.5.5.3", "a server that follows us is not followed"),
    deviates("WC-16", Derived, "RFC 5905 §7.2, §A.1.1", "intervals of 2^4 to 2^17 s, 2^6 to 2^10 by default",
        "an operator may go down to 2^-4 s, below 1 s only for servers less than 10 ms away"),
    row("WC-17", Derived, "RFC 5905 §A.5.7.2", "intervals are randomised a little"),
    deviates("WC-18", Derived, "RFC 5905 §13.2", "bursts of at most 8 questions 2 s apart, at the start only while unreachable",
        "a burst also follows what makes the past worthless: sleep, a foreign step, another route"),
    deviates("WC-19", Derived, "RFC 5905 §13.2", "after 24 unanswered questions the interval doubles, up to the longest",
        "it doubles as soon as the reach register is empty, after eight"),
    row("WC-20", Derived, "RFC 5905 §11.2.1", "the majority of servers is found by intersection"),
    deviates("WC-21", Derived, "RFC 5905 §11.2", "too few servers that agree move nothing",
        "how many are wanted is the operator's choice, one by default"),
    deviates("WC-22", Derived, "RFC 5905 §A.5.5.3", "a server too far from its source is not followed",
        "the limit is the operator's, 3 s by default"),
    deviates("WC-23", Derived, "RFC 5905 §11.3", "after the first update, a step only for what lasts 900 s",
        "steps follow the operator's rule, by default in the first three updates only; later everything is slewed"),
    deviates("WC-24", Derived, "RFC 5905 §11.3, RFC 8633 §5.2", "an error above the panic threshold is not applied",
        "the threshold is the operator's largest-step, none by default; the daemon goes on, refuses, and says why"),
    row("WC-25", Derived, "RFC 5905 §11.2, §12", "corrections of frequency and offset are bounded"),
    row("WC-26", Derived, "RFC 5905 §A.5.1", "an authenticated association takes no unauthenticated answer"),
    row("WC-27", Hardening, "RFC 5905 §9.2, CVE-2015-7871", "a crypto-NAK is counted and nothing else"),
    row("WC-28", Derived, "RFC 5905 §8", "a start within 68 years works, any other is refused"),
    row("WC-29", Hardening, "-", "a leap second is believed from a list, or else from a majority only"),
    row("WC-30", Derived, "RFC 5905 §7.3", "a leap second is applied once, at the end of the month"),
    row("WC-31", Hardening, "-", "answers are taken for a few seconds, not until the next poll"),
    row("WC-32", Derived, "RFC 5905 §9.2", "an answer nobody asked for is dropped and counted"),
    // Kiss-o'-Death.
    row("KD-01", Must, "RFC 5905 §7.4", "at stratum 0 the kiss code is looked at"),
    deviates("KD-02", Must, "RFC 5905 §7.4", "DENY and RSTR: stop asking",
        "at once when proven; unproven they lead to the longest interval, and end a source that answers nothing else"),
    row("KD-03", Must, "RFC 5905 §7.4", "RATE lengthens the interval at once, again each time"),
    row("KD-04", Must, "RFC 5905 §7.4", "unknown X codes are ignored"),
    row("KD-05", Derived, "RFC 5905 §7.4", "all other codes have no effect"),
    row("KD-06", Must, "RFC 5905 §7.4", "the time in a kiss is never used"),
    row("KD-07", Must, "RFC 8633 §5.4", "a kiss needs the origin"),
    row("KD-08", Must, "RFC 8633 §5.4", "the poll exponent of a RATE is not taken; at most 13"),
    row("KD-09", Must, "RFC 8915 §5.7", "a kiss to NTS needs the identifier"),
    row("KD-10", Hardening, "RFC 8915 §8.3", "one unproven kiss never disables a source with NTS"),
    row("KD-11", Derived, "RFC 5905 §7.4", "a kiss has stratum 0, leap 3 and four ASCII octets"),
    row("KD-12", Hardening, "RFC 8633 §5.4", "kisses are rate limited and never longer than the request"),
    row("KD-13", Hardening, "CVE-2015-7705", "a flood in a client's name does not starve its authentic requests"),
    // Eras and integer limits.
    row("ER-01", Derived, "RFC 5905 §6", "time is served across the end of era 0, with NTS"),
    row("ER-02", Derived, "RFC 5905 §6, §8", "differences of timestamps are taken modulo 2^64"),
    row("ER-03", Derived, "RFC 5905 §6", "zero means unknown in any era"),
    row("ER-04", Hardening, "-", "the era comes from build date and last saved time"),
    row("ER-05", Hardening, "-", "no 32-bit count of seconds anywhere: 2038 passes unnoticed"),
    row("ER-06", Hardening, "-", "key epochs survive 2036, 2038 and 2100"),
    later("ER-07", Hardening, "-", "a rollover of GPS weeks is noticed", "there are no reference clocks"),
    row("ER-08", Hardening, "-", "exponents and short-format values clamp for all 256 octets"),
    // MACs, ports, interleaved mode.
    later("MA-01", Must, "RFC 8573 §2", "MD5 keys are off unless asked for", MAC_KEYS),
    later("MA-02", Must, "RFC 8573 §3", "AES-CMAC is available wherever MACs are", MAC_KEYS),
    later("MA-03", Must, "RFC 8573 §3", "a MAC covers header and fields", MAC_KEYS),
    later("MA-04", Must, "RFC 8573 §3", "AES-CMAC keys and tags have 128 bits", MAC_KEYS),
    later("MA-05", Must, "RFC 8573 §3", "key id, type and key must all match", MAC_KEYS),
    later("MA-06", Must, "RFC 4493 §4", "AES-CMAC gives the published values", MAC_KEYS),
    later("MA-07", Should, "RFC 8633 §4.1", "one key for each association", MAC_KEYS),
    later("MA-08", Must, "RFC 8633 §4.1", "the key file is readable by the daemon only", MAC_KEYS),
    later("MA-09", Hardening, "CVE-2015-7974", "a key speaks for the addresses it is bound to", MAC_KEYS),
    row("PR-01", Should, "RFC 9109 §4", "questions come from random ports"),
    row("PR-02", Should, "RFC 9109 §4", "no port is shared between associations"),
    row("PR-03", Should, "RFC 9109 §4", "the port of a question is closed after it"),
    row("PR-04", Should, "RFC 9109 §4", "modes other than 3 use the server's own port"),
    row("PR-05", Hardening, "RFC 9109 §3.2", "each question has a port of its own, always"),
    row("IL-01", Must, "RFC 9769 §2", "transmit is never equal to receive"),
    row("IL-02", Must, "RFC 9769 §2", "interleaved answers only to a known receive timestamp"),
    row("IL-03", Must, "RFC 9769 §2", "an interleaved answer holds the earlier answer's true transmit time"),
    row("IL-04", Must, "RFC 9769 §2", "a receive timestamp serves one interleaved answer"),
    row("IL-05", Must, "RFC 9769 §2", "otherwise the answer is basic"),
    row("IL-06", Should, "RFC 9769 §2", "stored pairs are bounded"),
    row("IL-07", Should, "RFC 9769 §2", "stored pairs are not keyed by port"),
    row("IL-08", Should, "RFC 9769 §2", "timestamps are unique where the clock can repeat"),
    row("IL-09", Derived, "RFC 9769 §2", "the origin says whether an answer is basic or interleaved"),
    row("IL-10", Should, "RFC 9769 §2", "invalid packets do not touch what a client remembers"),
    row("IL-11", Should, "RFC 9769 §2", "after some lost answers questions are basic again"),
    row("IL-12", Must, "RFC 9769 §6", "basic answers keep a client working"),
    row("IL-13", Should, "RFC 9769 §6", "all bits of receive and transmit in questions are random"),
    row("IL-14", Should, "RFC 9769 §6", "our receive timestamps appear nowhere else"),
    row("IL-15", Derived, "CVE-2016-1548", "no packet forces a basic association into interleaved mode"),
    row("IL-16", Derived, "RFC 9769, RFC 8915", "interleaved mode and NTS work together"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_stands_once() {
        for (place, requirement) in REQUIREMENTS.iter().enumerate() {
            let first = REQUIREMENTS.iter().position(|other| other.id == requirement.id);
            assert_eq!(first, Some(place), "{} stands twice", requirement.id);
        }
    }
}
