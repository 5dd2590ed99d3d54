//! A throw-away authority and a P-256 certificate for the name [`NAME`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// File in the folder: the authority's certificate.
pub const AUTHORITY: &str = "ca.pem";
/// File in the folder: the server's certificate.
pub const CHAIN: &str = "chain.pem";
/// File in the folder: the server's private key, PKCS #8.
pub const KEY: &str = "key.pem";
/// The name in the certificate.
pub const NAME: &str = "localhost";

/// Makes all three in `folder`.
///
/// # Errors
/// What the file system says.
pub fn make(folder: &Path) -> Result<(), String> {
    let (authority, chain, key) = sign().map_err(|e| format!("certificate: {e}"))?;
    let write = |name: &str, text: String, mode| {
        let path = folder.join(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|e| format!("{}: {e}", path.display()))
    };
    write(AUTHORITY, authority, 0o644)?;
    write(CHAIN, chain, 0o644)?;
    write(KEY, key, 0o600)
}

/// The authority's certificate, the server's, and the server's key, as PEM. Keys are ECDSA on P-256, rcgen's default.
fn sign() -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([NAME.to_owned()])?.signed_by(&key, &issuer)?;
    Ok((authority_certificate.pem(), certificate.pem(), key.serialize_pem()))
}
