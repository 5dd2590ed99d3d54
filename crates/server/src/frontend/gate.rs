//! What the kernel drops for a thread before it is received, and how much that was.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use ipnet::IpNet;
use noonmark_nts::SHORTEST_REQUEST_LEN;
use noonmark_os::udp::{self, Sieve};
use noonmark_units::Mono;

use crate::load::Share;

/// The sieve on the sockets of one thread. Where the kernel has none for us, nothing is lost but time: the thread sheds the same itself.
pub(super) struct Gate {
    /// `None` where it cannot be had.
    sieve: Option<Sieve>,
    /// The share of short datagrams it lets through now.
    share: Share,
    /// For each socket, what the kernel had dropped when it was last asked; `None` if it does not say.
    dropped: Vec<Option<u32>>,
    asked: Mono,
}

impl Gate {
    /// A gate that is open, whatever was left on the sockets by who had them before.
    pub(super) fn open(sockets: &[OwnedFd]) -> Self {
        take_off(sockets);
        let dropped = sockets.iter().map(|socket| udp::dropped(socket.as_fd()).ok()).collect();
        Self { sieve: None, share: Share::ALL, dropped, asked: Mono(0) }
    }

    /// Spares these prefixes from now on; until the next [`Gate::set`] nothing is sifted.
    pub(super) fn spare(&mut self, prefixes: &[IpNet], sockets: &[OwnedFd]) {
        let prefixes = prefixes.iter().map(|prefix| (prefix.network(), prefix.prefix_len()));
        // An IPv4 prefix written inside IPv6: no socket of ours takes such addresses.
        let prefixes = prefixes.filter(|(address, _)| address.to_canonical() == *address);
        self.sieve = Sieve::new(SHORTEST, prefixes).ok();
        self.share = Share::ALL;
        take_off(sockets);
    }

    /// Lets such a share of what is too short to prove anything through.
    pub(super) fn set(&mut self, share: Share, sockets: &[OwnedFd]) {
        let Some(sieve) = &mut self.sieve else { return };
        if share == self.share {
            return;
        }
        self.share = share;
        let Some(part) = share.as_u16() else { return take_off(sockets) };
        if sockets.iter().any(|socket| sieve.put_on(socket.as_fd(), part).is_err()) {
            (self.sieve, self.share) = (None, Share::ALL);
            take_off(sockets);
        }
    }

    /// The share that is let through now.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// How many datagrams the kernel has dropped since this was last asked, which it is now and then.
    pub(super) fn dropped(&mut self, sockets: &[OwnedFd], now: Mono) -> u64 {
        if now.since(self.asked) < ASK_EVERY {
            return 0;
        }
        self.asked = now;
        let mut count = 0;
        for (before, socket) in self.dropped.iter_mut().zip(sockets) {
            if let Some(before) = before
                && let Ok(dropped) = udp::dropped(socket.as_fd())
            {
                count += u64::from(dropped.wrapping_sub(*before));
                *before = dropped;
            }
        }
        count
    }
}

fn take_off(sockets: &[OwnedFd]) {
    for socket in sockets {
        // A kernel that does not take one off has not put one on.
        let _ = Sieve::take_off(socket.as_fd());
    }
}

/// Everything shorter proves nothing.
const SHORTEST: u16 = SHORTEST_REQUEST_LEN as u16;
/// More often than 2^32 datagrams can come, and seldom enough to cost nothing.
const ASK_EVERY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Pressure;
    use std::net::UdpSocket;

    #[test]
    fn a_gate_drops_counts_and_opens_again() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listed = UdpSocket::bind("127.3.0.1:0").unwrap();
        let sockets = [OwnedFd::from(server.try_clone().unwrap())];
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut asked = 0;
        let mut gate = Gate::open(&sockets);
        gate.spare(&["127.3.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()], &sockets);
        let mut check = |gate: &mut Gate, expected: [bool; 2]| {
            let got = [&client, &listed].map(|client| {
                client.send_to(&[7; 48], server.local_addr().unwrap()).unwrap();
                server.recv(&mut [0; 64]).is_ok()
            });
            assert_eq!(got, expected);
            asked += 1_000_000_000;
            let dropped = expected.iter().filter(|expected| !**expected).count() as u64;
            assert_eq!(gate.dropped(&sockets, Mono(asked)), dropped);
            assert_eq!(gate.dropped(&sockets, Mono(asked + 1)), 0);
        };
        check(&mut gate, [true, true]);
        gate.set(Share::NONE, &sockets);
        check(&mut gate, [false, true]);
        gate.set(Share::ALL, &sockets);
        check(&mut gate, [true, true]);
        // Another thread, or the next process, finds it shut.
        gate.set(Share::NONE, &sockets);
        let mut next = Gate::open(&sockets);
        check(&mut next, [true, true]);
        assert_eq!(next.share(), Share::ALL);
        next.set(Pressure::NONE.sieve(), &sockets);
        assert_eq!(next.share(), Share::ALL);
    }
}
