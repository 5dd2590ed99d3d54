//! `ntp-wire`: the only other machine on a guest's wire, an NTP server that serves this machine's clock as it is.
//!
//! It takes and gives whole Ethernet frames over a pair of datagram sockets: answers who has 10.9.0.1 (ARP) and NTP requests to it
//! over IPv4, and nothing else. A request counts as received when the kernel had it, not when this program got its turn.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use noonmark_os::clock;
use noonmark_rig::frame::{self, HEADERS, Mac, Route};
use noonmark_rig::stamped::StampedDatagram;
use noonmark_units::{Timestamp, UnixTime};

/// Serves until ended. Prints `ready` once it can be reached.
#[derive(Parser)]
struct Arguments {
    /// Where frames from the guest arrive; made anew
    #[arg(long)]
    mine: PathBuf,
    /// Where the guest takes them
    #[arg(long)]
    theirs: PathBuf,
}

fn main() -> ExitCode {
    let Err(problem) = serve(&Arguments::parse());
    eprintln!("ntp-wire: {problem}");
    ExitCode::from(2)
}

fn serve(arguments: &Arguments) -> io::Result<std::convert::Infallible> {
    match std::fs::remove_file(&arguments.mine) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = StampedDatagram::new(UnixDatagram::bind(&arguments.mine)?)?;
    println!("ready");
    let mut room = [0; 2048];
    loop {
        let (length, received) = socket.receive(&mut room)?;
        let answer =
            room.get(..length).and_then(|frame| arp(frame).or_else(|| ntp(frame, received)));
        if let Some(answer) = answer {
            // A guest that is not there any more, or too busy, does without.
            let _ = socket.send(&answer, &arguments.theirs);
        }
    }
}

const MAC: Mac = [0x52, 0x54, 0, 0, 0, 1];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const NTP: u16 = 123;

/// The answer to a request who has our address (RFC 826), for Ethernet and IPv4.
fn arp(frame: &[u8]) -> Option<Vec<u8>> {
    let request = frame.get(12..42)?;
    let asks =
        request.starts_with(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]) && request[26..30] == ADDRESS.octets();
    let (their_mac, their_address) = (&request[10..16], &request[16..20]);
    asks.then(|| {
        let operation: &[u8] = &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        [their_mac, &MAC, operation, &MAC, &ADDRESS.octets(), their_mac, their_address].concat()
    })
}

/// The answer to an NTP request: stratum 1, and the times at which it came and goes.
fn ntp(frame: &[u8], received: UnixTime) -> Option<Vec<u8>> {
    let udp = frame.get(34..HEADERS)?;
    let ports: [u16; 2] = [0, 2].map(|at| u16::from_be_bytes([udp[at], udp[at + 1]]));
    let (from, to): ([u8; 4], [u8; 4]) =
        (frame[26..30].try_into().ok()?, frame[30..34].try_into().ok()?);
    let request: &[u8; 48] = frame::payload(frame, ports[0])?.first_chunk()?;
    if ports[1] != NTP || to != ADDRESS.octets() || request[0] & 7 != 3 {
        return None;
    }
    let route = Route {
        to_mac: frame[6..12].try_into().ok()?,
        from_mac: MAC,
        to: from.into(),
        port: ports[0],
    };
    let mut answer = [0; 48];
    answer[0] = request[0] & 0x38 | 4; // leap 0, version as it came, mode 4
    answer[1] = 1; // stratum
    answer[2] = request[2];
    answer[3] = (-25_i8).cast_unsigned();
    answer[12..16].copy_from_slice(b"HOST");
    answer[16..24].copy_from_slice(&Timestamp::from_unix(received).to_octets());
    answer[24..32].copy_from_slice(&request[40..48]);
    answer[32..40].copy_from_slice(&Timestamp::from_unix(received).to_octets());
    let headers = frame::headers(&route, ADDRESS, NTP, answer.len());
    answer[40..48].copy_from_slice(&Timestamp::from_unix(clock::realtime()).to_octets());
    Some([&headers[..], &answer].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questions_for_our_address_are_answered() {
        let ask = |operation: u8, target: [u8; 4]| {
            let asker: &[u8] = &[2, 0, 0, 0, 0, 9, 10, 9, 0, 2];
            [
                &[0xff; 6][..],
                &asker[..6],
                &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation],
                asker,
                &[0; 6],
                &target,
            ]
            .concat()
        };
        let answer = arp(&ask(1, [10, 9, 0, 1])).expect("that is us");
        assert_eq!(answer.len(), 42);
        assert_eq!(answer[..12], [2, 0, 0, 0, 0, 9, 0x52, 0x54, 0, 0, 0, 1]);
        assert_eq!(answer[22..32], [0x52, 0x54, 0, 0, 0, 1, 10, 9, 0, 1]);
        assert_eq!(answer[32..], [2, 0, 0, 0, 0, 9, 10, 9, 0, 2]);
        assert_eq!(arp(&ask(1, [10, 9, 0, 3])), None);
        assert_eq!(arp(&ask(2, [10, 9, 0, 1])), None);
        assert_eq!(arp(&[0; 41]), None);
    }

    #[test]
    fn requests_are_answered_to_whoever_sent_them() {
        let route = Route { to_mac: MAC, from_mac: [2, 0, 0, 0, 0, 9], to: ADDRESS, port: NTP };
        let mut request = [0; 48];
        request[0] = 0x23;
        request[40..].copy_from_slice(b"transmit");
        let frame = |request: &[u8]| {
            [&frame::headers(&route, Ipv4Addr::new(10, 9, 0, 2), 40_000, request.len()), request]
                .concat()
        };
        let answer = ntp(&frame(&request), clock::realtime()).expect("a request");
        let payload = frame::payload(&answer, NTP).expect("from the port of NTP");
        assert_eq!((payload[0], &payload[24..32]), (0x24, &b"transmit"[..]));
        assert_eq!((&answer[..6], &answer[30..34]), (&[2, 0, 0, 0, 0, 9][..], &[10, 9, 0, 2][..]));
        assert_eq!(answer[36..38], 40_000_u16.to_be_bytes());
        request[0] = 0x24;
        assert_eq!(ntp(&frame(&request), clock::realtime()), None, "an answer");
        assert_eq!(ntp(&frame(&request[..40]), clock::realtime()), None, "too short");
    }
}
