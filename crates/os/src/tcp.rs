//! Listening TCP sockets, made to be handed to the process that accepts.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Binds and listens: non-blocking, closed on exec. Port 0 lets the kernel choose.
///
/// An IPv6 socket takes IPv6 only, so `[::]` and `0.0.0.0` can both be listened on. The address may be one that does not exist yet
/// (`IP_FREEBIND`). A listener that has just gone does not stand in the way (`SO_REUSEADDR`), one that is there does.
///
/// # Errors
/// What the kernel answers: `AddrInUse` if somebody listens there, `PermissionDenied` for a low port without the right to it.
pub fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connections the kernel completes while nobody accepts; it takes less if `net.core.somaxconn` says so.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::bound_address;

    #[test]
    fn both_families_listen_on_one_port_and_nobody_else_does() {
        let loopback = listen("127.0.0.1:0".parse().expect("an address")).expect("free");
        let bound = bound_address(&loopback).expect("bound");
        assert_ne!(bound.port(), 0);
        assert_eq!(listen(bound).expect_err("taken").kind(), io::ErrorKind::AddrInUse);
        std::net::TcpStream::connect(bound).expect("somebody listens");
        // Another program may hold the IPv4 port of the number we are given, so several numbers are tried.
        let both = (0..32).any(|_| {
            let wide = listen("[::]:0".parse().expect("an address")).expect("free");
            let port = bound_address(&wide).expect("bound").port();
            listen(SocketAddr::from(([0, 0, 0, 0], port))).is_ok()
        });
        assert!(both, "IPv4 is not taken by an IPv6 socket");
    }
}
