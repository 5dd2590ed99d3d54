//! The NTP server: a pure responder over batches of datagrams, and the threads and sockets around it.
//!
//! Start with [`Responder`]. It takes a [`Batch`] of up to 64 datagrams through stages (classify, open cookies, verify tags, choose
//! the transmit time, write, seal) and leaves in each slot an answer or silence. Octets, time and randomness come in; answers and
//! [`Counters`] go out. It reads no clock, does no I/O, allocates nothing, takes no lock and writes no log line. What it needs besides
//! is a [`Policy`] (who is served: [`AccessRules`]; how often: [`RateTable`]; who goes first when not everybody can be: [`Shedding`]; when
//! answers really left: [`PastAnswers`]), the [`ClockState`] to speak for, and, from the [`Load`] of its thread, how much is to be shed.
//!
//! [`frontend`] does the I/O: plain threads, one per core, each with its own sockets on the same ports, one system call to receive a
//! batch and one to send each eight answers, and one more to learn when they left if a client in interleaved mode was among those asking.
//!
//! [`fast_path`] has a part of that answered by the kernel, where the operator wants it.
//!
//! | question | answer |
//! |---|---|
//! | what does this server say to ...? | `docs/odd-requests.md`, made by `tests/odd_requests.rs` |
//! | can an answer be longer than its request? | no: it is written over it, into its octets |
//! | what is counted, under what name? | [`Counter`] |
//! | where do modes 1, 2 and 6 go? | [`Handover`]: counted by kind; nobody owns them yet |
//!
//! Deliberately absent: MAC keys (a request with a MAC gets silence), answers to modes other than 3, any state per client but the rate
//! table, the table of shares and that of past answers, any opinion about the clock itself.
//!
//! Covered: RFC 5905 §7.3 to §7.5 and §9.2 for a server, RFC 7822 §3, RFC 8915 §5.3 to §5.7 and §8.4 for a server, RFC 8633 §3.4 and
//! §5.4, RFC 9769 §2 for a server.
#![forbid(unsafe_code)]

mod access;
mod batch;
mod counters;
mod face;
pub mod fast_path;
pub mod frontend;
mod handover;
mod interleaved;
mod lead;
mod load;
mod past;
mod policy;
mod prefixes;
mod rate;
mod request;
mod responder;
mod shedding;
mod siphash;
mod smear;
mod state;
mod table;

pub use access::{AccessRules, Action};
pub use batch::{BATCH, Batch, Envelope, ROOM, Slot};
pub use counters::{Counter, Counters};
pub use handover::Handover;
pub use interleaved::{Awaited, MARK_LEN};
pub use load::{Load, ONSET, Pressure, STEP, Share};
pub use past::PastAnswers;
pub use policy::{Policy, Versions};
pub use rate::{Purse, RateLimit, RateTable};
pub use responder::{Clock, Probe, Responder};
pub use shedding::Shedding;
pub use smear::{SMEARED, ServedSmear};
pub use state::{CLOCK_WORDS, ClockState, PHI_PPB};
