//! What a socket's queue is spared: datagrams that the kernel drops before they take a place in it.
//!
//! In a flood it costs a server more to receive datagrams only to drop them than it has. A [`Sieve`] is a filter of the kernel (classic BPF,
//! which takes no right) that drops most short ones where they arrive, on nobody's time but the interrupt's, and lets pass what is long enough to
//! prove something or comes from a prefix on a list.
#![allow(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_ushort, sock_filter, sock_fprog, socklen_t};

/// A filter that can be put on any UDP socket, IPv4 or IPv6. Made once, so that putting it on takes no memory here.
#[derive(Clone)]
pub struct Sieve {
    program: Vec<sock_filter>,
}

impl Sieve {
    /// Drops UDP payloads of fewer than `shortest` octets, but for those from one of `spared`, each an address and the length of its prefix.
    ///
    /// # Errors
    /// `InvalidInput` for more prefixes than a filter can hold: 300 always fit.
    pub fn new(shortest: u16, spared: impl IntoIterator<Item = (IpAddr, u8)>) -> io::Result<Self> {
        let (v4, v6): (Vec<_>, Vec<_>) =
            spared.into_iter().partition(|(address, _)| address.is_ipv4());
        let list = |prefixes: Vec<(IpAddr, u8)>| {
            let mut list: Vec<_> = prefixes.into_iter().flat_map(pass_prefix).collect();
            list.push(step(RETURN, NOTHING));
            list
        };
        let (v4, v6) = (list(v4), list(v6));
        let mut program = vec![
            step(LOAD_LENGTH, 0),
            branch(JUMP_IF_AT_LEAST, UDP_HEADER_LEN + u32::from(shortest), 0, 1),
            step(RETURN, ALL),
            step(LOAD_WORD, place(libc::SKF_AD_OFF, libc::SKF_AD_RANDOM.cast_unsigned())),
            // The number is put in when the filter is put on.
            branch(JUMP_IF_AT_LEAST, 0, 1, 0),
            step(RETURN, ALL),
            // The IP header's first four bits are its version.
            step(LOAD_OCTET, place(libc::SKF_NET_OFF, 0)),
            step(AND, 0xf0),
            branch(JUMP_IF_EQUAL, 0x40, 1, 0),
            step(JUMP, v4.len() as u32),
        ];
        program.extend(v4);
        program.extend(v6);
        if program.len() > MOST_STEPS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { program })
    }

    /// Puts the filter on a socket, in place of the one that is there. Of the short ones that are not spared it lets pass `share` in 65 536,
    /// at random.
    ///
    /// # Errors
    /// What the kernel answers; it has a limit for filters (`net.core.optmem_max`).
    pub fn put_on(&mut self, socket: BorrowedFd<'_>, share: u16) -> io::Result<()> {
        if let Some(chance) = self.program.get_mut(CHANCE) {
            chance.k = u32::from(share) << 16;
        }
        let program = sock_fprog {
            // At most 4096.
            len: self.program.len() as c_ushort,
            filter: self.program.as_mut_ptr(),
        };
        let length = size_of::<sock_fprog>() as socklen_t;
        // SAFETY: `program` lives through the call and describes a live vector of as many instructions; the kernel only reads both.
        let done = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_ATTACH_FILTER,
                (&raw const program).cast(),
                length,
            )
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes a filter off a socket, whoever put it on. None there is no error.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn take_off(socket: BorrowedFd<'_>) -> io::Result<()> {
        match super::set(&socket, libc::SOL_SOCKET, SO_DETACH_FILTER, 0) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }
}

/// How many datagrams for a socket the kernel has dropped so far, be it that its queue was full or that a [`Sieve`] was on it. The count wraps.
///
/// # Errors
/// What the kernel answers; before Linux 4.12 it cannot say.
pub fn dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut facts = [0_u32; FACTS];
    let mut length = size_of_val(&facts) as socklen_t;
    // SAFETY: the kernel writes at most `length` octets to the live `facts`, and their number to `length`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            facts.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(facts[DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// Lets pass what comes from a prefix, else goes on behind itself.
fn pass_prefix((address, length): (IpAddr, u8)) -> Vec<sock_filter> {
    let (octets, source) = match address {
        IpAddr::V4(address) => (address.octets().to_vec(), IPV4_SOURCE),
        IpAddr::V6(address) => (address.octets().to_vec(), IPV6_SOURCE),
    };
    let mut left = u32::from(length).min(octets.len() as u32 * 8);
    let mut checks: Vec<[sock_filter; 3]> = Vec::new();
    for (word, at) in octets.chunks_exact(4).zip((source..).step_by(4)) {
        if left == 0 {
            break;
        }
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(left)).unwrap_or(0);
        let value = word.iter().fold(0, |value, octet| value << 8 | u32::from(*octet));
        checks.push([
            step(LOAD_WORD, place(libc::SKF_NET_OFF, at)),
            step(AND, mask),
            branch(JUMP_IF_EQUAL, value & mask, 0, 0),
        ]);
        left = left.saturating_sub(32);
    }
    let count = checks.len();
    for (number, [.., check]) in checks.iter_mut().enumerate() {
        // Over the remaining checks and the answer; four words are at most.
        check.jf = (3 * (count - 1 - number) + 1) as u8;
    }
    checks.into_iter().flatten().chain([step(RETURN, ALL)]).collect()
}

/// A place that is counted from elsewhere than the UDP header.
const fn place(from: c_int, at: u32) -> u32 {
    from.cast_unsigned().wrapping_add(at)
}

const fn step(code: u16, k: u32) -> sock_filter {
    branch(code, k, 0, 0)
}

const fn branch(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

// linux/bpf_common.h: BPF_LD | BPF_W | BPF_LEN and so on.
const LOAD_LENGTH: u16 = 0x80;
const LOAD_WORD: u16 = 0x20;
const LOAD_OCTET: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// The place of the step that is given the share.
const CHANCE: usize = 4;
/// `BPF_MAXINSNS` of linux/bpf_common.h.
const MOST_STEPS: usize = 4096;
/// What a filter answers: how many octets of the datagram to keep.
const ALL: u32 = u32::MAX;
const NOTHING: u32 = 0;

const UDP_HEADER_LEN: u32 = 8;
/// Where the source address is in the header of RFC 791 §3.1, and of RFC 8200 §3.
const IPV4_SOURCE: u32 = 12;
const IPV6_SOURCE: u32 = 8;

// asm-generic/socket.h.
/// Put a filter on a socket.
pub const SO_ATTACH_FILTER: c_int = 26;
/// Take it off.
pub const SO_DETACH_FILTER: c_int = 27;
/// What memory a socket uses, and what it has dropped.
pub const SO_MEMINFO: c_int = 55;
/// `SK_MEMINFO_VARS` and `SK_MEMINFO_DROPS` of linux/sock_diag.h.
const FACTS: usize = 9;
const DROPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    /// Lengths of what a socket gets of datagrams with these lengths, sent from `from`.
    fn sift(sieve: Option<(&mut Sieve, u16)>, from: &str, lengths: &[usize]) -> Vec<usize> {
        let client = UdpSocket::bind((from, 0)).unwrap();
        let all = if from.contains(':') { "::1" } else { "127.0.0.1" };
        let server = UdpSocket::bind((all, 0)).unwrap();
        if let Some((sieve, share)) = sieve {
            sieve.put_on(server.as_fd(), share).unwrap();
        }
        for len in lengths {
            client.send_to(&vec![7; *len], server.local_addr().unwrap()).unwrap();
        }
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut room = [0; 2048];
        let got: Vec<_> = std::iter::from_fn(|| server.recv(&mut room).ok()).collect();
        if let Ok(dropped) = dropped(server.as_fd()) {
            assert_eq!(dropped as usize, lengths.len() - got.len(), "{from} {lengths:?}");
        }
        got
    }

    fn sieve(spared: &[&str]) -> Sieve {
        let prefix = |text: &&str| {
            let (address, length) = text.split_once('/').unwrap();
            (address.parse().unwrap(), length.parse().unwrap())
        };
        Sieve::new(192, spared.iter().map(prefix)).unwrap()
    }

    #[test]
    fn short_ones_are_dropped_and_long_ones_pass() {
        let lengths = [0, 1, 48, 191, 192, 193, 1400];
        for from in ["127.0.0.1", "::1"] {
            assert_eq!(sift(None, from, &lengths), lengths);
            assert_eq!(sift(Some((&mut sieve(&[]), 0)), from, &lengths), [192, 193, 1400]);
        }
    }

    #[test]
    fn prefixes_on_the_list_are_spared() {
        let check = |spared: &[&str], from: &str, expected: bool| {
            let got = sift(Some((&mut sieve(spared), 0)), from, &[48]);
            assert_eq!(!got.is_empty(), expected, "{from} by {spared:?}");
        };
        check(&["127.0.0.0/8"], "127.5.6.7", true);
        check(&["127.5.6.7/32"], "127.5.6.7", true);
        check(&["127.5.6.7/32"], "127.5.6.6", false);
        check(&["127.5.6.0/23"], "127.5.7.255", true);
        check(&["127.5.6.0/23"], "127.5.8.0", false);
        check(&["10.0.0.0/8", "127.5.0.0/16", "::/0"], "127.5.255.1", true);
        check(&["10.0.0.0/8", "::/0"], "127.0.0.1", false);
        check(&["0.0.0.0/0"], "127.0.0.1", true);
        check(&["0.0.0.0/0"], "::1", false);
        check(&["::1/128"], "::1", true);
        check(&["::/64"], "::1", true);
        check(&["::/127", "127.0.0.0/8"], "::1", true);
        check(&["::2/127", "2001:db8::/32", "::1:0:0:0/80"], "::1", false);
    }

    #[test]
    fn a_share_passes_at_random() {
        let passed = sift(Some((&mut sieve(&[]), 1 << 15)), "127.0.0.1", &[48; 200]).len();
        // Outside of this once in 10^17 runs.
        assert!((40..160).contains(&passed), "{passed} of 200");
    }

    #[test]
    fn the_longest_list_fits_and_is_searched_to_its_end() {
        let prefixes = |six: bool| {
            (0..300_u32).map(move |n| match six {
                true => (IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16]), 128),
                false => (IpAddr::from((0x7f05_0000 + n).to_be_bytes()), 32),
            })
        };
        let mut four = Sieve::new(192, prefixes(false)).unwrap();
        assert_eq!(sift(Some((&mut four, 0)), "127.5.1.43", &[48]), [48]);
        assert_eq!(sift(Some((&mut four, 0)), "127.5.1.44", &[48]), [0; 0]);
        let six = Sieve::new(192, prefixes(true)).unwrap();
        assert!(six.program.len() <= MOST_STEPS);
        let error = Sieve::new(192, prefixes(true).chain(prefixes(true))).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_sieve_is_taken_off_again() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        Sieve::take_off(server.as_fd()).expect("none is there");
        sieve(&[]).put_on(server.as_fd(), 0).unwrap();
        client.send_to(b"lost", server.local_addr().unwrap()).unwrap();
        Sieve::take_off(server.as_fd()).unwrap();
        client.send_to(b"found", server.local_addr().unwrap()).unwrap();
        assert_eq!(server.recv(&mut [0; 8]).unwrap(), 5);
    }
}
