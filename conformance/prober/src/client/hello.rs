//! A client's hello (RFC 8446 §4.1.2), by hand: a TLS library would not show what it offers but may not use.

use crate::octets::u16_at;

/// What a client offers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// Versions, newest first as it gives them: 0x0304 is TLS 1.3. Without the extension, the one of its header.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub suites: Vec<u16>,
    /// Groups for the key exchange.
    pub groups: Vec<u16>,
    /// Protocols above TLS (ALPN).
    pub protocols: Vec<Vec<u8>>,
    /// Whether it sends data before the handshake is over (0-RTT).
    pub early_data: bool,
    /// How keys already shared may be used: 0 is without a new exchange, 1 with one. `None` without the extension.
    pub psk_modes: Option<Vec<u8>>,
}

impl Hello {
    /// Reads it from the first TLS records of a connection; `None` if they do not begin with one, or not all of it is there.
    #[must_use]
    pub fn read(stream: &[u8]) -> Option<Self> {
        let message = handshake(stream)?;
        let mut body = Octets(message.get(4..)?);
        let version = body.number()?;
        body.take(32)?;
        body.list8()?;
        let mut hello =
            Self { suites: numbers(body.list16()?), versions: vec![version], ..Self::default() };
        body.list8()?;
        let mut extensions = Octets(body.list16().unwrap_or_default());
        while let (Some(kind), Some(content)) = (extensions.number(), extensions.list16()) {
            let mut content = Octets(content);
            match kind {
                10 => hello.groups = numbers(content.list16()?),
                16 => {
                    let mut names = Octets(content.list16()?);
                    while let Some(name) = names.list8() {
                        hello.protocols.push(name.to_vec());
                    }
                }
                42 => hello.early_data = true,
                43 => hello.versions = numbers(content.list8()?),
                45 => hello.psk_modes = Some(content.list8()?.to_vec()),
                _ => {}
            }
        }
        Some(hello)
    }

    /// What of its offer is too weak (RFC 9325 §4): old versions are another matter.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<String> {
        let mut found = Vec::new();
        let weak = |suite: &u16| WEAK_SUITES.contains(suite);
        found.extend(
            self.suites.iter().copied().filter(weak).map(|suite| format!("suite {suite:#06x}")),
        );
        let weak = |group: &u16| (1..=18).contains(group) || *group == 21 || *group == 22;
        found
            .extend(self.groups.iter().copied().filter(weak).map(|group| format!("group {group}")));
        if self.early_data {
            found.push("data before the end of the handshake".to_owned());
        }
        if self.psk_modes.as_deref().is_some_and(|modes| modes.contains(&0)) {
            found.push("resumption without a new key exchange".to_owned());
        }
        found
    }
}

/// The first handshake message of a stream, its header included, if it is a ClientHello and whole.
fn handshake(mut stream: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        if stream.first() != Some(&22) {
            return None;
        }
        let len = usize::from(u16_at(stream, 3)?);
        message.extend(stream.get(5..5 + len)?);
        let head: &[u8; 4] = message.first_chunk()?;
        let whole =
            4 + usize::from(head[1]) * 65_536 + usize::from(head[2]) * 256 + usize::from(head[3]);
        if head[0] != 1 {
            return None;
        }
        if message.len() >= whole {
            message.truncate(whole);
            return Some(message);
        }
        stream = &stream[5 + len..];
    }
}

/// A ServerHello of TLS 1.2 and nothing behind it: what a client must not go on with.
#[must_use]
pub fn server_hello_of_tls12() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0x5a; 32]);
    // No session id, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression, no extensions.
    body.extend([0, 0xc0, 0x2b, 0, 0, 0]);
    let mut message = vec![2, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![22, 3, 3, 0, message.len() as u8];
    record.extend(message);
    record
}

fn numbers(octets: &[u8]) -> Vec<u16> {
    octets.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
    }

    fn list8(&mut self) -> Option<&'a [u8]> {
        let [len] = *self.take(1)? else { return None };
        self.take(usize::from(len))
    }

    fn list16(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::from(len))
    }
}

/// Suites without encryption, with RC4, DES or 3DES, or export ones.
const WEAK_SUITES: [u16; 20] = [
    0x0000, 0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0008, 0x0009, 0x000a, 0x0016, 0x0018, 0x003b,
    0xc006, 0xc007, 0xc008, 0xc010, 0xc011, 0xc012, 0xc015, 0xc016,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::hello::{GROUPS, KEY_SHARE, NTSKE, SIGNATURES, TLS12, TLS13, client_hello};

    #[test]
    fn a_hello_is_read_whole_or_not_at_all() {
        let octets = client_hello(&[SIGNATURES, GROUPS, KEY_SHARE, NTSKE, TLS13, (45, &[1, 1])]);
        let hello = Hello::read(&octets).expect("a hello");
        assert_eq!((&hello.versions[..], &hello.groups[..]), (&[0x0304][..], &[29][..]));
        assert_eq!(hello.protocols, [b"ntske/1"]);
        assert_eq!((hello.psk_modes, hello.early_data), (Some(vec![1]), false));
        assert!(hello.suites.contains(&0x1301));
        for len in 0..octets.len() {
            assert_eq!(Hello::read(&octets[..len]), None, "{len}");
        }
    }

    #[test]
    fn what_is_weak_is_found() {
        let weak = client_hello(&[(10, &[0, 2, 0, 19]), TLS12, (42, &[]), (45, &[1, 0])]);
        let hello = Hello::read(&weak).expect("a hello");
        let found = hello.weaknesses();
        assert_eq!(hello.versions, [0x0303]);
        assert!(found.iter().any(|weakness| weakness.contains("without a new")), "{found:?}");
        assert!(found.iter().any(|weakness| weakness.contains("before the end")), "{found:?}");
        let good = client_hello(&[GROUPS, TLS13]);
        assert_eq!(Hello::read(&good).expect("a hello").weaknesses(), [""; 0]);
    }
}
