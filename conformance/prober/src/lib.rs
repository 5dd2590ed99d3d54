//! Judges NTP and NTS implementations from outside: which clauses of which RFC they keep, and the octets that show it.
//!
//! [`clause`] is the table of what is judged, for servers and clients alike. [`server`] asks a server and judges its answers; [`client`] plays
//! servers to a client and judges its questions; [`decode`] judges packets alone;
//! a run ends in a [`Report`] of one [`Verdict`] for each clause with its [`Evidence`], and [`output`] shows that to people and programs.
//!
//! The judge is independent of what it judges. It uses no other crate of this workspace: [`octets`] builds and reads packets and
//! records by hand, ciphers come from the crates `aes-siv` and `aes-gcm-siv`, TLS from `rustls`. What it reads from a peer may be anything.
//!
//! Silence is never proof: a request that should go unanswered stands between two control requests that are answered,
//! and where a control fails the verdict is inconclusive.
//!
//! It covers RFC 8915, RFC 5905, RFC 7822, RFC 8573, RFC 8633, RFC 9109 and RFC 9769. What it does not do: measure speed, flood, set a clock,
//! or look inside a program.

pub mod clause;
pub mod client;
pub mod decode;
pub mod evidence;
pub mod octets;
pub mod output;
pub mod pcap;
pub mod report;
pub mod server;
pub mod table;
pub mod verdict;

pub use clause::{Clause, Level, Look, Side, Target, Way};
pub use evidence::{Carrier, Direction, Evidence, Passage};
pub use report::{Finding, Report};
pub use verdict::Verdict;
