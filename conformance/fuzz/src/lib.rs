//! What must hold for every octet a peer can send, checked on inputs a fuzzer invents.
//!
//! One function per target takes any octets and panics if a property fails. Programs of the same name hand them to
//! libFuzzer; `cargo test` replays the kept inputs through the very same functions; `tests/faults.rs` shows, by a
//! deliberate fault each, that every property can fail.
//!
//! | target | what it reads | what must hold |
//! |---|---|---|
//! | [`packet()`] | a datagram | read or refused, never both; what is read covers every octet and writes back the same |
//! | [`fields()`] | extension fields, in the clear and encrypted | written fields read back; the walk stops where framing ends |
//! | [`cookie()`] | a cookie, a stored key ring | opens only if sealing makes the same octets; one changed bit closes it |
//! | [`records()`] | NTS-KE records and messages | cutting the stream elsewhere changes nothing; what is read writes back the same |
//! | [`responder()`] | datagrams to a whole server | no answer longer than its request; a packet that fails a check changes no state |
//! | [`messages()`] | messages between roles, shared pages, rtnetlink | what is read writes back the same; nobody may say what is another's |
//! | [`files()`] | lists of leap seconds, certificates, stored files | what is written is read as the same; damage is noticed |
//! | [`configuration()`] | a configuration file | the same text means the same; a report names the file |
//! | [`ntp_conf()`], [`chrony_conf()`], [`ntp_toml()`] | other servers' configurations, as they are imported | each line has its outcome; what comes out is a configuration, and the same each time |
//! | [`association()`] | all that can happen to a client's sources | questions are sound and never sent twice; work and deadlines are bounded |
//! | [`establishment()`] | a key establishment between client and server | it ends; both have the same keys, or no agreement |
//! | [`decode()`] | what the judge of packets is given: packets, messages, recordings, keys | every octet is shown once; fields and records are framed as elsewhere; what was sealed is opened |
//!
//! And for all of them: no panic, no overflow (it is checked), no loop without end (the engine's time limit).
//!
//! # Running
//!
//! `cargo xtask test --only fuzz` does all of this with stable Rust and no further tool; it leaves the programs in `target/fuzz`. By hand,
//! from the top folder, once it has built them:
//!
//! ```sh
//! mkdir -p target/fuzz/found/packet
//! target/fuzz/packet target/fuzz/found/packet conformance/fuzz/corpus/packet -max_total_time=60
//! ```
//!
//! New inputs go to the first folder; the second is only read. Every program of this package is a target, its name is that of its folder
//! under `corpus/`, and all of them take libFuzzer's options. To keep what a run found: `target/fuzz/packet -merge=1
//! conformance/fuzz/corpus/packet target/fuzz/found/packet`, which adds only inputs that reach something new.
//!
//! A crash is written to a file. Built without the feature `engine`, the same program replays files and folders:
//! `cargo run --package noonmark-fuzz --bin packet -- crash-…`.
#![forbid(unsafe_code)]

mod association;
mod configuration;
mod cookie;
mod corpus;
mod decode;
mod establishment;
mod fields;
mod files;
mod import;
mod input;
mod messages;
mod packet;
mod records;
mod request;
mod responder;

pub use association::{association, association_through};
pub use configuration::{configuration, configuration_through};
pub use cookie::{cookie, cookie_through};
pub use corpus::{Replayed, replay, replay_arguments};
pub use decode::{decode, decode_through};
pub use establishment::{establishment, establishment_through};
pub use fields::{fields, fields_through};
pub use files::{files, files_through};
pub use import::{
    chrony_conf, chrony_conf_through, ntp_conf, ntp_conf_through, ntp_toml, ntp_toml_through,
};
pub use input::Input;
pub use messages::{messages, messages_through};
pub use packet::{packet, packet_through};
pub use records::{records, records_through};
pub use responder::{responder, responder_through};

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its program and of its folder under `corpus/`.
    pub name: &'static str,
    /// Panics if a property does not hold for these octets.
    pub check: fn(&[u8]),
    /// The same with a deliberate fault put in.
    pub check_through: fn(&[u8], Fault<'_>),
}

/// A deliberate fault: gets the name of a place, one for each property, and the octets that pass through it, and may
/// change them as a mistake in the code would.
pub type Fault<'a> = &'a dyn Fn(&str, &mut Vec<u8>);

/// All targets.
pub const TARGETS: [Target; 14] = [
    Target { name: "packet", check: packet, check_through: packet_through },
    Target { name: "fields", check: fields, check_through: fields_through },
    Target { name: "cookie", check: cookie, check_through: cookie_through },
    Target { name: "records", check: records, check_through: records_through },
    Target { name: "responder", check: responder, check_through: responder_through },
    Target { name: "messages", check: messages, check_through: messages_through },
    Target { name: "files", check: files, check_through: files_through },
    Target { name: "configuration", check: configuration, check_through: configuration_through },
    Target { name: "ntp_conf", check: ntp_conf, check_through: ntp_conf_through },
    Target { name: "chrony_conf", check: chrony_conf, check_through: chrony_conf_through },
    Target { name: "ntp_toml", check: ntp_toml, check_through: ntp_toml_through },
    Target { name: "association", check: association, check_through: association_through },
    Target { name: "establishment", check: establishment, check_through: establishment_through },
    Target { name: "decode", check: decode, check_through: decode_through },
];

/// The whole of a target's program: the fuzzer's entry point, or without the feature `engine` a `main` that replays.
#[macro_export]
macro_rules! program {
    ($target:ident) => {
        #[cfg(feature = "engine")]
        libfuzzer_sys::fuzz_target!(|octets: &[u8]| noonmark_fuzz::$target(octets));

        #[cfg(not(feature = "engine"))]
        fn main() -> std::process::ExitCode {
            noonmark_fuzz::replay_arguments(stringify!($target), noonmark_fuzz::$target)
        }
    };
}
