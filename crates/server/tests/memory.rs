//! Memory under a flood of sources; alone in its process, so that nothing else moves the figure.

mod client;

use std::net::Ipv4Addr;

use client::{Client, Server, plain};
use noonmark_nts::Aead;
use noonmark_server::{Batch, Envelope, Policy, RateLimit, RateTable};

#[test]
fn a_million_sources_leave_no_trace_in_memory() {
    let rate = Some(RateTable::new(RateLimit::default(), [3, 4]));
    let mut server = Server::with(Policy { rate, ..Policy::default() });
    let requests = [plain(), Client::new(Aead::SivCmac256).request(0)];
    let mut batch = Batch::new();
    let mut flood = |sources: std::ops::Range<u32>| {
        for source in sources {
            let peer = (Ipv4Addr::from(0x0a00_0000 | source), 123).into();
            let envelope = Envelope { peer, ..server.envelope("10.0.0.1:123") };
            if !batch.push(&requests[usize::from(source % 64 == 0)], envelope) {
                server.respond(&mut batch);
                batch.clear();
            }
        }
    };
    flood(0..10_000);
    let before = resident_pages();
    flood(10_000..1_000_000);
    let grown = resident_pages().saturating_sub(before);
    assert!(grown < 64, "grew by {grown} pages of 4 KiB");
}

fn resident_pages() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}
