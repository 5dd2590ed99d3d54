//! Certificates of a run: an authority the client is told to trust, and what it must not trust.

use std::net::IpAddr;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What is right or wrong with a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Certificate {
    /// Nothing is wrong with it.
    Good,
    /// It is for another name and another address.
    OtherName,
    /// Its name stands in the common name only, not among the alternative names.
    CommonNameOnly,
    /// It was valid until 2021.
    Expired,
    /// It will be valid in two years.
    NotYetValid,
    /// Its authority is one the client does not know.
    Unknown,
    /// It is for TLS clients.
    ForClients,
    /// Its authority is under the known one, and is not sent along.
    IntermediateMissing,
}

/// A chain and its key, as rustls takes them.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The authority of a run. It and its keys are gone with it; only its certificate is written anywhere.
pub struct Authority {
    known: CertifiedIssuer<'static, KeyPair>,
    unknown: CertifiedIssuer<'static, KeyPair>,
    between: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new one (ECDSA P-256).
    ///
    /// # Errors
    /// What the certificate library says.
    pub fn new() -> Result<Self, rcgen::Error> {
        let known = CertifiedIssuer::self_signed(
            issuer("Noonmark prober authority"),
            KeyPair::generate()?,
        )?;
        let unknown =
            CertifiedIssuer::self_signed(issuer("Noonmark prober stranger"), KeyPair::generate()?)?;
        let between = CertifiedIssuer::signed_by(
            issuer("Noonmark prober intermediate"),
            KeyPair::generate()?,
            &known,
        )?;
        Ok(Self { known, unknown, between })
    }

    /// Its certificate, which the client under test is told to trust, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.known.pem()
    }

    /// A certificate for this address, and this name where there is one, right or wrong.
    ///
    /// # Errors
    /// What the certificate library says.
    pub fn identity(
        &self,
        kind: Certificate,
        address: IpAddr,
        name: Option<&str>,
    ) -> Result<Identity, rcgen::Error> {
        let mut params = CertificateParams::default();
        let own = name.map_or_else(|| address.to_string(), str::to_owned);
        params.distinguished_name.push(DnType::CommonName, own);
        match kind {
            Certificate::OtherName => {
                params.subject_alt_names = vec![SanType::DnsName("other.invalid".try_into()?)];
            }
            Certificate::CommonNameOnly => {}
            _ => {
                params.subject_alt_names = vec![SanType::IpAddress(address)];
                if let Some(name) = name {
                    params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
                }
            }
        }
        (params.not_before, params.not_after) = match kind {
            Certificate::Expired => {
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1))
            }
            Certificate::NotYetValid => (
                rcgen::date_time_ymd(this_year() + 2, 1, 1),
                rcgen::date_time_ymd(this_year() + 3, 1, 1),
            ),
            _ => (
                rcgen::date_time_ymd(this_year() - 1, 1, 1),
                rcgen::date_time_ymd(this_year() + 2, 1, 1),
            ),
        };
        let purpose = match kind {
            Certificate::ForClients => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        };
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let by = match kind {
            Certificate::Unknown => &self.unknown,
            Certificate::IntermediateMissing => &self.between,
            _ => &self.known,
        };
        let chain = vec![params.signed_by(&key, by)?.der().clone()];
        Ok((chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }
}

fn issuer(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(this_year() - 1, 1, 1), rcgen::date_time_ymd(this_year() + 2, 1, 1));
    params
}

/// By this machine's clock, give or take a day.
fn this_year() -> i32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Years of the Gregorian calendar have 31 556 952 s on average.
    i32::try_from(1970 + since.as_secs() / 31_556_952).unwrap_or(1970)
}
