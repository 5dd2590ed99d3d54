//! Whom key establishment trusts: read by the launcher, who may read files, and used by the role that asks the sources, who may not.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use noonmark_client::Endpoint;
use noonmark_config::{Settings, Source};
use noonmark_nts::{ClientTls, TrustRoots, VerificationTime};
use noonmark_os::private::{self, Exposure};
use noonmark_os::{clock, sealed};
use noonmark_units::UnixTime;

use super::specs::Trust;
use crate::exit::{Failure, Status};

/// Certificates of authorities as they were found.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Authorities {
    /// The system's own, in DER, if a source needs them.
    system: Vec<Vec<u8>>,
    /// By the place of a source in the configuration its own file, in PEM.
    own: BTreeMap<u32, Vec<u8>>,
}

impl Authorities {
    /// Reads those of the system, if anybody needs them, and those of each source's own.
    ///
    /// # Errors
    /// [`Status::Configuration`] for a file of authorities that cannot be used.
    pub fn read(settings: &Settings) -> Result<Self, Failure> {
        let mut found = Self::default();
        for (place, source) in proven(settings) {
            if let Some(file) = &source.ca {
                found.own.insert(place, read_file(file)?);
            } else if found.system.is_empty() {
                found.system = read_system();
            }
        }
        Ok(found)
    }

    /// Puts them into a sealed file: of each certificate or file the place of its source (4; all ones for the system), its length (4), and
    /// itself.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn seal(&self) -> io::Result<OwnedFd> {
        let mut octets = Vec::new();
        let system = self.system.iter().map(|der| (SYSTEM, der));
        for (place, text) in system.chain(self.own.iter().map(|(place, pem)| (*place, pem))) {
            let len = u32::try_from(text.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            octets.extend_from_slice(&place.to_be_bytes());
            octets.extend_from_slice(&len.to_be_bytes());
            octets.extend_from_slice(text);
        }
        sealed::seal(c"noonmark-authorities", &octets)
    }

    /// Reads what the launcher sealed.
    ///
    /// # Errors
    /// [`Status::Internal`] for anything else.
    pub fn open(file: &OwnedFd) -> Result<Self, Failure> {
        let broken = |why: &dyn std::fmt::Display| {
            Failure::new(Status::Internal, format_args!("the authorities handed over: {why}"))
        };
        let octets = sealed::read(file.as_fd(), LONGEST).map_err(|error| broken(&error))?;
        let (mut found, mut rest) = (Self::default(), octets.as_slice());
        while !rest.is_empty() {
            let (place, text) = part(&mut rest).ok_or_else(|| broken(&"they end too early"))?;
            if place == SYSTEM {
                found.system.push(text);
            } else {
                found.own.insert(place, text);
            }
        }
        Ok(found)
    }

    /// Whom that is to trust, for the sources of `settings`.
    ///
    /// # Errors
    /// [`Status::Configuration`] for a file in which there is no authority.
    pub fn trust(&self, settings: &Settings) -> Result<Trust, Failure> {
        let mut own = BTreeMap::new();
        for (place, source) in proven(settings) {
            let Some(file) = &source.ca else { continue };
            let pem = self.own.get(&place).map(Vec::as_slice).unwrap_or_default();
            let mut roots = TrustRoots::new();
            roots.add_pem(pem).map_err(|error| unusable(file, &error))?;
            let tls = ClientTls::new(roots, MachineClock);
            for host in source.kind.hosts() {
                own.insert(Endpoint::new(host.as_str(), source.port), tls.clone());
            }
        }
        let mut roots = TrustRoots::new();
        for der in &self.system {
            // Old stores hold certificates that cannot be used; the others still can.
            let _ = roots.add_der(der);
        }
        let system = (!roots.is_empty()).then(|| ClientTls::new(roots, MachineClock));
        Ok(Trust { system, own })
    }
}

/// The sources that have to prove who they are, with their places.
fn proven(settings: &Settings) -> impl Iterator<Item = (u32, &Source)> {
    (0_u32..).zip(&settings.sources).filter(|(_, source)| source.kind.is_nts())
}

fn part(rest: &mut &[u8]) -> Option<(u32, Vec<u8>)> {
    let (place, after) = rest.split_first_chunk()?;
    let (len, after) = after.split_first_chunk()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (text, after) = after.split_at_checked(len)?;
    *rest = after;
    Some((u32::from_be_bytes(*place), text.to_vec()))
}

fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    let pem = private::read(file, Exposure::Public, LONGEST_PEM)
        .map_err(|error| unusable(file, &error))?;
    // What cannot be used is refused here, where the configuration still can be.
    TrustRoots::new().add_pem(&pem).map_err(|error| unusable(file, &error))?;
    Ok(pem.to_vec())
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> Failure {
    let reason = format_args!(
        "source.ca: no certificate authority can be read from {}: {why}",
        file.display()
    );
    Failure::new(Status::Configuration, reason)
}

fn read_system() -> Vec<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = TrustRoots::new();
    let usable = found.certs.iter().filter(|certificate| roots.add_der(certificate).is_ok());
    let usable: Vec<_> = usable.map(|certificate| certificate.to_vec()).collect();
    if usable.is_empty() {
        tracing::error!(
            "this system has no store of certificate authorities, so no NTS server can prove who it is: install the package \
             ca-certificates, or name a file with `ca` in [[source]]"
        );
    }
    usable
}

/// The machine's clock, which is never before the last time that is known to be over: the warden sees to that.
#[derive(Debug)]
struct MachineClock;

impl VerificationTime for MachineClock {
    fn now(&self) -> Option<UnixTime> {
        Some(clock::realtime())
    }
}

/// The place of what is the system's.
const SYSTEM: u32 = u32::MAX;
/// A system's whole store is less.
const LONGEST_PEM: u64 = 1 << 21;
/// And this is a file of that length for each of some sources.
const LONGEST: usize = 1 << 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_arrive_as_they_were_read() {
        let own = BTreeMap::from([(0, b"one".to_vec()), (7, vec![])]);
        for found in [
            Authorities::default(),
            Authorities { system: vec![vec![1; 900], vec![2]], own: own.clone() },
            Authorities { system: vec![], own },
        ] {
            let sealed = found.seal().expect("memory");
            assert_eq!(Authorities::open(&sealed).expect("whole"), found);
        }
    }

    #[test]
    fn what_is_cut_short_is_the_launchers_mistake() {
        for octets in [&b"\0"[..], b"\0\0\0\0\0\0\0", b"\0\0\0\0\0\0\0\x02x"] {
            let file = sealed::seal(c"test", octets).expect("memory");
            let failure = Authorities::open(&file).expect_err("cut short");
            assert_eq!(failure.status, Status::Internal, "{octets:?}");
        }
    }
}
