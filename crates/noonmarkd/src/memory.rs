//! How much memory each role may take up. The configuration fixes it: every table has its size from the start, and what comes over the
//! network is given room for so many at a time and no more.
//!
//! The bound is on private memory that can be written (`RLIMIT_DATA`): the heap, the stacks of threads, the data of the libraries. Beyond
//! it the kernel gives no more, and the role ends and is started anew. It is twice what a role was seen to need, and its tables.

use std::num::NonZeroUsize;

use noonmark_config::Settings;

use crate::role::Role;

/// Octets that `role` may have under these settings.
#[must_use]
pub fn bound(role: Role, settings: &Settings) -> u64 {
    let parts = match role {
        Role::Warden | Role::Observe => vec![thread(1)],
        Role::Ntp => {
            let threads =
                settings.server.threads.or_else(|| std::thread::available_parallelism().ok());
            let threads = threads.map_or(1, NonZeroUsize::get) as u64;
            let tables = tables(settings).map(|table| table.octets).fold(0, u64::saturating_add);
            vec![thread(threads.saturating_add(1)), tables, rules(settings)]
        }
        Role::Ke => {
            let seats = settings.nts.as_ref().map_or(0, |nts| nts.max_connections) as u64;
            vec![thread(2), seats.saturating_mul(SEAT), rules(settings)]
        }
        Role::Sources => {
            let sources = settings.sources.len() as u64;
            vec![thread(RESOLVING), sources.saturating_mul(SOURCE)]
        }
    };
    parts.into_iter().fold(BASE, u64::saturating_add)
}

/// A table that the role ntp keeps for its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Table {
    /// `overload`, `rate-limit` or `interleaved`.
    pub name: &'static str,
    /// Clients or prefixes it is for.
    pub entries: u64,
    /// Octets it takes up at most.
    pub octets: u64,
}

/// The tables there are where time is served.
pub fn tables(settings: &Settings) -> impl Iterator<Item = Table> {
    let limited = settings.rate_limit.as_ref().map_or(0, |limit| limit.table_size);
    let interleaved = settings.server.interleaved_clients;
    let all = [
        ("overload", SHARES, PREFIX),
        ("rate-limit", limited, PREFIX),
        ("interleaved", interleaved, CLIENT),
    ];
    let is_served = !settings.server.listen.is_empty();
    let tables = all.into_iter().map(|(name, entries, each)| {
        let entries = entries as u64;
        // At least a line of eight prefixes.
        let least = if each == PREFIX { 8 } else { 1 };
        let octets = entries.next_power_of_two().max(least).saturating_mul(each);
        Table { name, entries, octets }
    });
    tables.filter(move |table| is_served && table.entries > 0)
}

/// A stack of 2 MiB and a heap of its own.
fn thread(count: u64) -> u64 {
    count.saturating_mul(4 * MIB)
}

/// Rules of access, as they are looked up and while they are made.
fn rules(settings: &Settings) -> u64 {
    (settings.access.len() as u64).saturating_mul(1024)
}

const MIB: u64 = 1 << 20;
/// The program and its libraries, with room for what is the same in every role.
const BASE: u64 = 32 * MIB;
/// Prefixes whose shares are counted under overload.
const SHARES: usize = 1 << 14;
/// Octets for each prefix, and for each client in interleaved mode; both are rounded up to a power of two in number.
const PREFIX: u64 = 8;
const CLIENT: u64 = 64;
/// A connection in key establishment: TLS in both directions, its records, its task.
const SEAT: u64 = 96 << 10;
/// A source, with every server of a pool, and a key establishment with each of them.
const SOURCE: u64 = 4 * MIB;
/// Threads in which the system's resolver looks for names, at a time.
const RESOLVING: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn check(text: &str, role: Role, expected: u64) {
        let settings = noonmark_config::parse(text, Path::new("/x/noonmark.toml"))
            .unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(bound(role, &settings), expected, "{role}: {text}");
    }

    #[test]
    fn bound_follows_what_the_configuration_makes_large() {
        let nts = "[nts]\ncertificate = \"c\"\nkey = \"k\"\nmax-connections = 1000\n";
        let one = "[server]\nthreads = 1\n[rate-limit]\ninterval = \"1s\"\ntable-size = 4096\n";
        let more = "[server]\nthreads = 3\ninterleaved-clients = 1000000\n\
                    [rate-limit]\ninterval = \"1s\"\ntable-size = 1000000\n";
        let none = "[server]\nthreads = 1\ninterleaved-clients = 0\n";
        let shares = 16_384 * 8;
        check(one, Role::Ntp, 44 * MIB + 4096 * 8 + shares);
        check(more, Role::Ntp, 112 * MIB + (1 << 20) * 8 + shares);
        check(none, Role::Ntp, 40 * MIB + shares);
        check(nts, Role::Ke, 40 * MIB + 1000 * (96 << 10));
        check(nts, Role::Observe, 36 * MIB);
        check("[[source]]\nserver = \"a.example\"\n", Role::Sources, (32 + 64 + 4) * MIB);
    }
}
