//! Names to addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use noonmark_nts::NtpServer;

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Family {
    /// Both, in the order the resolver gives them.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    const fn includes(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "IP",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The addresses of a name or address as a person writes it, with `port`; at least one.
///
/// # Errors
/// [`Unresolved`] if the resolver knows none of the wanted family.
pub async fn resolve(host: &str, port: u16, family: Family) -> Result<Vec<SocketAddr>, Unresolved> {
    // An address in brackets, as in a URL, is one without them.
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let found = tokio::net::lookup_host((bare, port)).await.map_err(|source| Unresolved {
        name: host.to_owned(),
        family,
        source: Some(source),
    })?;
    let addresses: Vec<_> = found.filter(|address| family.includes(address.ip())).collect();
    if addresses.is_empty() {
        Err(Unresolved { name: host.to_owned(), family, source: None })
    } else {
        Ok(addresses)
    }
}

/// The addresses of an NTP server that a key-establishment server named (RFC 8915 §4.1.7).
///
/// The name is fully qualified, so no search list is tried; the hosts file of this machine is read before.
///
/// # Errors
/// [`Unresolved`] if the resolver knows none of the wanted family.
pub(crate) async fn resolve_negotiated(
    server: &NtpServer,
    port: u16,
    family: Family,
) -> Result<Vec<SocketAddr>, Unresolved> {
    let name = match server {
        NtpServer::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
        NtpServer::Name(name) => name,
    };
    let hosts = std::fs::read_to_string(HOSTS_FILE).unwrap_or_default();
    let local: Vec<_> = in_hosts(&hosts, name)
        .filter(|address| family.includes(*address))
        .map(|address| SocketAddr::new(address, port))
        .collect();
    if local.is_empty() { resolve(&format!("{name}."), port, family).await } else { Ok(local) }
}

/// The addresses of `name` in the text of a hosts file (hosts(5)).
///
/// The resolver would read the file too, but with the trailing dot that keeps it from the search list it finds nothing there.
fn in_hosts(hosts: &str, name: &str) -> impl Iterator<Item = IpAddr> {
    hosts.lines().filter_map(move |line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    })
}

/// A name without a usable address.
#[derive(Debug)]
pub struct Unresolved {
    /// The name as it was asked for.
    pub name: String,
    /// Which addresses were wanted.
    pub family: Family,
    /// What the resolver said, if it did not just have none of the wanted family.
    pub source: Option<io::Error>,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{} does not resolve: {source}", self.name),
            None => write!(f, "{} has no {} address", self.name, self.family),
        }
    }
}

impl std::error::Error for Unresolved {}

const HOSTS_FILE: &str = "/etc/hosts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_is_read_as_hosts_5_says() {
        let hosts = "# comment\n127.0.0.1 localhost Loop # time\n\n::1\tlocalhost\n192.0.2.1 time.example time\nbad time\n";
        let check = |name: &str, expected: &[&str]| {
            let found: Vec<_> = in_hosts(hosts, name).map(|address| address.to_string()).collect();
            assert_eq!(found, expected, "{name}");
        };
        check("localhost", &["127.0.0.1", "::1"]);
        check("LOOP", &["127.0.0.1"]);
        check("time.example", &["192.0.2.1"]);
        check("time", &["192.0.2.1"]);
        check("tim", &[]);
        check("#", &[]);
    }

    #[tokio::test]
    async fn addresses_need_no_resolver_and_obey_the_family() {
        let check = async |host: &str, family, expected: Option<&str>| {
            let found = resolve(host, 123, family).await.ok().map(|all| all[0].to_string());
            assert_eq!(found.as_deref(), expected, "{host} {family:?}");
        };
        check("192.0.2.1", Family::Any, Some("192.0.2.1:123")).await;
        check("192.0.2.1", Family::V6, None).await;
        check("[2001:db8::1]", Family::V6, Some("[2001:db8::1]:123")).await;
        check("2001:db8::1", Family::V4, None).await;
    }

    #[tokio::test]
    async fn a_negotiated_address_is_taken_as_it_is() {
        let server = NtpServer::Address([192, 0, 2, 9].into());
        let found = resolve_negotiated(&server, 1123, Family::Any).await.expect("an address");
        assert_eq!(found, ["192.0.2.9:1123".parse().expect("an address")]);
    }
}
