//! Shows, requirement by requirement, that Noonmark's server side does what the RFCs ask.
//!
//! [`requirement`] is the list: one row per clause a server answers for, with its source. A [`check::Check`] claims
//! one or more rows and asks a server under test, as a client would, for octets that prove or disprove them. The
//! judge builds and reads those octets with means of its own where the server's own code could hide a mistake: tags
//! are verified with the `aes-siv` crate, not with ours.
//!
//! A check that cannot fail proves nothing, so many rows have a [`check::Fault`]: a small adaptor around the server that
//! breaks exactly this promise. The runner lets every check run against every fault and insists that the check
//! that claims the row fails and that no other does.
//!
//! [`sim`] is another judge: a network and a clock in virtual time, in which what keeps a clock is measured against true time and
//! against other programs' figures.
//!
//! Start with [`check::run`], which runs everything and writes what was shown as JSON;
//! `docs/requirements.md` is generated from that file and from nothing else.
//!
//! What it does not do: judge clients or other implementations, or look at timing. Interoperability with real peers
//! is the business of `cargo xtask test --only interop`.

pub mod check;
pub mod requirement;
pub mod sim;
