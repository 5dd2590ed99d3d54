use std::sync::{Arc, OnceLock};

use noonmark_nts::{
    Agreement, ClientTls, Identity, KeClient, KeError, KeRequest, KeServer, Outcome, ServerPolicy,
    ServerTls, TrustRoots, VerificationTime,
};
use noonmark_units::UnixTime;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::cookie::{CURRENT, keys_of};
use crate::{Fault, Input};

/// Target `establishment`: `octets` plan a key establishment between our client and our server: what is offered, in what pieces the octets
/// travel, which of them are damaged, lost or made up, and when one of the two hangs up or runs out of time.
///
/// # Panics
/// If either side goes on without end or has a result without having finished; if an undisturbed session ends without an agreement it
/// must have, or with keys that are not in the cookies; or if a disturbed one ends in keys the two do not share.
pub fn establishment(octets: &[u8]) {
    establishment_through(octets, &|_, _| {});
}

/// [`establishment`] with `fault` applied to cookies before they are looked at.
///
/// # Panics
/// As [`establishment`].
pub fn establishment_through(octets: &[u8], fault: Fault<'_>) {
    let mut plan = Input::new(octets);
    let world = World::get();
    let request = request(&mut plan);
    let mut client = KeClient::with_request(&world.client, NAME, &request).expect("a name");
    let policy = ServerPolicy { cookies: 1 + plan.below(8), ..ServerPolicy::default() };
    let peer = [192, 0, 2, 1].into();
    let mut server = KeServer::new(&world.server, Arc::new(policy), peer).expect("TLS begins");
    let is_disturbed = carry(&mut client, &mut server, &mut plan);
    let agreed = client.finish();
    match (server.outcome(), &agreed) {
        (Some(Outcome::Served { aead, .. }), Ok(agreement)) => {
            assert_eq!(*aead, agreement.keys.aead());
            check_cookies(agreement, fault);
        }
        (_, Ok(_)) => panic!("an agreement with a server that knows of none"),
        (Some(Outcome::Served { .. }), Err(error)) => assert!(is_disturbed, "{error}"),
        (_, Err(error)) => assert!(
            is_disturbed
                || matches!(
                    error,
                    KeError::NoSharedAead | KeError::NoSharedProtocol | KeError::Refused(_)
                ),
            "{error}"
        ),
    }
}

fn check_cookies(agreement: &Agreement, fault: Fault<'_>) {
    assert!(!agreement.cookies.is_empty());
    for cookie in &agreement.cookies {
        let mut cookie = cookie.clone();
        fault("cookie agreed", &mut cookie);
        let keys = keys_of(CURRENT).open(&cookie).expect("the server's own");
        assert!(keys.c2s() == agreement.keys.c2s() && keys.s2c() == agreement.keys.s2c());
    }
}

fn request(plan: &mut Input<'_>) -> KeRequest {
    let bits = plan.octet();
    let known = [15, 17, 30, plan.number()];
    let aeads =
        known.into_iter().enumerate().filter(|(nth, _)| bits >> nth & 1 != 0).map(|(_, id)| id);
    KeRequest {
        aeads: aeads.collect(),
        compliant_export: bits & 16 != 0,
        ..KeRequest::offering(&[])
    }
}

/// Moves octets to and fro as planned, and then, undisturbed, until nothing moves. Whether anything was damaged, lost, or ended early.
fn carry(client: &mut KeClient, server: &mut KeServer, plan: &mut Input<'_>) -> bool {
    let keys = keys_of(CURRENT);
    let mut random = |out: &mut [u8]| out.fill(0x5a);
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut is_disturbed = false;
    client.process();
    for round in 0.. {
        assert!(round < MOST_ROUNDS, "there is no end of it");
        while client.wants_write() {
            client.write_tls(&mut to_server).expect("into memory");
        }
        while server.wants_write() {
            server.write_tls(&mut to_client).expect("into memory");
        }
        let is_planned = !plan.is_empty();
        if !is_planned && to_server.is_empty() && to_client.is_empty() {
            break;
        }
        let kind = if is_planned { plan.octet() } else { 0 };
        let size = if is_planned { 1 + usize::from(plan.number()) } else { 1 << 16 };
        let damage = |octets: &mut Vec<u8>, plan: &mut Input<'_>| match kind >> 2 & 7 {
            5 if !octets.is_empty() => {
                let at = usize::from(plan.number()) % octets.len();
                let flip = plan.octet();
                octets[at] ^= flip;
                flip != 0
            }
            6 => !std::mem::take(octets).is_empty(),
            7 => {
                let made_up = plan.at_most(64);
                octets.extend_from_slice(made_up);
                !made_up.is_empty()
            }
            _ => false,
        };
        if kind & 1 == 0 {
            is_disturbed |= damage(&mut to_server, plan);
            deliver(&mut to_server, size, |octets| {
                server.wants_read() && server.read_tls(octets).is_ok()
            });
            let issuer = if kind & 0xc0 == 0xc0 { None } else { keys.issuer() };
            is_disturbed |= issuer.is_none();
            server.process(issuer, &mut random);
        }
        if kind & 1 == 1 || !is_planned {
            is_disturbed |= damage(&mut to_client, plan);
            deliver(&mut to_client, size, |octets| {
                client.wants_read() && client.read_tls(octets).is_ok()
            });
            client.process();
        }
        if is_planned && kind & 0x23 == 0x22 {
            is_disturbed = true;
            match plan.octet() % 4 {
                0 => client.handle_timeout(),
                1 => server.handle_timeout(),
                2 => client.peer_closed(),
                _ => server.peer_closed(),
            }
        }
    }
    is_disturbed
}

/// Hands over at most so many octets; those nobody wants any more are gone.
fn deliver(octets: &mut Vec<u8>, size: usize, mut take: impl FnMut(&mut &[u8]) -> bool) {
    let rest = octets.split_off(size.min(octets.len()));
    let mut piece = &octets[..];
    while !piece.is_empty() && take(&mut piece) {}
    let left = piece.len();
    let taken = octets.len() - left;
    let mut kept = octets.split_off(taken);
    if left > 0 && taken == 0 {
        kept.clear();
    }
    kept.extend(rest);
    *octets = kept;
}

/// One identity and one authority for all inputs.
struct World {
    client: ClientTls,
    server: ServerTls,
}

impl World {
    fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = params.self_signed(&key).expect("signed");
            let issuer = Issuer::new(params, key);
            let own = KeyPair::generate().expect("a key");
            let leaf = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
            let leaf = leaf.signed_by(&own, &issuer).expect("signed");
            let (chain, pem) = (leaf.pem(), own.serialize_pem());
            let identity = Identity::from_pem(chain.as_bytes(), pem.as_bytes());
            let mut roots = TrustRoots::new();
            roots.add_pem(authority.pem().as_bytes()).expect("our own");
            Self {
                client: ClientTls::new(roots, AlwaysNow),
                server: ServerTls::new(&identity.expect("they belong together")),
            }
        })
    }
}

/// Within the years that certificates are made for.
#[derive(Debug)]
struct AlwaysNow;

impl VerificationTime for AlwaysNow {
    fn now(&self) -> Option<UnixTime> {
        Some(UnixTime::new(1_800_000_000, 0))
    }
}

const NAME: &str = "nts.example";
const MOST_ROUNDS: usize = 20_000;
