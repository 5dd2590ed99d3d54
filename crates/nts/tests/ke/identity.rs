//! Every kind of key in every wrapping, and what is said about those that cannot be used.

use noonmark_nts::{
    Aead, Identity, IdentityError, KeClient, KeServer, KeyKind, ServerPolicy, ServerTls,
};
use rcgen::KeyPair;
use std::sync::Arc;

use crate::wire::{Authority, NAME, Serving, World, carry};

const P256_SEC1: &str = include_str!("keys/p256-sec1.pem");
const P256_PKCS8: &str = include_str!("keys/p256-pkcs8.pem");
const P384_SEC1: &str = include_str!("keys/p384-sec1.pem");
const P384_PKCS8: &str = include_str!("keys/p384-pkcs8.pem");
const RSA_PKCS1: &str = include_str!("keys/rsa-pkcs1.pem");
const RSA_PKCS8: &str = include_str!("keys/rsa-pkcs8.pem");
const ED25519_PKCS8: &str = include_str!("keys/ed25519-pkcs8.pem");
const P521_SEC1: &str = include_str!("keys/p521-sec1.pem");
const ENCRYPTED_PKCS8: &str = include_str!("keys/encrypted-pkcs8.pem");
const ENCRYPTED_SEC1: &str = include_str!("keys/encrypted-sec1.pem");

/// A certificate for the key in `pkcs8`, with the authority it comes from.
fn issue(pkcs8: &str) -> (Authority, String) {
    let authority = Authority::new();
    let chain = authority.issue(&KeyPair::from_pem(pkcs8).expect("a key rcgen reads"), |_| ());
    (authority, chain)
}

#[test]
fn every_kind_of_key_in_every_wrapping_serves() {
    for (pkcs8, pem, kind) in [
        (P256_PKCS8, P256_PKCS8, KeyKind::EcdsaP256),
        (P256_PKCS8, P256_SEC1, KeyKind::EcdsaP256),
        (P384_PKCS8, P384_PKCS8, KeyKind::EcdsaP384),
        (P384_PKCS8, P384_SEC1, KeyKind::EcdsaP384),
        (RSA_PKCS8, RSA_PKCS8, KeyKind::Rsa),
        (RSA_PKCS8, RSA_PKCS1, KeyKind::Rsa),
        (ED25519_PKCS8, ED25519_PKCS8, KeyKind::Ed25519),
    ] {
        let (authority, chain) = issue(pkcs8);
        let identity = Identity::from_pem(chain.as_bytes(), pem.as_bytes())
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((identity.facts().key, identity.facts().certificates), (kind, 1));
        assert_eq!(identity.certificates().count(), 1);

        let world = World { authority, ..World::new() };
        let mut client =
            KeClient::new(&world.client_tls(), NAME, &[Aead::SivCmac256]).expect("a name");
        let mut serving = Serving::new(&world, ServerPolicy::default());
        let tls = ServerTls::new(&identity);
        serving.server =
            KeServer::new(&tls, Arc::default(), [192, 0, 2, 1].into()).expect("TLS begins");
        carry(&mut client, &mut serving, 16384);
        assert!(client.finish().is_ok(), "{kind}");
    }
}

#[test]
fn chain_and_key_may_stand_in_one_file() {
    let (authority, chain) = issue(P256_PKCS8);
    let file = format!("{P256_PKCS8}{chain}{}", authority.pem);
    let identity =
        Identity::from_pem(file.as_bytes(), file.as_bytes()).expect("they belong together");
    assert_eq!(identity.facts().certificates, 2);
}

#[test]
fn what_cannot_be_used_is_named() {
    let (_, chain) = issue(P256_PKCS8);
    let check = |chain: &str, key: &str, expected: &str| {
        let error = Identity::from_pem(chain.as_bytes(), key.as_bytes()).err().expect("refused");
        assert!(error.to_string().contains(expected), "{error} should contain {expected}");
        assert!(!error.to_string().contains("MHcCAQEE"), "no part of the key");
    };
    check("", P256_PKCS8, "no certificate in it");
    check(P256_PKCS8, P256_PKCS8, "no certificate in it");
    check(&chain, "", "no private key in it");
    check(&chain, &chain, "no private key in it");
    check(&chain, P384_PKCS8, "does not belong to the certificate");
    check(&chain, RSA_PKCS1, "does not belong to the certificate");
    check(&chain, ED25519_PKCS8, "does not belong to the certificate");
    check(&chain, P521_SEC1, "cannot be used");
    check(&chain, ENCRYPTED_PKCS8, "is encrypted");
    check(&chain, ENCRYPTED_SEC1, "is encrypted");
    check(&chain, &format!("{P256_PKCS8}{P384_PKCS8}"), "2 private keys in it");
    check(
        &chain,
        &P256_PKCS8.replace("-----END", "-----FIN"),
        "-----END PRIVATE KEY-----\" is missing",
    );
    check(&chain, &P256_PKCS8.replace("MIG", "MI!"), "not well-formed PEM");
    check(&chain, &RSA_PKCS1.replace("MIIE", "MIIF"), "cannot be used");
    check(&chain[..chain.len() / 2], P256_PKCS8, "is missing");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(nonsense, P256_PKCS8, "certificate 1 cannot be read");
    check(&format!("{chain}{nonsense}"), P256_PKCS8, "certificate 2 cannot be read");
}

#[test]
fn a_mismatch_is_its_own_error() {
    let (_, chain) = issue(P256_PKCS8);
    let error = Identity::from_pem(chain.as_bytes(), P384_SEC1.as_bytes()).err();
    assert_eq!(error, Some(IdentityError::Mismatch));
}
