//! Where the program in the kernel is asked: addresses and ports on devices, and a table of them that it looks up in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use noonmark_os::devices::Device;

/// An address and port of ours on a device.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// Number of the device.
    pub device: u32,
    /// The VLAN in the frame's tag (IEEE 802.1Q), 1 to 4094; `None` for frames without one.
    pub vlan: Option<u16>,
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The device's hardware address, to which a frame for this machine goes.
    pub mac: [u8; 6],
}

/// A socket bound: address, and the device if it is bound to one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bound<'a> {
    /// Address and port.
    pub address: SocketAddr,
    /// Name of the device.
    pub device: Option<&'a str>,
}

/// Where sockets are asked through the devices `named`, and with tags of `vlans` on them.
///
/// An untagged frame is for an address of the very device it comes in by: a device that takes tags off by itself would else be answered without. A
/// tagged one is for any address of this machine; sockets that are bound to a device do not hear it. Addresses that mean something else on
/// each link are left to the sockets.
#[must_use]
pub fn places(
    devices: &BTreeMap<String, Device>,
    named: &[&str],
    vlans: &[u16],
    sockets: &[Bound<'_>],
) -> Vec<Place> {
    let is_asked = |socket: &Bound<'_>, address: IpAddr| {
        let own = socket.address.ip();
        own == address || (own.is_unspecified() && own.is_ipv4() == address.is_ipv4())
    };
    let all: BTreeSet<IpAddr> =
        devices.values().flat_map(|device| device.addresses.iter().copied()).collect();
    let mut places = BTreeSet::new();
    for name in named {
        let Some(device) = devices.get(*name) else { continue };
        let (Some(mac), number) = (device.mac, device.number) else { continue };
        for socket in sockets {
            let port = socket.address.port();
            let mut add = |vlan, address: IpAddr| {
                if is_distinct(address) && is_asked(socket, address) {
                    places.insert(Place { device: number, vlan, address, port, mac });
                }
            };
            if socket.device.is_none_or(|bound| bound == *name) {
                device.addresses.iter().for_each(|address| add(None, *address));
            }
            if socket.device.is_none() {
                for vlan in vlans {
                    all.iter().for_each(|address| add(Some(*vlan), *address));
                }
            }
        }
    }
    places.into_iter().collect()
}

/// Whether an address is this machine's on every link.
fn is_distinct(address: IpAddr) -> bool {
    let is_of_a_link = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some()
        }
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_of_a_link)
}

/// The table, and how many places found no room in it.
pub(super) fn table(places: &[Place]) -> (Vec<u64>, usize) {
    let mut table = vec![0; PLACES * ENTRY];
    let mut left_out = 0;
    for place in places {
        let entry = place.entry();
        let [high, low, at, _] = entry;
        let hash = (high ^ low.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let first = (hash >> (64 - PLACES.ilog2())) as usize;
        let free = (0..PROBES)
            .map(|probe| (first + probe) % PLACES * ENTRY)
            .find(|start| table.get(*start + 2).is_some_and(|at| *at == 0));
        match free.and_then(|start| table.get_mut(start..start + ENTRY)) {
            Some(room) => room.copy_from_slice(&entry),
            None => left_out += 1,
        }
    }
    (table, left_out)
}

impl Place {
    /// Address (two words, as its octets lie in memory, IPv4 mapped into IPv6); device (32 bits), VLAN (16, all set for none), port (16, its octets
    /// as in a datagram); hardware address as its octets lie in memory.
    fn entry(&self) -> [u64; ENTRY] {
        let octets = match self.address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let [high, low] = [0, 8].map(|at| {
            octets
                .iter()
                .skip(at)
                .take(8)
                .rev()
                .fold(0, |word, octet| word << 8 | u64::from(*octet))
        });
        let vlan = self.vlan.unwrap_or(u16::MAX);
        let port = self.port.swap_bytes();
        let at = u64::from(self.device) | u64::from(vlan) << 32 | u64::from(port) << 48;
        let [a, b, c, d, e, f] = self.mac;
        [high, low, at, u64::from_le_bytes([a, b, c, d, e, f, 0, 0])]
    }
}

/// Entries of the table, words of each, and how many are looked at for one place.
const PLACES: usize = 512;
const ENTRY: usize = 4;
const PROBES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn device(number: u32, addresses: &[&str]) -> Device {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Device { number, mac: Some(MAC), addresses }
    }

    fn machine() -> BTreeMap<String, Device> {
        BTreeMap::from([
            ("lo".to_owned(), device(1, &["127.0.0.1", "::1"])),
            ("a".to_owned(), device(2, &["192.0.2.1", "fe80::1", "2001:db8::1"])),
            ("b".to_owned(), device(3, &["198.51.100.1", "169.254.1.1"])),
            ("tun".to_owned(), Device { mac: None, ..device(4, &["203.0.113.1"]) }),
        ])
    }

    fn check(named: &[&str], vlans: &[u16], sockets: &[(&str, Option<&str>)], expected: &[&str]) {
        let sockets: Vec<_> = sockets
            .iter()
            .map(|(address, device)| Bound { address: address.parse().unwrap(), device: *device })
            .collect();
        let found = places(&machine(), named, vlans, &sockets);
        let shown: Vec<_> = found
            .iter()
            .map(|place| {
                let tag = place.vlan.map(|vlan| format!(".{vlan}")).unwrap_or_default();
                format!("{}{tag} {}", place.device, SocketAddr::new(place.address, place.port))
            })
            .collect();
        assert_eq!(shown, expected, "{named:?} {vlans:?} {sockets:?}");
    }

    #[test]
    fn untagged_frames_are_for_addresses_of_their_device() {
        let all = [("0.0.0.0:123", None), ("[::]:123", None)];
        check(&["a"], &[], &all, &["2 192.0.2.1:123", "2 [2001:db8::1]:123"]);
        check(&["a", "b"], &[], &all[..1], &["2 192.0.2.1:123", "3 198.51.100.1:123"]);
        check(&["lo", "tun", "gone"], &[], &all, &[]);
        check(&["a"], &[], &[("192.0.2.1:1123", None)], &["2 192.0.2.1:1123"]);
        check(&["a"], &[], &[("192.0.2.9:123", None), ("198.51.100.1:123", None)], &[]);
    }

    #[test]
    fn sockets_bound_to_a_device_are_asked_there_only() {
        let bound = [("0.0.0.0:123", Some("b"))];
        check(&["a", "b"], &[5], &bound, &["3 198.51.100.1:123"]);
    }

    #[test]
    fn tagged_frames_are_for_every_address() {
        let expected =
            ["2 192.0.2.1:123", "2.5 192.0.2.1:123", "2.5 198.51.100.1:123", "2.5 203.0.113.1:123"];
        check(&["a"], &[5], &[("0.0.0.0:123", None)], &expected);
    }

    #[test]
    fn every_place_is_found_again_or_counted() {
        let place = |n: u32| Place {
            device: 2,
            vlan: None,
            address: std::net::Ipv4Addr::from(0xc000_0200 | n).into(),
            port: 123,
            mac: MAC,
        };
        let wanted: Vec<_> = (0..200).map(place).collect();
        let (words, left_out) = table(&wanted);
        let entries: Vec<_> = words.chunks(ENTRY).filter(|entry| entry[2] != 0).collect();
        assert_eq!(entries.len() + left_out, wanted.len());
        assert!(left_out < 3, "{left_out}");
        for place in wanted.iter().filter(|place| place.port == 123) {
            let count = entries.iter().filter(|entry| ***entry == place.entry()).count();
            assert!(count <= 1, "{place:?}");
        }
        let (_, left_out) = table(&(0..600).map(place).collect::<Vec<_>>());
        assert!(left_out >= 600 - PLACES, "{left_out}");
    }
}
