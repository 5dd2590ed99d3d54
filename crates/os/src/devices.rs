//! The network devices of this machine (of this network namespace), with their addresses.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Device {
    /// Its number, at least 1.
    pub number: u32,
    /// Its hardware address, where that has six octets.
    pub mac: Option<[u8; 6]>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// All devices by their names.
///
/// # Errors
/// What the kernel answers.
pub fn devices() -> io::Result<BTreeMap<String, Device>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `first` is a live place for a pointer, which the call writes.
    crate::checked(unsafe { libc::getifaddrs(&raw mut first) })?;
    let mut devices = BTreeMap::<String, Device>::new();
    let mut next = first;
    // SAFETY: `next` is null or one of the entries of the list, all of which live until `freeifaddrs` below.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: each entry has a name that ends in a zero octet and lives as long as the entry.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        let Ok(name) = name.to_str() else { continue };
        // SAFETY: an address is null or lives as long as the entry; its family, which every address has, says what it is, so each is looked at as
        // what it was made as. It may be less aligned than our type, hence the unaligned reads.
        unsafe {
            let Some(family) = entry.ifa_addr.as_ref().map(|address| i32::from(address.sa_family))
            else {
                continue;
            };
            let device = devices.entry(name.to_owned()).or_default();
            match family {
                libc::AF_INET => {
                    let address = entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                    let octets = address.sin_addr.s_addr.to_ne_bytes();
                    device.addresses.push(Ipv4Addr::from(octets).into());
                }
                libc::AF_INET6 => {
                    let address = entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                    device.addresses.push(Ipv6Addr::from(address.sin6_addr.s6_addr).into());
                }
                libc::AF_PACKET => {
                    let address = entry.ifa_addr.cast::<libc::sockaddr_ll>().read_unaligned();
                    device.number = u32::try_from(address.sll_ifindex).unwrap_or(0);
                    let [mac @ .., _, _] = address.sll_addr;
                    device.mac = (address.sll_halen == 6).then_some(mac);
                }
                _ => {}
            }
        }
    }
    // SAFETY: the list comes from `getifaddrs` and nothing borrows from it any more.
    unsafe { libc::freeifaddrs(first) };
    devices.retain(|_, device| device.number > 0);
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_there_with_its_address() {
        let devices = devices().expect("kernel");
        let loopback = devices.get("lo").expect("always there");
        assert!(loopback.number > 0, "{loopback:?}");
        assert_eq!(loopback.mac, Some([0; 6]));
        assert!(loopback.addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{loopback:?}");
    }
}
