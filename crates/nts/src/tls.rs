use core::fmt;
use std::sync::Arc;

use noonmark_units::UnixTime;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ConnectionCommon, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::aead::Aead;
use crate::identity::{Identity, IdentityError};
use crate::key::SessionKeys;

/// The ALPN protocol of NTS key establishment (RFC 8915 §4): `6e 74 73 6b 65 2f 31`.
pub const ALPN: &[u8] = b"ntske/1";

/// The exporter label of RFC 8915 §4.3.
pub const EXPORTER_LABEL: &[u8; 30] = b"EXPORTER-network-time-security";

/// A server's side of TLS, made once and shared by all its sessions: TLS 1.3 only, ALPN `ntske/1` or nothing, no tickets,
/// no session store, no early data.
#[derive(Clone)]
pub struct ServerTls(pub(crate) Arc<ServerConfig>);

impl ServerTls {
    /// For sessions that show this identity.
    pub fn new(identity: &Identity) -> Self {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(TLS13)
            .expect("the provider has TLS 1.3 suites")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OnlyForKe(identity.certified_key())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Self(Arc::new(config))
    }
}

/// Shows the certificate only to who speaks ALPN; for the others the handshake ends with an alert. (A list without our
/// protocol passes here and meets alert 120 a moment later.)
#[derive(Debug)]
struct OnlyForKe(Arc<CertifiedKey>);

impl ResolvesServerCert for OnlyForKe {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.alpn().map(|_| Arc::clone(&self.0))
    }
}

/// Tells the time certificates are verified at: a clock that is about to be set may be the last to trust.
pub trait VerificationTime: fmt::Debug + Send + Sync {
    /// The time to judge validity by; `None` refuses every certificate.
    fn now(&self) -> Option<UnixTime>;
}

#[derive(Debug)]
struct Judge<T>(T);

impl<T: VerificationTime> TimeProvider for Judge<T> {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        let seconds = u64::try_from(self.0.now()?.seconds).ok()?;
        Some(rustls_pki_types::UnixTime::since_unix_epoch(core::time::Duration::from_secs(seconds)))
    }
}

/// The certificates a client trusts.
#[derive(Clone, Debug)]
pub struct TrustRoots(RootCertStore);

impl Default for TrustRoots {
    fn default() -> Self {
        Self(RootCertStore::empty())
    }
}

impl TrustRoots {
    /// Trusts nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds every certificate of a PEM file and returns how many there were.
    ///
    /// # Errors
    /// [`IdentityError::NoCertificate`] for a file without one, [`IdentityError::Pem`] and
    /// [`IdentityError::Certificate`] for what cannot be read.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<usize, IdentityError> {
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(IdentityError::pem)?;
            self.0.add(certificate).map_err(|error| IdentityError::Certificate {
                at: added,
                why: error.to_string(),
            })?;
            added += 1;
        }
        if added == 0 { Err(IdentityError::NoCertificate) } else { Ok(added) }
    }

    /// Adds one certificate as DER, as the stores of operating systems hand them out.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`] when it cannot be read.
    pub fn add_der(&mut self, der: &[u8]) -> Result<(), IdentityError> {
        let certificate = CertificateDer::from(der.to_vec());
        self.0
            .add(certificate)
            .map_err(|error| IdentityError::Certificate { at: 0, why: error.to_string() })
    }

    /// How many certificates are trusted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A client's side of TLS, made once and shared by all its sessions: TLS 1.3 only, ALPN `ntske/1`, no resumption, no
/// early data; chain and subject alternative name are verified (RFC 8915 §8.5).
#[derive(Clone)]
pub struct ClientTls(pub(crate) Arc<ClientConfig>);

impl ClientTls {
    /// Trusting `roots`, judging validity by the time `time` tells.
    pub fn new(roots: TrustRoots, time: impl VerificationTime + 'static) -> Self {
        let mut config = ClientConfig::builder_with_details(provider(), Arc::new(Judge(time)))
            .with_protocol_versions(TLS13)
            .expect("the provider has TLS 1.3 suites")
            .with_root_certificates(roots.0)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Self(Arc::new(config))
    }
}

impl ClientTls {
    /// The same, judging validity by `time`: for a clock that is not right yet.
    #[must_use]
    pub fn judging_at(&self, time: UnixTime) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.time_provider = Arc::new(Judge(Instant(time)));
        Self(Arc::new(config))
    }
}

/// Always the same time.
#[derive(Debug)]
struct Instant(UnixTime);

impl VerificationTime for Instant {
    fn now(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

/// Why TLS failed.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsError(pub(crate) rustls::Error);

impl TlsError {
    /// Whether the peer's certificate was not accepted: path, name or validity, or no time to judge it by.
    pub fn is_certificate(&self) -> bool {
        matches!(
            self.0,
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::FailedToGetCurrentTime
        )
    }

    /// When the certificate that was refused for the time alone would be accepted: the instant nearest to the one it was judged at.
    pub fn valid_at(&self) -> Option<UnixTime> {
        use rustls::CertificateError::{ExpiredContext, NotValidYetContext};
        let time = match &self.0 {
            rustls::Error::InvalidCertificate(NotValidYetContext { not_before, .. }) => not_before,
            rustls::Error::InvalidCertificate(ExpiredContext { not_after, .. }) => not_after,
            _ => return None,
        };
        Some(UnixTime::new(i64::try_from(time.as_secs()).ok()?, 0))
    }

    /// Whether no TLS version is shared: the peer does not offer TLS 1.3 (RFC 8915 §3).
    pub fn is_version(&self) -> bool {
        use rustls::PeerIncompatible as Peer;
        matches!(
            self.0,
            rustls::Error::PeerIncompatible(
                Peer::Tls12NotOfferedOrEnabled
                    | Peer::Tls12NotOffered
                    | Peer::SupportedVersionsExtensionRequired
                    | Peer::ServerDoesNotSupportTls12Or13
            )
        )
    }

    /// Whether the peer offers no protocol, or others than `ntske/1` (RFC 8915 §4).
    pub fn is_alpn(&self) -> bool {
        match &self.0 {
            rustls::Error::NoApplicationProtocol => true,
            // rustls's words for a certificate that `OnlyForKe` did not show; a test holds them.
            rustls::Error::General(why) => why == "no server certificate chain resolved",
            _ => false,
        }
    }

    /// Whether the peer sent an alert, that is, refused us.
    pub fn is_alert(&self) -> bool {
        matches!(self.0, rustls::Error::AlertReceived(_))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for TlsError {}

/// The context of the exporter for keys from client to server: NTPv4, the AEAD number, 0 (RFC 8915 §5.1).
/// The other direction has 1 in the last octet.
pub const fn exporter_context(id: u16, server_to_client: bool) -> [u8; 5] {
    let [high, low] = id.to_be_bytes();
    [0, 0, high, low, server_to_client as u8]
}

/// Exports both keys for `aead` with `context_id` in the context: its own number, or 15 beside AEAD 30 as chrony does.
pub(crate) fn export<D>(
    tls: &ConnectionCommon<D>,
    aead: Aead,
    context_id: u16,
) -> Result<SessionKeys, TlsError> {
    let export_one = |server_to_client| {
        let room = Zeroizing::new(vec![0; aead.key_len()]);
        let context = exporter_context(context_id, server_to_client);
        export_into(tls, room, &context)
    };
    let (c2s, s2c) = (export_one(false)?, export_one(true)?);
    Ok(SessionKeys::new(aead, &c2s, &s2c).expect("exported in the algorithm's length"))
}

fn export_into<D>(
    tls: &ConnectionCommon<D>,
    mut room: Zeroizing<Vec<u8>>,
    context: &[u8],
) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    tls.export_keying_material(room.as_mut_slice(), EXPORTER_LABEL, Some(context))
        .map_err(TlsError)?;
    Ok(room)
}

/// The number that goes into the exporter context (chrony's record 1024; RFC 8915 §5.1 knows only the AEAD's own).
pub(crate) fn context_id(aead: Aead, compliant_export: bool) -> u16 {
    match aead {
        Aead::Aes128GcmSiv if !compliant_export => Aead::SivCmac256.id(),
        _ => aead.id(),
    }
}

/// Chain and key as the provider wants them; the only place a private key is read.
pub(crate) fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// RFC 8915 §3: nothing before 1.3.
const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exporter_contexts_are_the_known_octets() {
        assert_eq!(exporter_context(15, false), [0, 0, 0, 15, 0]);
        assert_eq!(exporter_context(15, true), [0, 0, 0, 15, 1]);
        assert_eq!(exporter_context(30, false), [0, 0, 0, 30, 0]);
        assert_eq!(exporter_context(30, true), [0, 0, 0, 30, 1]);
    }

    #[test]
    fn the_context_names_the_agreed_aead_but_for_30_without_record_1024() {
        let check = |aead, compliant, id| assert_eq!(context_id(aead, compliant), id);
        check(Aead::SivCmac256, false, 15);
        check(Aead::SivCmac512, false, 17);
        check(Aead::Aes128GcmSiv, true, 30);
        check(Aead::Aes128GcmSiv, false, 15);
    }
}
