use core::fmt::Write;
use core::net::IpAddr;

use noonmark_units::UnixTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What one X.509 certificate says (RFC 5280), for people and monitors; nothing here decides whom to trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// The names it is for: DNS names and addresses of the subject alternative name.
    pub names: Vec<String>,
    /// The subject as a distinguished name; may be empty.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// When it is valid.
    pub period: ValidityPeriod,
    /// SHA-256 of the SubjectPublicKeyInfo: what a pin is made of.
    pub spki_sha256: [u8; 32],
}

/// From when to when something is valid, both ends included (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ValidityPeriod {
    /// The first instant.
    pub not_before: UnixTime,
    /// The last second.
    pub not_after: UnixTime,
}

/// How an instant lies to a [`ValidityPeriod`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity {
    /// Before it.
    NotYetValid,
    /// Inside it.
    Valid,
    /// Inside it, and so near to its end that a renewal should have happened: less than 14 days, or less than a third of the whole
    /// period if that is shorter.
    EndsSoon,
    /// After it.
    Expired,
}

impl CertificateFacts {
    /// Reads a certificate in DER; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
            .unwrap_or_default();
        let time = |time: x509_parser::time::ASN1Time| UnixTime::new(time.timestamp(), 0);
        let validity = certificate.validity();
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate.public_key().raw);
        Some(Self {
            names,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            period: ValidityPeriod {
                not_before: time(validity.not_before),
                not_after: time(validity.not_after),
            },
            spki_sha256: digest.as_ref().try_into().ok()?,
        })
    }

    /// The SHA-256 of the SubjectPublicKeyInfo in hexadecimal, 64 digits.
    pub fn spki_hex(&self) -> String {
        self.spki_sha256.iter().fold(String::with_capacity(64), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        })
    }
}

impl ValidityPeriod {
    /// How `now` lies to it.
    pub fn at(&self, now: UnixTime) -> Validity {
        let whole = self.not_after.seconds.saturating_sub(self.not_before.seconds);
        let left = self.not_after.seconds.saturating_sub(now.seconds);
        match () {
            () if now.seconds < self.not_before.seconds => Validity::NotYetValid,
            () if left < 0 => Validity::Expired,
            () if left < SOON.min(whole / 3) => Validity::EndsSoon,
            () => Validity::Valid,
        }
    }

    /// When both are valid: a chain is as valid as all its certificates.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }
}

impl Validity {
    /// A short fixed name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotYetValid => "not-yet-valid",
            Self::Valid => "valid",
            Self::EndsSoon => "ends-soon",
            Self::Expired => "expired",
        }
    }
}

/// 14 days in seconds: whoever renews a month before the end has been failing for two weeks.
const SOON: i64 = 14 * 86_400;

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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    #[test]
    fn the_facts_of_a_certificate_are_read() {
        let key = KeyPair::generate().expect("a key");
        let names = ["time.example", "192.0.2.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2040, 1, 2);
        params.distinguished_name.push(rcgen::DnType::CommonName, "a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let facts = CertificateFacts::read(certificate.der()).expect("facts");
        assert_eq!(facts.names, ["time.example", "192.0.2.1", "::1"]);
        assert!(facts.subject.contains("a name") && facts.issuer.contains("a name"));
        assert_eq!(facts.period.not_before.to_string(), "2026-01-02T00:00:00.000000000Z");
        assert_eq!(facts.period.not_after.to_string(), "2040-01-02T00:00:00.000000000Z");
        let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
        assert_eq!(facts.spki_sha256, digest.as_ref());
        assert_eq!(facts.spki_hex().get(..2), Some(&*format!("{:02x}", facts.spki_sha256[0])));
        assert_eq!(CertificateFacts::read(b"nonsense"), None);
    }

    #[test]
    fn an_instant_lies_before_in_near_the_end_or_after() {
        const DAY: i64 = 86_400;
        let period = |from: i64, to: i64| ValidityPeriod {
            not_before: UnixTime::new(from, 0),
            not_after: UnixTime::new(to, 0),
        };
        let check = |period: ValidityPeriod, now, expected: Validity| {
            assert_eq!(period.at(UnixTime::new(now, 1)), expected, "{period:?} at {now}");
        };
        let quarter = period(0, 90 * DAY);
        check(quarter, -1, Validity::NotYetValid);
        check(quarter, 0, Validity::Valid);
        check(quarter, 76 * DAY, Validity::Valid);
        check(quarter, 76 * DAY + 1, Validity::EndsSoon);
        check(quarter, 90 * DAY, Validity::EndsSoon);
        check(quarter, 90 * DAY + 1, Validity::Expired);
        // One that lives for six days is renewed when a third of them is left.
        check(period(0, 6 * DAY), 4 * DAY, Validity::Valid);
        check(period(0, 6 * DAY), 4 * DAY + 1, Validity::EndsSoon);
        check(period(i64::MIN, i64::MAX), 0, Validity::Valid);
        assert_eq!(quarter.and(period(DAY, 100 * DAY)), period(DAY, 90 * DAY));
    }
}
