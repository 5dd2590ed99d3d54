//! Sockets for all threads, opened before anything is served.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use noonmark_os::udp::{Listener, OpenError, bound_address};

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listening {
    /// Addresses. A wildcard serves all addresses of its family, also those that come later; any other may be listed before the
    /// machine has it, and is served from then on. Port 0 lets the kernel choose, the same for all threads.
    pub addresses: Vec<SocketAddr>,
    /// Interfaces (or VRFs) to which every address is bound once each; none for no binding.
    pub interfaces: Vec<String>,
    /// Differentiated services code point of answers, 0 to 63.
    pub dscp: u8,
    /// Threads that will serve, at least 1.
    pub threads: usize,
}

/// Opens the sockets of all threads: thread after thread, for each its interfaces, for each of those all addresses.
///
/// # Errors
/// The first that cannot be opened; [`OpenError::is_taken`] says whether somebody else has the port, be it another `noonmarkd`.
pub fn open_sockets(listening: &Listening) -> Result<Vec<OwnedFd>, OpenError> {
    let interfaces: Vec<Option<String>> = match listening.interfaces.as_slice() {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    };
    let mut listeners: Vec<Listener> = interfaces
        .iter()
        .flat_map(|interface| {
            listening.addresses.iter().map(move |&address| (interface.clone(), address))
        })
        .map(|(interface, address)| Listener {
            address,
            interface,
            dscp: listening.dscp,
            shared: true,
        })
        .collect();
    for listener in &listeners {
        // Sockets that share a port do so with any other of the same user, so only one that does not share finds out whether
        // a second server is running.
        if listener.address.port() != 0 {
            Listener { shared: false, ..listener.clone() }.open()?;
        }
    }
    let mut sockets = Vec::new();
    for _ in 0..listening.threads.max(1) {
        for listener in &mut listeners {
            let socket = listener.open()?;
            if listener.address.port() == 0 {
                let chosen = bound_address(&socket).map_err(|source| OpenError {
                    step: "getsockname",
                    address: listener.address,
                    source,
                })?;
                listener.address.set_port(chosen.port());
            }
            sockets.push(socket);
        }
    }
    Ok(sockets)
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

    #[test]
    fn every_thread_gets_every_address() {
        let sockets = open_sockets(&listening(&["127.0.0.1:0", "[::1]:0"], 3)).unwrap();
        let addresses: Vec<_> =
            sockets.iter().map(|socket| bound_address(socket).unwrap()).collect();
        assert_eq!(addresses.len(), 6);
        assert_ne!(addresses[0].port(), 0);
        for thread in addresses.chunks(2) {
            assert_eq!(thread, &addresses[..2], "a chosen port is the same for all threads");
        }
        let hands = deal(sockets, 3);
        assert_eq!(hands.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    }

    #[test]
    fn a_second_server_on_the_same_port_is_told() {
        let first = open_sockets(&listening(&["127.0.0.1:0"], 2)).unwrap();
        let address = bound_address(&first[0]).unwrap().to_string();
        let error = open_sockets(&listening(&[&address], 2)).unwrap_err();
        assert!(error.is_taken(), "{error}");
        drop(first);
        assert_eq!(open_sockets(&listening(&[&address], 2)).unwrap().len(), 2);
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let mut listening = listening(&["127.0.0.1:0"], 1);
        listening.interfaces = vec!["nosuchdevice".to_owned()];
        let error = open_sockets(&listening).unwrap_err();
        assert_eq!(error.step, "SO_BINDTODEVICE");
    }

    #[test]
    fn sockets_are_dealt_as_evenly_as_they_can_be() {
        let sockets = || open_sockets(&listening(&["127.0.0.1:0"], 3)).unwrap();
        let sizes = |threads| deal(sockets(), threads).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(0), [3]);
        assert_eq!(sizes(2), [2, 1]);
        assert_eq!(sizes(5), [1, 1, 1]);
        assert!(deal(Vec::new(), 2).is_empty());
    }
}
