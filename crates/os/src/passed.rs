//! Sockets that whoever started this process has bound for it: systemd's socket activation, as `sd_listen_fds(3)` describes it.
//!
//! The environment says how many (`LISTEN_FDS`), for which process (`LISTEN_PID`) and, if it likes, what each is called
//! (`LISTEN_FDNAMES`); the descriptors are those from number 3 on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use socket2::{Protocol, SockRef, Type};

/// A bound socket that was passed to this process.
#[derive(Debug)]
pub struct Passed {
    /// What it is called where it was made; empty if it has no name.
    pub name: String,
    /// Over what it is spoken.
    pub transport: Transport,
    /// Where it is bound.
    pub address: SocketAddr,
    /// The device it is bound to, if any.
    pub interface: Option<String>,
    /// Itself. Who made it has it, too.
    pub socket: OwnedFd,
}

/// What a passed socket can be used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections; it listens.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

impl fmt::Display for Passed {
    /// As in `UDP [::]:123 on eth0 (noonmarkd.socket)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.address)?;
        if let Some(interface) = &self.interface {
            write!(f, " on {interface}")?;
        }
        if self.name.is_empty() { Ok(()) } else { write!(f, " ({})", self.name.escape_debug()) }
    }
}

/// What is wrong with what was passed.
#[derive(Debug)]
pub enum PassedError {
    /// A variable of the environment does not say what it is there for.
    Variable {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// A descriptor cannot be used.
    Socket {
        /// Its number.
        number: RawFd,
        /// What it is called where it was made.
        name: String,
        /// Why not.
        source: io::Error,
    },
}

impl fmt::Display for PassedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name, value } => write!(
                f,
                "{name}={value:?} in the environment; accepted is a whole number, of descriptors no more than {MOST}"
            ),
            Self::Socket { number, name, source } => {
                write!(f, "descriptor {number}")?;
                if !name.is_empty() {
                    write!(f, " ({})", name.escape_debug())?;
                }
                write!(f, ", which whoever started this process passed to it: {source}")
            }
        }
    }
}

impl std::error::Error for PassedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Variable { .. } => None,
            Self::Socket { source, .. } => Some(source),
        }
    }
}

/// Takes the sockets that were passed to this process; none if the environment speaks of none or of another process.
///
/// Call it once, before anything else of this process could come to own the descriptors.
///
/// # Errors
/// Which variable or which descriptor is not what it should be.
pub fn take() -> Result<Vec<Passed>, PassedError> {
    let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let names = announced(
        std::process::id(),
        variable("LISTEN_PID").as_deref(),
        variable("LISTEN_FDS").as_deref(),
        variable("LISTEN_FDNAMES").as_deref(),
    )?;
    (FIRST..).zip(names).map(|(number, name)| take_one(number, name)).collect()
}

/// The names of the descriptors, in their order, if they are for the process `own`.
fn announced(
    own: u32,
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
) -> Result<Vec<String>, PassedError> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(Vec::new()) };
    let wrong = |name, value: &str| PassedError::Variable { name, value: value.to_owned() };
    // What a parent of ours was given is not for us, whatever it is.
    if pid.parse::<u32>().map_err(|_| wrong("LISTEN_PID", pid))? != own {
        return Ok(Vec::new());
    }
    let number: usize = count.parse().map_err(|_| wrong("LISTEN_FDS", count))?;
    if number > MOST {
        return Err(wrong("LISTEN_FDS", count));
    }
    let names = names.unwrap_or_default().split(':').map(str::to_owned);
    Ok(names.chain(std::iter::repeat(String::new())).take(number).collect())
}

fn take_one(number: RawFd, name: String) -> Result<Passed, PassedError> {
    let failed = |name: &str, source| PassedError::Socket { number, name: name.to_owned(), source };
    // SAFETY: the command takes an integer and touches no memory; it fails for a number that is not open.
    crate::checked(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })
        .map_err(|source| failed(&name, source))?;
    // SAFETY: open, as the call above showed, and by the caller's promise nothing in this process owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let (transport, address, interface) =
        look_at(&socket).map_err(|source| failed(&name, source))?;
    Ok(Passed { name, transport, address, interface, socket })
}

/// What a socket is, if it is one to serve with; makes it non-blocking.
fn look_at(socket: &OwnedFd) -> io::Result<(Transport, SocketAddr, Option<String>)> {
    let unusable = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let socket = SockRef::from(socket);
    let address = socket.local_addr()?.as_socket();
    let address = address.ok_or_else(|| unusable("neither IPv4 nor IPv6"))?;
    let transport = match (socket.r#type()?, socket.protocol()?) {
        (Type::DGRAM, Some(Protocol::UDP)) => Transport::Udp,
        (Type::STREAM, Some(Protocol::TCP)) if socket.is_listener()? => Transport::Tcp,
        (Type::STREAM, Some(Protocol::TCP)) => {
            return Err(unusable("a connection, not a socket that listens (Accept=no)"));
        }
        _ => return Err(unusable("neither UDP nor TCP")),
    };
    if address.port() == 0 {
        return Err(unusable("not bound"));
    }
    if transport == Transport::Udp && socket.peer_addr().is_ok() {
        return Err(unusable("connected to one peer, so nobody else could be answered"));
    }
    let is_wide = address.is_ipv6() && address.ip().is_unspecified();
    if is_wide && !socket.only_v6()? {
        return Err(unusable("takes IPv4 as well as IPv6 (BindIPv6Only=ipv6-only)"));
    }
    let interface = socket.device()?.map(|name| String::from_utf8_lossy(&name).into_owned());
    socket.set_nonblocking(true)?;
    Ok((transport, address, interface))
}

/// `SD_LISTEN_FDS_START` of sd-daemon.h.
const FIRST: RawFd = 3;
/// More than anybody listens on, and few enough to look at each.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn descriptors_are_ours_only_if_our_process_is_named() {
        let check =
            |pid: Option<&str>, count: Option<&str>, names: Option<&str>, expected: &str| {
                let found = announced(7, pid, count, names);
                let found = found.map_or_else(|error| error.to_string(), |names| names.join("|"));
                assert!(found.starts_with(expected), "{found:?}, not {expected:?}");
                assert_eq!(found.is_empty(), expected.is_empty(), "{found:?}");
            };
        check(None, None, None, "");
        check(None, Some("1"), None, "");
        check(Some("7"), None, None, "");
        check(Some("8"), Some("1"), Some("a"), "");
        check(Some("8"), Some("nonsense"), None, "");
        check(Some("7"), Some("0"), Some("a"), "");
        check(Some("7"), Some("2"), Some("a:b"), "a|b");
        check(Some("7"), Some("3"), Some("a"), "a||");
        check(Some("7"), Some("1"), Some("a:b:c"), "a");
        check(Some("me"), Some("1"), None, "LISTEN_PID=\"me\"");
        check(Some("7"), Some("-1"), None, "LISTEN_FDS=\"-1\"");
        check(Some("7"), Some("5000"), None, "LISTEN_FDS=\"5000\"");
    }

    #[test]
    fn sockets_are_told_apart_and_others_are_refused_with_the_reason() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("free");
        let bound = udp.local_addr().expect("bound");
        let found = look_at(&OwnedFd::from(udp)).expect("UDP");
        assert_eq!(found, (Transport::Udp, bound, None));
        let listener = TcpListener::bind("[::1]:0").expect("free");
        let bound = listener.local_addr().expect("bound");
        let connection = TcpStream::connect(bound).expect("listens");
        let found = look_at(&OwnedFd::from(listener)).expect("TCP");
        assert_eq!(found, (Transport::Tcp, bound, None));

        let check = |socket: OwnedFd, reason: &str| {
            let error = look_at(&socket).expect_err("not one to serve with").to_string();
            assert!(error.contains(reason), "{error}");
        };
        check(connection.into(), "a connection");
        let connected = UdpSocket::bind("127.0.0.1:0").expect("free");
        connected.connect("127.0.0.1:9").expect("needs nobody there");
        check(connected.into(), "connected to one peer");
        check(UdpSocket::bind("[::]:0").expect("free").into(), "BindIPv6Only=ipv6-only");
        let (one, _other) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
        check(one.into(), "neither IPv4 nor IPv6");
        check(std::fs::File::open("/dev/null").expect("there").into(), "socket");
        let unbound = socket2::Socket::new(socket2::Domain::IPV4, Type::DGRAM, None);
        check(unbound.expect("a socket").into(), "not bound");
    }

    #[test]
    fn error_names_the_descriptor() {
        let error = take_one(RawFd::MAX, "ntp".to_owned()).expect_err("not open").to_string();
        assert!(error.starts_with("descriptor 2147483647 (ntp)"), "{error}");
    }
}
