//! The tool people type, `noonmark`, and the demonstration, `noonmark-demo`.
//!
//! `noonmark query` asks any NTP or NTS server and prints what it learned; `noonmark status`, `sources`, `tracking` and
//! `wait-sync` read the state of a running `noonmarkd`; `noonmark config` checks a configuration or shows the defaults, `noonmark conform`
//! judges servers and clients, `noonmark decode` reads packets, `noonmark import` makes a configuration from another server's. None of them sets anything. Every output for
//! people has a twin for programs (`--json`, schemas in `docs/json.md`), and the exit status says how it ended ([`Verdict`]).
//!
//! The demonstration builds `noonmarkd`, gives it a throw-away certificate, asks it over NTS with the same client as
//! `query`, and shows what comes back.
//!
//! Deliberately absent: a client of its own (that is `noonmark-client`), the daemon, and anything that changes a running
//! system. This library exists so that the two programs share their parts; it promises nothing to others. Start at
//! [`command::Arguments`].

pub mod command;
pub mod configuration;
pub mod conform;
pub mod decode;
pub mod demo;
pub mod import;
pub mod interrupt;
pub mod output;
pub mod paint;
pub mod quantity;
pub mod query;
pub mod sheet;
pub mod sources;
pub mod state;
pub mod status;
pub mod tracking;
pub mod trust;
pub mod verdict;
pub mod wait;

pub use verdict::Verdict;
