//! Sockets for all threads, opened before anything is served.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use noonmark_os::passed::{Passed, Transport};
use noonmark_os::udp::{Listener, OpenError, bound_address, prefer_processor};
use noonmark_os::{queues, schedule};

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listening {
    /// Addresses. A wildcard serves all addresses of its family, also those that come later; any other may be listed before the
    /// machine has it, and is served from then on. Port 0 lets the kernel choose, the same for all threads, and the same for all
    /// addresses if it can be.
    pub addresses: Vec<SocketAddr>,
    /// Interfaces (or VRFs) to which every address is bound once each; none for no binding.
    pub interfaces: Vec<String>,
    /// Differentiated services code point of answers, 0 to 63.
    pub dscp: u8,
    /// Threads that will serve, at least 1.
    pub threads: usize,
}

/// The sockets of a server: for every address on every interface as many as there are threads, which share its port.
#[derive(Debug)]
pub struct Sockets {
    places: Vec<Place>,
}

/// One address on one interface.
#[derive(Debug)]
struct Place {
    wanted: Listener,
    bound: SocketAddr,
    sockets: Vec<OwnedFd>,
}

impl Sockets {
    /// Opens what is wanted. Sockets of `before` that are wanted again are taken over as they are, with what waits in them, and a
    /// port that the kernel chose stays; `before` itself is left whole, so nothing is lost if this fails.
    ///
    /// # Errors
    /// The first that cannot be opened; [`OpenError::is_taken`] says whether somebody else has the port, be it another `noonmarkd`.
    pub fn open(listening: &Listening, before: Option<&Self>) -> Result<Self, OpenError> {
        Self::open_among(listening, before, &[])
    }

    /// The same where somebody else has bound sockets for us: those of `passed` that are for an address wanted are used and no
    /// other is opened there. If they are fewer than the threads, threads have one in common.
    ///
    /// # Errors
    /// As [`Sockets::open`].
    pub fn open_among(
        listening: &Listening,
        before: Option<&Self>,
        passed: &[Passed],
    ) -> Result<Self, OpenError> {
        let before = before.map(|before| before.places.as_slice()).unwrap_or_default();
        let mut places: Vec<Place> = Vec::new();
        for wanted in listening.listeners() {
            let bound_for_us: Vec<_> = passed.iter().filter(|one| is_for(one, &wanted)).collect();
            if !bound_for_us.is_empty() {
                places.push(Place::adopt(wanted, &bound_for_us, listening.threads.max(1))?);
                continue;
            }
            // Somebody may want "any free port" twice: the first one has the first of the old ones, the second the second.
            let nth = places.iter().filter(|place| place.is_for(&wanted)).count();
            let old = before.iter().filter(|place| place.is_for(&wanted)).nth(nth);
            let first = places.first().filter(|first| first.wanted.address.port() == 0);
            let bound = match old {
                Some(old) => old.bound,
                // Who has it is ourselves, with a wider or narrower address or on other interfaces.
                None if before.iter().any(|place| overlap(place.bound, wanted.address)) => {
                    wanted.address
                }
                None => free_address(&wanted, first.map(|first| first.bound.port()))?,
            };
            places.push(Place::open(wanted, bound, listening.threads.max(1), old)?);
        }
        Ok(Self { places })
    }

    /// Every address bound, with its interface, in the order wanted: all interfaces of the first address, then those of the second.
    pub fn bound(&self) -> impl Iterator<Item = (SocketAddr, Option<&str>)> {
        self.places.iter().map(|place| (place.bound, place.wanted.interface.as_deref()))
    }

    /// All sockets: for the first thread one of each place, then for the second, and so on.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let threads = self.places.iter().map(|place| place.sockets.len()).min().unwrap_or(0);
        let of_thread =
            |thread| self.places.iter().filter_map(move |place| place.sockets.get(thread));
        (0..threads).flat_map(of_thread).map(AsFd::as_fd).collect()
    }

    /// Duplicates of them all, in the same order.
    ///
    /// # Errors
    /// What the kernel answers; it has a limit of descriptors.
    pub fn duplicates(&self) -> io::Result<Vec<OwnedFd>> {
        self.descriptors().into_iter().map(|socket| socket.try_clone_to_owned()).collect()
    }
}

impl Listening {
    fn listeners(&self) -> Vec<Listener> {
        let interfaces: Vec<Option<String>> = match self.interfaces.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        };
        let on_each = |&address| {
            interfaces.iter().map(move |interface| Listener {
                address,
                interface: interface.clone(),
                dscp: self.dscp,
                shared: true,
            })
        };
        self.addresses.iter().flat_map(on_each).collect()
    }
}

impl Place {
    fn is_for(&self, wanted: &Listener) -> bool {
        (self.wanted.address, &self.wanted.interface) == (wanted.address, &wanted.interface)
    }

    fn adopt(wanted: Listener, passed: &[&Passed], threads: usize) -> Result<Self, OpenError> {
        let in_turn = passed.iter().cycle().take(threads);
        let sockets = in_turn.map(|one| wanted.adopt(&one.socket)).collect::<Result<_, _>>()?;
        Ok(Self { bound: wanted.address, wanted, sockets })
    }

    fn open(
        wanted: Listener,
        bound: SocketAddr,
        threads: usize,
        old: Option<&Self>,
    ) -> Result<Self, OpenError> {
        let sockets = match old {
            Some(old) if old.wanted == wanted && old.sockets.len() == threads => {
                let copies = old.sockets.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>();
                copies.map_err(|error| wanted.failed("dup", error))?
            }
            _ => {
                let each = Listener { address: bound, ..wanted.clone() };
                let sockets = (0..threads).map(|_| each.open()).collect::<Result<Vec<_>, _>>()?;
                for (socket, processor) in sockets.iter().zip(processors(threads)) {
                    // A kernel that does not know it spreads by a hash.
                    let _ = prefer_processor(socket, processor);
                }
                sockets
            }
        };
        Ok(Self { wanted, bound, sockets })
    }
}

/// The processor of each of so many threads, where each shall have its own, so that what comes in on a processor is answered there: where there are as
/// many of both, and every network card reaches all of them. None otherwise: a card that reaches one processor would have it do all the work, so the
/// kernel spreads clients over threads and threads over processors.
fn processors(threads: usize) -> Vec<usize> {
    let reach = queues::fewest().unwrap_or(0);
    let processors = schedule::processors();
    if each_has_one(threads, processors.len(), reach) { processors } else { Vec::new() }
}

fn each_has_one(threads: usize, processors: usize, reach: usize) -> bool {
    threads > 1 && processors == threads && reach >= threads
}

/// Whether a socket that somebody else has bound is what is wanted.
fn is_for(passed: &Passed, wanted: &Listener) -> bool {
    passed.transport == Transport::Udp
        && (passed.address, &passed.interface) == (wanted.address, &wanted.interface)
}

/// Whether a socket at one address is in the way of one at the other that does not share the port.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// An address nobody has, the kernel's choice if the port is 0 and `port` is not free either.
///
/// Sockets that share a port do so with any other of the same user, so only one that does not share finds out whether a second
/// server is running.
fn free_address(wanted: &Listener, port: Option<u16>) -> Result<SocketAddr, OpenError> {
    let alone = Listener { shared: false, ..wanted.clone() };
    let preferred = port.filter(|_| wanted.address.port() == 0).and_then(|port| {
        let address = SocketAddr::new(wanted.address.ip(), port);
        Listener { address, ..alone.clone() }.open().ok()
    });
    let probe = preferred.map_or_else(|| alone.open(), Ok)?;
    bound_address(&probe).map_err(|error| wanted.failed("getsockname", error))
}

/// Deals the sockets out to the threads they were opened for.
pub(super) fn deal(mut sockets: Vec<OwnedFd>, threads: usize) -> Vec<Vec<OwnedFd>> {
    let each = sockets.len().div_ceil(threads.max(1));
    let mut hands = Vec::new();
    while !sockets.is_empty() {
        let rest = sockets.split_off(each.min(sockets.len()));
        hands.push(std::mem::replace(&mut sockets, rest));
    }
    hands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(addresses: &[&str], threads: usize) -> Listening {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Listening { addresses, interfaces: Vec::new(), dscp: 0, threads }
    }

    fn open(addresses: &[&str], threads: usize) -> Result<Sockets, OpenError> {
        Sockets::open(&listening(addresses, threads), None)
    }

    fn bound(sockets: &Sockets) -> Vec<SocketAddr> {
        sockets.bound().map(|(address, _)| address).collect()
    }

    #[test]
    fn every_thread_gets_every_address() {
        let sockets = open(&["127.0.0.1:0", "[::1]:0"], 3).unwrap();
        let addresses: Vec<_> =
            sockets.duplicates().unwrap().iter().map(|one| bound_address(one).unwrap()).collect();
        assert_eq!(addresses.len(), 6);
        assert_ne!(addresses[0].port(), 0);
        for thread in addresses.chunks(2) {
            assert_eq!(thread, bound(&sockets), "a chosen port is the same for all threads");
        }
        let hands = deal(sockets.duplicates().unwrap(), 3);
        assert_eq!(hands.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    }

    #[test]
    fn every_address_is_opened_on_every_interface() {
        let mut listening = listening(&["127.0.0.1:0", "[::1]:0"], 2);
        listening.interfaces = vec!["lo".to_owned()];
        let sockets = Sockets::open(&listening, None).unwrap();
        assert_eq!(sockets.descriptors().len(), 4);
        assert!(sockets.bound().all(|(_, interface)| interface == Some("lo")));
        listening.interfaces = vec!["lo".to_owned(), "nosuchdevice".to_owned()];
        let error = Sockets::open(&listening, None).unwrap_err();
        assert_eq!(
            (error.step, error.interface.as_deref()),
            ("SO_BINDTODEVICE", Some("nosuchdevice"))
        );
        assert!(error.to_string().contains(" on nosuchdevice: "), "{error}");
    }

    #[test]
    fn a_second_server_on_the_same_port_is_told() {
        let first = open(&["127.0.0.1:0"], 2).unwrap();
        let address = bound(&first)[0].to_string();
        let error = open(&[&address], 2).unwrap_err();
        assert!(error.is_taken(), "{error}");
        drop(first);
        assert_eq!(open(&[&address], 2).unwrap().descriptors().len(), 2);
    }

    #[test]
    fn what_is_wanted_again_keeps_its_port_and_what_waits_in_it() {
        let any = "127.0.0.1:0";
        let first = open(&[any, any], 2).unwrap();
        let addresses = bound(&first);
        assert_ne!(addresses[0], addresses[1]);
        let client = std::net::UdpSocket::bind(any).unwrap();
        client.send_to(b"waits", addresses[1]).unwrap();
        let second = Sockets::open(&listening(&[any, any, any], 2), Some(&first)).unwrap();
        drop(first);
        assert_eq!(bound(&second)[..2], addresses);
        let found = second.duplicates().unwrap().into_iter().any(|socket| {
            let socket = std::net::UdpSocket::from(socket);
            socket.set_nonblocking(true).unwrap();
            socket.recv(&mut [0; 8]).is_ok_and(|len| len == 5)
        });
        assert!(found, "what was sent to the old ones is not lost");
    }

    #[test]
    fn a_place_of_ours_may_change_and_keep_its_port() {
        let first = open(&["127.0.0.1:0"], 1).unwrap();
        let address = bound(&first)[0];
        let fixed = address.to_string();
        let check = |what: &str, change: &dyn Fn(&mut Listening)| {
            for address in ["127.0.0.1:0", &fixed] {
                let mut wanted = listening(&[address], 1);
                change(&mut wanted);
                let again = Sockets::open(&wanted, Some(&first));
                let again = again.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(again.descriptors().len(), wanted.threads, "{what}");
                let ports = bound(&again).iter().map(SocketAddr::port).collect::<Vec<_>>();
                if wanted.interfaces.is_empty() {
                    assert_eq!(ports, [bound(&first)[0].port()], "{what} {address}");
                }
            }
        };
        check("another code point", &|wanted| wanted.dscp = 46);
        check("more threads", &|wanted| wanted.threads = 3);
        check("on an interface", &|wanted| wanted.interfaces = vec!["lo".to_owned()]);
        let all = format!("0.0.0.0:{}", address.port());
        assert!(Sockets::open(&listening(&[&all], 1), Some(&first)).is_ok(), "the whole family");
    }

    #[test]
    fn sockets_that_somebody_bound_are_used_and_shared_by_threads() {
        let of_others = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = of_others.local_addr().unwrap();
        let passed = [Passed {
            name: String::new(),
            transport: Transport::Udp,
            address,
            interface: None,
            socket: of_others.try_clone().unwrap().into(),
        }];
        let wanted = [address.to_string(), "127.0.0.1:0".to_owned()];
        let wanted = listening(&[&wanted[0], &wanted[1]], 2);
        assert!(Sockets::open(&wanted, None).unwrap_err().is_taken());
        let first = Sockets::open_among(&wanted, None, &passed).unwrap();
        let addresses = bound(&first);
        assert!(addresses[0] == address && addresses[1] != address);
        // Taken again, and with other numbers, it is still the same.
        let mut more = wanted.clone();
        (more.threads, more.dscp) = (3, 46);
        let second = Sockets::open_among(&more, Some(&first), &passed).unwrap();
        drop(first);
        assert_eq!(bound(&second), addresses);
        let sockets = second.duplicates().unwrap();
        assert_eq!(sockets.len(), 6);
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"asks", address).unwrap();
        let shared = std::net::UdpSocket::from(sockets.into_iter().nth(4).unwrap());
        let mut buffer = [0; 8];
        let mut look = || shared.recv(&mut buffer);
        let found = (0..2000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            look().ok()
        });
        assert_eq!(found, Some(4), "every thread hears who asks there");
        assert_eq!(look().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_thread_has_a_processor_of_its_own_where_cards_reach_them_all() {
        let check = |threads, processors, reach, expected| {
            assert_eq!(each_has_one(threads, processors, reach), expected, "{threads} {reach}");
        };
        check(4, 4, 4, true);
        check(4, 4, 64, true);
        check(4, 4, 1, false);
        check(4, 8, 8, false);
        check(8, 4, 8, false);
        check(1, 1, 1, false);
    }

    #[test]
    fn sockets_are_dealt_as_evenly_as_they_can_be() {
        let sockets = || open(&["127.0.0.1:0"], 3).unwrap().duplicates().unwrap();
        let sizes = |threads| deal(sockets(), threads).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(0), [3]);
        assert_eq!(sizes(2), [2, 1]);
        assert_eq!(sizes(5), [1, 1, 1]);
        assert!(deal(Vec::new(), 2).is_empty());
    }
}
