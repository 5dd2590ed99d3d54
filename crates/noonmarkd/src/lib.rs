//! The daemon `noonmarkd`: a launcher and the roles it starts. Wiring only: what is said on the network is decided in
//! `noonmark-server`, `noonmark-ke`, `noonmark-client` and `noonmark-nts`.
//!
//! Start with [`launcher`]: it is the first process, and it alone opens files and sockets, reads signals and starts the others
//! by executing this program again. The roles begin in [`station`] and do their work in `warden`, `sources`, `ntp`, `ke` and
//! `observe`. Everything they and the launcher say to each other is a [`message::Message`].
//!
//! ```text
//!              SOCK_SEQPACKET pairs, one per role, and one between warden and sources
//! launcher ──┬── warden    clock, state folder, key ring ──► cookie keys;  clock page ─┐ (memfd, read-only
//!            │     ▲ wishes, answers                                                   │  to everybody else)
//!            ├── sources   sockets of its own            ──► page of the sources ──────┤
//!            ├── ntp       UDP sockets                   ◄── cookie keys   ◄───────────┤
//!            ├── ke        TCP listeners, key            ◄── cookie keys               │
//!            └── observe   status socket                 ◄── counter pages ◄───────────┘
//! ```
//!
//! What each role gives up before it begins is in `confinement`.
//!
//! Deliberately absent: any opinion on the time (that is
//! `noonmark-clock`'s), and any state that must survive a role: whatever ends is started again and told everything anew.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod check;
mod configuration;
mod confinement;
pub mod dry_run;
pub mod exit;
mod ke;
pub mod launcher;
mod link;
mod log;
mod memory;
pub mod message;
mod ntp;
mod observe;
pub mod once;
pub mod output;
#[cfg(debug_assertions)]
pub mod probe;
pub mod role;
mod sources;
pub mod station;
pub mod status;
mod warden;

/// Pages in which one role shows its state to another, as far as they hold more than numbers in a row.
pub mod pages {
    pub use crate::sources::report::{REPORT_WORDS, Report};
    pub use crate::warden::bequest::{BEQUEST_WORDS, Bequest};
}
