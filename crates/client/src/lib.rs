//! Asking an NTP server what time it has, with proof that the answer is its own.
//!
//! Two halves. [`Association`] is pure: time, octets and randomness come in, intentions go out, so it can be simulated and
//! fuzzed whole. It decides when to ask, what to send, which answers count, and when keys have to be established anew.
//! [`Client`] is its I/O half: a UDP socket with a random port for each question, kernel receive stamps, key establishment
//! over TCP, name resolution; it tells what happened as [`Event`]s. What an answer is worth is an [`Exchange`].
//!
//! [`Sources`] is the whole of keeping time, and as pure: every association of a configuration, which servers are asked where a
//! name stands for many, and the keeper of the clock they feed. What it wants done are [`Action`]s.
//!
//! Start at [`Client`] to ask a server, at [`Sources`] to keep a clock, at [`Association`] to read how answers are judged.
//!
//! A protected association never asks or believes without NTS; a datagram that fails a check changes nothing.
//!
//! Deliberately absent: any opinion on which of several servers is right (that is `noonmark-clock`'s), and any clock that is set.
//! It serves nobody.
//!
//! Covered: RFC 5905 §8, §9.2 and §13 for clients (data minimised), §7.4 (kisses, as far as RFC 8633 §5.4 lets them be believed),
//! RFC 8915 §4.2, §5.7, §8.5 and §9 for clients, RFC 9109 (random ports), RFC 9769 for clients.
#![forbid(unsafe_code)]

mod action;
mod association;
mod backoff;
mod client;
mod establishment;
mod exchange;
mod group;
mod interleaved;
mod jar;
mod keep;
mod kept;
mod length;
mod member;
mod plan;
mod protection;
mod reference;
mod refusal;
mod resolve;
mod runner;
mod schedule;
mod socket;
mod sources;
mod spec;
mod status;
mod ways;

pub use action::{Action, Removal, SourceEvent};
pub use association::{Association, MAX_WAITING_OUTPUTS, Output};
pub use client::{Client, Event};
pub use establishment::{Established, EstablishmentError, KeServer};
pub use exchange::{Exchange, Unusable};
pub use keep::Keep;
pub use plan::{DEFAULT_WINDOW, Plan, Polling, Settings};
pub use reference::reference_id_of;
pub use refusal::{GiveUp, KeFailure, Refusal};
pub use resolve::{Family, Unresolved, resolve};
pub use runner::{Runner, RunnerSettings, Wanted};
pub use socket::{Outlet, first_reachable};
pub use sources::Sources;
pub use spec::{DEFAULT_MAX_SOURCES, Endpoint, SourceKind, SourceSpec};
pub use status::{Instead, NtsStatus, SourceStatus, Tally};
