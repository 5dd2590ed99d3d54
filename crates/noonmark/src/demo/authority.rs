//! A certificate authority that lives as long as the demonstration.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folder::write_private;
use noonmark_os::clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// The name in the server's certificate, for whoever else wants to ask.
pub(super) const HOST: &str = "localhost";
/// The address in it, which needs no resolver.
pub(super) const ADDRESS: &str = "127.0.0.1";

/// Makes an authority and a certificate for this machine in `folder`: [`ca_file`], [`certificate_file`], [`key_file`].
///
/// The authority's key is never written and is gone when this returns.
pub(super) fn make(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut params = CertificateParams::new(Vec::new())?;
    name(&mut params, "Noonmark demonstration, throw-away authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut params = CertificateParams::new([HOST, ADDRESS, "::1"].map(str::to_owned))?;
    name(&mut params, "Noonmark demonstration");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;

    write_private(&ca_file(folder), &authority.pem())?;
    write_private(&certificate_file(folder), &certificate.pem())?;
    write_private(&key_file(folder), &key.serialize_pem())?;
    Ok(())
}

/// The authority's certificate.
pub(super) fn ca_file(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

/// The server's certificate.
pub(super) fn certificate_file(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

/// The server's private key.
pub(super) fn key_file(folder: &Path) -> PathBuf {
    folder.join("key.pem")
}

/// Names the subject and makes the certificate valid from yesterday until the day after tomorrow.
fn name(params: &mut CertificateParams, common_name: &str) {
    const DAY: u64 = 86_400;
    let now = clock::realtime().seconds.unsigned_abs();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(DAY));
    params.not_after = epoch + Duration::from_secs(now + 2 * DAY);
    params.distinguished_name.push(DnType::CommonName, common_name);
}
