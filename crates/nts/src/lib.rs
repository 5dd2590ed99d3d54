//! Network Time Security for NTP (RFC 8915): key establishment, cookies, the key ring, and the protection of NTP packets.
//!
//! Two halves, as in the RFC. **Key establishment** (§4): [`KeServer`] and [`KeClient`] are one TLS 1.3 session each,
//! driven without I/O: octets come in by `read_tls`, go out by `write_tls`, and `process` does the rest. Their messages are
//! [`KeRequest`] and [`KeResponse`], made of [`Record`]s; every rule a peer can break is a [`Violation`]. **NTP under
//! NTS** (§5): [`write_request`] and [`open_answer`] for a client; for a server, stages over a batch: [`classify`] (or [`classify_fields`]),
//! [`CookieKeys::open_many`], [`open_requests`], [`AnswerPlan::lay_out`], [`CookieIssuer::seal_many`], the header, and
//! [`seal_answers`] ([`open_request`] and [`write_answer`] do the same for one datagram). [`KeyRing`] makes the cookie
//! keys and belongs to whoever owns the durable store.
//!
//! What it deliberately does not do: it opens no socket and no file, reads no clock, owns no randomness ([`Random`]
//! is passed in) and keeps no state per client. It decides no policy: who may ask, how often, and which time is told
//! are the server's business; when to ask again is the client's.
//!
//! rustls appears in this crate alone, and its provider in `tls.rs` alone. Secrets have no `Debug` and are wiped when dropped.
//!
//! Covers RFC 8915 §3, §4, §5, §6 (cookies of the suggested kind) and chrony's record 1024 for AEAD_AES_128_GCM_SIV.

#![forbid(unsafe_code)]

mod aead;
mod answer;
mod authenticator;
mod certificate;
mod cookie;
mod identity;
mod ke_client;
mod ke_request;
mod ke_response;
mod ke_server;
mod key;
mod keyring;
mod lanes;
mod message;
mod ntp_server;
mod random;
mod record;
mod request;
#[cfg(test)]
mod testing;
mod tls;

pub use aead::{Aead, TAG_LEN};
pub use answer::{
    Answer, AnswerError, AnswerPlan, AnswerSealing, Verified, echo_unique, open_answer,
    seal_answers, write_answer,
};
pub use certificate::{CertificateFacts, Validity, ValidityPeriod};
pub use cookie::{
    COOKIE_KEY_LEN, CookieFault, CookieIssuer, CookieKey, CookieKeys, Opening, Sealing,
};
pub use identity::{Identity, IdentityError, IdentityFacts, KeyKind};
pub use ke_client::{Agreement, KeClient, KeError};
pub use ke_request::{KeRequest, KeRequestReader, REQUEST_LIMIT};
pub use ke_response::{Agreed, KeResponse, KeResponseReader, RESPONSE_LIMIT};
pub use ke_server::{KeServer, Outcome, ServerPolicy};
pub use key::{AeadKey, Forged, KeyLength, NonceLength, SessionKeys};
pub use keyring::{
    Advance, KeyRing, MAX_RETAINED, MAX_TURNS, Pace, PaceError, RING_LEN, Renewal, RingError,
};
pub use message::Violation;
pub use ntp_server::{NameFault, NtpServer};
pub use random::Random;
pub use record::{
    Arrival, BodyTooLong, CutShort, ErrorCode, MessageTooLong, NTPV4, RECORD_HEADER_LEN, Record,
    RecordKind, RecordReader, records,
};
pub use request::{
    MAX_COOKIE_LEN, MAX_COOKIES, MAX_PACKET_LEN, Request, RequestFault, RequestFields,
    RequestViolation, SHORTEST_REQUEST_LEN, UNIQUE_LEN, UniqueIdentifier, Verification, classify,
    classify_fields, open_request, open_requests, placeholders_that_fit, write_request,
};
pub use tls::{
    ALPN, ClientTls, EXPORTER_LABEL, ServerTls, TlsError, TrustRoots, VerificationTime,
    exporter_context,
};
