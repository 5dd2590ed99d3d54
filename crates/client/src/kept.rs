//! NTS keys and cookies over a restart (RFC 8915 §5.7).

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use noonmark_nts::{Aead, SessionKeys};
use zeroize::Zeroizing;

use crate::Endpoint;
use crate::jar::JAR_SIZE;

/// What one NTS source can go on with after a restart.
pub(crate) struct Kept {
    /// The key-establishment server it belongs to.
    pub(crate) endpoint: Endpoint,
    /// Where questions go.
    pub(crate) server: SocketAddr,
    pub(crate) keys: SessionKeys,
    /// None of them used.
    pub(crate) cookies: Vec<Vec<u8>>,
}

/// The octets of `all`, which only [`read`] understands: a mark, a version, and each entry with lengths before what varies.
pub(crate) fn write(all: &[Kept]) -> Zeroizing<Vec<u8>> {
    // Large enough from the start, so that growing leaves no secrets behind.
    let mut out = Zeroizing::new(Vec::with_capacity(MARK.len() + all.len() * LONGEST_ENTRY));
    out.extend_from_slice(MARK);
    for kept in all {
        part(&mut out, kept.endpoint.host.as_bytes());
        out.extend_from_slice(&kept.endpoint.port.to_be_bytes());
        match kept.server.ip() {
            IpAddr::V4(address) => part(&mut out, &address.octets()),
            IpAddr::V6(address) => part(&mut out, &address.octets()),
        }
        out.extend_from_slice(&kept.server.port().to_be_bytes());
        let scope = match kept.server {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        out.extend_from_slice(&scope.to_be_bytes());
        out.extend_from_slice(&kept.keys.aead().id().to_be_bytes());
        part(&mut out, kept.keys.c2s());
        part(&mut out, kept.keys.s2c());
        out.push(u8::try_from(kept.cookies.len()).unwrap_or(0));
        for cookie in kept.cookies.iter().take(JAR_SIZE) {
            part(&mut out, cookie);
        }
    }
    out
}

/// The entries in `octets`; `None` if they are not what [`write()`] made.
pub(crate) fn read(octets: &[u8]) -> Option<Vec<Kept>> {
    let mut rest = octets.strip_prefix(MARK)?;
    let mut all = Vec::new();
    while !rest.is_empty() {
        all.push(entry(&mut rest)?);
    }
    Some(all)
}

fn entry(rest: &mut &[u8]) -> Option<Kept> {
    let host = String::from_utf8(take_part(rest)?.to_vec()).ok()?;
    let port = u16::from_be_bytes(take(rest)?);
    let address = take_part(rest)?;
    let server_port = u16::from_be_bytes(take(rest)?);
    let scope = u32::from_be_bytes(take(rest)?);
    let server = match address.len() {
        4 if scope == 0 => SocketAddr::from((<[u8; 4]>::try_from(address).ok()?, server_port)),
        _ => {
            let address = <[u8; 16]>::try_from(address).ok()?;
            SocketAddrV6::new(address.into(), server_port, 0, scope).into()
        }
    };
    let aead = Aead::from_id(u16::from_be_bytes(take(rest)?))?;
    let (c2s, s2c) = (take_part(rest)?, take_part(rest)?);
    let keys = SessionKeys::new(aead, c2s, s2c).ok()?;
    let [count] = take(rest)?;
    let cookies = (0..count).map(|_| take_part(rest).map(<[u8]>::to_vec)).collect::<Option<_>>()?;
    Some(Kept { endpoint: Endpoint { host, port }, server, keys, cookies })
}

/// Length in two octets, then the octets.
fn part(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(&u16::try_from(octets.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(
        octets.get(..octets.len().min(usize::from(u16::MAX))).unwrap_or_default(),
    );
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u16::from_be_bytes(take(rest)?);
    let (part, after) = rest.split_at_checked(usize::from(len))?;
    *rest = after;
    Some(part)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

/// Our mark, and 1 for this form.
const MARK: &[u8] = b"noonmark nts keys\x01";
/// A name, the longest keys, and eight cookies of the longest kind a request can carry.
const LONGEST_ENTRY: usize = 256 + 200 + JAR_SIZE * 1232;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(server: &str, aead: Aead, cookies: Vec<Vec<u8>>) -> Kept {
        let key = |n| vec![n; aead.key_len()];
        Kept {
            endpoint: Endpoint::new("nts.example", 4460),
            server: server.parse().expect("an address"),
            keys: SessionKeys::new(aead, &key(1), &key(2)).expect("right length"),
            cookies,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all: Vec<_> = ["192.0.2.1:123", "[2001:db8::1]:123", "[fe80::1%3]:11123"]
            .iter()
            .zip(Aead::ALL)
            .map(|(server, aead)| kept(server, aead, vec![vec![7; 100], vec![8; 4]]))
            .collect();
        let octets = write(&all);
        let again = read(&octets).expect("our own");
        assert_eq!(again.len(), 3);
        for (one, other) in all.iter().zip(&again) {
            assert_eq!(one.endpoint, other.endpoint);
            assert_eq!(one.server, other.server);
            assert_eq!(one.keys.aead(), other.keys.aead());
            assert_eq!((one.keys.c2s(), one.keys.s2c()), (other.keys.c2s(), other.keys.s2c()));
            assert_eq!(one.cookies, other.cookies);
        }
        for len in 0..octets.len() {
            assert!(read(&octets[..len]).is_none_or(|some| some.len() < 3), "cut at {len}");
        }
        assert!(read(b"noonmark nts keys\x02").is_none(), "another form");
    }

    proptest! {
        #[test]
        fn no_octets_disturb(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&octets);
            let _ = read(&[MARK, &octets].concat());
        }
    }
}
