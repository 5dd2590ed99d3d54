//! Addresses as reference ids.

use std::net::IpAddr;

use md5::{Digest, Md5};
use noonmark_packet::ReferenceId;

/// What whoever follows the server at `address` calls it (RFC 5905 §7.3): an IPv4 address as it is, of an IPv6 address the first four
/// octets of its MD5 hash.
#[must_use]
pub fn reference_id_of(address: IpAddr) -> ReferenceId {
    match address.to_canonical() {
        IpAddr::V4(address) => ReferenceId(address.octets()),
        IpAddr::V6(address) => {
            let hash: [u8; 16] = Md5::digest(address.octets()).into();
            let [first, second, third, fourth, ..] = hash;
            ReferenceId([first, second, third, fourth])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_other_servers_make_of_addresses() {
        fn check(address: &str, expected: [u8; 4]) {
            assert_eq!(reference_id_of(address.parse().expect("an address")).0, expected);
        }
        check("192.0.2.1", [192, 0, 2, 1]);
        check("::ffff:192.0.2.1", [192, 0, 2, 1]);
        // The beginning of what md5sum says of the 16 octets.
        check("::1", [0xcf, 0x40, 0x4d, 0xc8]);
    }
}
