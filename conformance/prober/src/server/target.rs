//! Whom a run asks, and whether it may.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

/// A server under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// How it was named, for people.
    pub name: String,
    /// Where plain NTP is asked.
    pub ntp: SocketAddr,
    /// Where keys are established, if anywhere.
    pub ke: Option<KeTarget>,
    /// Whether addresses beyond loopback and private networks may be asked.
    pub allowed: bool,
}

/// A key establishment server under test.
#[derive(Clone, Debug)]
pub struct KeTarget {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name its certificate must have.
    pub name: ServerName<'static>,
    /// Whom its certificate must come from.
    pub roots: Arc<RootCertStore>,
    /// Whether it was named by the user: then it must be there.
    pub demanded: bool,
}

/// Why a target cannot be asked.
#[derive(Debug)]
pub enum TargetError {
    /// Not `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
    Form(String),
    /// The name has no address, or cannot be looked up.
    Unknown(String, String),
    /// Neither loopback nor private, and nobody said that it may be tested.
    Foreign(IpAddr),
    /// Certificates cannot be read.
    Roots(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(text) => {
                write!(to, "`{text}` is no server: HOST, HOST:PORT or [IPV6]:PORT is")
            }
            Self::Unknown(host, why) => write!(to, "`{host}` has no address: {why}"),
            Self::Foreign(address) => write!(
                to,
                "{address} is neither on loopback nor in a private network: test only what you are allowed to test, and say so \
                 with --allowed"
            ),
            Self::Roots(why) => write!(to, "{why}"),
        }
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// A target from the words of a command line: a host with or without a port for NTP, and the same for key establishment.
    ///
    /// # Errors
    /// Says what is wrong with either, and refuses what nobody allowed.
    pub fn new(
        ntp: &str,
        ke: Option<&str>,
        roots: Arc<RootCertStore>,
        allowed: bool,
    ) -> Result<Self, TargetError> {
        let (host, port) = split(ntp)?;
        let address = look_up(host, port.unwrap_or(123))?;
        let (ke_host, ke_port) = ke.map_or(Ok((host, None)), split)?;
        let mut ke_address = look_up(ke_host, ke_port.unwrap_or(4460))?;
        if ke_host == host {
            ke_address.set_ip(address.ip());
        }
        for address in [address, ke_address] {
            permit(address.ip(), allowed)?;
        }
        let name = ServerName::try_from(ke_host.to_owned())
            .map_err(|_| TargetError::Form(ke_host.to_owned()))?;
        Ok(Self {
            name: ntp.to_owned(),
            ntp: address,
            ke: Some(KeTarget { address: ke_address, name, roots, demanded: ke.is_some() }),
            allowed,
        })
    }
}

/// Refuses what lies beyond loopback, private and link-local networks, unless it is allowed.
///
/// # Errors
/// The address, if it is foreign.
pub fn permit(address: IpAddr, allowed: bool) -> Result<(), TargetError> {
    let near = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    if near || allowed { Ok(()) } else { Err(TargetError::Foreign(address)) }
}

/// The authorities in a PEM file, or the system's.
///
/// # Errors
/// Says what cannot be read.
pub fn roots(file: Option<&Path>) -> Result<Arc<RootCertStore>, TargetError> {
    let mut store = RootCertStore::empty();
    if let Some(file) = file {
        let shown = file.display();
        let wrong = |error: &dyn fmt::Display| TargetError::Roots(format!("{shown}: {error}"));
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            store.add(certificate).map_err(|error| wrong(&error))?;
        }
        if store.is_empty() {
            return Err(TargetError::Roots(format!("{shown}: no certificate in it")));
        }
    } else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(Arc::new(store))
}

fn split(text: &str) -> Result<(&str, Option<u16>), TargetError> {
    let wrong = || TargetError::Form(text.to_owned());
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
        match after {
            "" => (host, None),
            _ => (host, Some(after.strip_prefix(':').ok_or_else(wrong)?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        }
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong));
    if host.is_empty() { Err(wrong()) } else { Ok((host, port.transpose()?)) }
}

fn look_up(host: &str, port: u16) -> Result<SocketAddr, TargetError> {
    let unknown = |why: String| TargetError::Unknown(host.to_owned(), why);
    (host, port)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?
        .next()
        .ok_or_else(|| unknown("none is known".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_with_or_without_a_port() {
        fn check(text: &str, expected: Option<(&str, Option<u16>)>) {
            assert_eq!(split(text).ok(), expected, "{text}");
        }
        check("host", Some(("host", None)));
        check("host:1", Some(("host", Some(1))));
        check("192.0.2.1:65535", Some(("192.0.2.1", Some(65535))));
        check("::1", Some(("::1", None)));
        check("[::1]", Some(("::1", None)));
        check("[::1]:123", Some(("::1", Some(123))));
        for wrong in ["", ":1", "host:", "host:0", "host:65536", "host:x", "[::1", "[::1]1", "[]:1"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn foreign_addresses_are_asked_only_where_that_is_allowed() {
        fn check(address: &str, near: bool) {
            let address = address.parse().expect("an address");
            assert_eq!(permit(address, false).is_ok(), near, "{address}");
            assert!(permit(address, true).is_ok());
        }
        for near in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.31.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            check(near, true);
        }
        for foreign in ["192.0.2.1", "172.32.0.1", "11.0.0.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            check(foreign, false);
        }
    }
}
