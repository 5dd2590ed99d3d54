//! What a server's certificate says, for people and monitors.

use std::fmt::Write;
use std::net::IpAddr;

use noonmark_units::UnixTime;
use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// The facts of one X.509 certificate (RFC 5280).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CertificateFacts {
    /// The names it is for: DNS names and addresses of the subject alternative name.
    pub names: Vec<String>,
    /// The subject as a distinguished name; may be empty.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// First instant it is valid, RFC 3339.
    pub not_before: String,
    /// Last instant it is valid, RFC 3339.
    pub not_after: String,
    /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal: what a pin is made of.
    pub spki_sha256: String,
    /// The validity in seconds since 1970, for comparing.
    #[serde(skip)]
    pub(crate) validity: (i64, i64),
}

impl CertificateFacts {
    /// Reads a certificate in DER; `None` if it is none, which a verified one cannot be.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let names = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
            .unwrap_or_default();
        Some(Self {
            names,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: rfc3339(validity.not_before),
            not_after: rfc3339(validity.not_after),
            spki_sha256: sha256_hex(certificate.public_key().raw),
            validity: (validity.not_before.timestamp(), validity.not_after.timestamp()),
        })
    }

    /// Whether it is valid at `time`.
    #[must_use]
    pub fn covers(&self, time: UnixTime) -> bool {
        (self.validity.0..=self.validity.1).contains(&time.seconds)
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match *octets {
            [_, _, _, _] => {
                <[u8; 4]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string())
            }
            _ => <[u8; 16]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
        },
        _ => None,
    }
}

fn rfc3339(time: ASN1Time) -> String {
    let whole = UnixTime { seconds: time.timestamp(), nanos: 0 }.to_string();
    whole.replace(".000000000", "")
}

fn sha256_hex(octets: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, octets);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    #[test]
    fn the_facts_of_a_certificate_are_read() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![
            "time.example".to_owned(),
            "192.0.2.1".to_owned(),
            "::1".to_owned(),
        ])
        .expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2040, 1, 2);
        params.distinguished_name.push(rcgen::DnType::CommonName, "a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let facts = CertificateFacts::read(certificate.der()).expect("facts");
        assert_eq!(facts.names, ["time.example", "192.0.2.1", "::1"]);
        assert!(facts.subject.contains("a name") && facts.issuer.contains("a name"));
        assert_eq!(facts.not_before, "2026-01-02T00:00:00Z");
        assert_eq!(facts.not_after, "2040-01-02T00:00:00Z");
        assert_eq!(facts.spki_sha256, sha256_hex(&key.subject_public_key_info()));
        assert!(facts.covers(UnixTime { seconds: 1_800_000_000, nanos: 0 }));
        assert!(!facts.covers(UnixTime { seconds: 2_300_000_000, nanos: 0 }));
        assert!(!facts.covers(UnixTime { seconds: 0, nanos: 0 }));
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        assert_eq!(CertificateFacts::read(b"nonsense"), None);
    }
}
