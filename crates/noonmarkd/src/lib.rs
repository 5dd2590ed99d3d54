//! The daemon `noonmarkd`: a launcher and the roles it starts. Wiring only: what is said on the network is decided in
//! `noonmark-server`, `noonmark-ke` and `noonmark-nts`.
//!
//! Start with [`launcher`]: it is the first process, and it alone opens files and sockets, reads signals and starts the others
//! by executing this program again. The roles begin in [`station`] and do their work in `warden`, `ntp`, `ke` and `observe`.
//! Everything they and the launcher say to each other is a [`message::Message`].
//!
//! ```text
//!              SOCK_SEQPACKET pairs, one per role
//! launcher ──┬── warden    state folder, key ring ──► cookie keys;  clock page ─┐ (memfd, read-only
//!            ├── ntp       UDP sockets            ◄── cookie keys   ◄───────────┤  to everybody else)
//!            ├── ke        TCP listeners, key     ◄── cookie keys               │
//!            └── observe   status socket          ◄── counter pages ◄───────────┘
//! ```
//!
//! Deliberately absent: confining the roles (each process is where its confinement will be), setting a clock, and any state that
//! must survive a role: whatever ends is started again and told everything anew.

#![forbid(unsafe_code)]

pub mod arguments;
mod configuration;
pub mod exit;
mod ke;
pub mod launcher;
mod link;
mod log;
pub mod message;
mod ntp;
mod observe;
pub mod role;
pub mod station;
pub mod status;
mod warden;
