//! The role that establishes keys over TLS: [`noonmark_ke`] between the launcher's messages.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use noonmark_config::{Nts, Settings};
use noonmark_ke::{Counter, Counters, Frontend, SeatLimits, Terms};
use noonmark_nts::{Aead, CookieKeys, Identity, NtpServer, ServerPolicy, ServerTls};
use noonmark_os::page::CounterPage;
use noonmark_os::pulse::{BEAT_EVERY, Pulse};
use noonmark_os::random::RandomPool;
use noonmark_os::{clock, sealed};
use noonmark_server::Action;

use crate::confinement::Kept;
use crate::exit::{Failure, Status};
use crate::link::Incoming;
use crate::message::{KeySet, Message, Protocol, Text};
use crate::ntp::access_rules;
use crate::role::Role;
use crate::station::{Collected, Ending, Station};

/// Serves until told to stop.
///
/// # Errors
/// [`Ending::Stopped`], or why it cannot go on.
pub fn run(station: &mut Station) -> Result<(), Ending> {
    station.confine(&Kept::default())?;
    let (mut sockets, mut keys, mut identity, mut ntp_port) = (None, None, None, None);
    let mut collected = Collected::default();
    while sockets.is_none() || keys.is_none() || identity.is_none() {
        match station.wait()? {
            Incoming { message: Message::Sockets { first, count }, descriptors } => {
                sockets = collected.add(first, count, descriptors)?;
            }
            // The first address of NTP is the one clients are sent to.
            Incoming { message: Message::Listening(listening), .. }
                if listening.protocol == Protocol::Ntp =>
            {
                ntp_port.get_or_insert(listening.address.port());
            }
            Incoming { message: Message::Listening(_), .. } => {}
            Incoming { message: Message::CookieKeys(set), .. } => keys = Some(expand(&set)),
            Incoming { message: Message::Identity { .. }, descriptors } => {
                identity = Some(open_identity(&descriptors)?);
            }
            Incoming { message, .. } => return Err(Ending::unexpected(&message)),
        }
    }
    let (Some(sockets), Some(identity)) = (sockets, identity) else { return Ok(()) };
    let mut pool =
        RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
    let terms = terms(&station.settings, ntp_port)?;
    let frontend = Frontend::new(
        ServerTls::new(&identity),
        terms,
        Box::new(move |out: &mut [u8]| pool.fill(out)),
    );
    frontend.set_cookie_keys(keys);
    let page = CounterPage::new(c"noonmark-ke-counters", Counter::COUNT)
        .map_err(Failure::while_doing(Status::System, "the counter page"))?;
    let page = Arc::new(page);
    station.tell(&Message::CounterPage { role: Role::Ke }, &[page.descriptor()])?;
    let pulse = station.show_pulse(1)?;
    let failed = serve_in_a_thread(&frontend, sockets, page, pulse)?;
    station.ready()?;
    let ending = listen(station, &frontend, &failed);
    // What is under way is bounded in time anyway; most of it takes milliseconds.
    let deadline = clock::monotonic() + FINISH_WITHIN;
    while frontend.sessions() > 0 && clock::monotonic() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    ending
}

/// Starts the thread that accepts and serves. It ends only by an error, which then waits in the channel.
fn serve_in_a_thread(
    frontend: &Frontend,
    sockets: Vec<OwnedFd>,
    page: Arc<CounterPage>,
    pulse: Arc<Pulse>,
) -> Result<mpsc::Receiver<Failure>, Failure> {
    let (report, failed) = mpsc::channel();
    let listeners: Vec<TcpListener> = sockets.into_iter().map(TcpListener::from).collect();
    let frontend = frontend.clone();
    std::thread::Builder::new()
        .name("ke-serve".to_owned())
        .spawn(move || {
            // Once a second, by the one thread that serves.
            let show = |counters: &Counters| {
                counters.publish(page.words());
                pulse.beat(1);
            };
            let Err(error) = noonmark_ke::serve(&frontend, listeners, show);
            // Nobody waits for it any more if the role is ending.
            let _ = report
                .send(Failure::new(Status::System, format_args!("accepting connections: {error}")));
        })
        .map_err(Failure::while_doing(Status::System, "the serving thread"))?;
    Ok(failed)
}

/// Passes on what the launcher says.
fn listen(
    station: &mut Station,
    frontend: &Frontend,
    failed: &mpsc::Receiver<Failure>,
) -> Result<(), Ending> {
    loop {
        station.sleep(&[], BEAT_EVERY)?;
        while let Some(incoming) = station.poll()? {
            match incoming {
                Incoming { message: Message::CookieKeys(set), .. } => {
                    frontend.set_cookie_keys(Some(expand(&set)));
                }
                Incoming { message: Message::Identity { generation }, descriptors } => {
                    match open_identity(&descriptors) {
                        Ok(identity) => frontend.set_identity(ServerTls::new(&identity)),
                        Err(failure) => {
                            let reason = Text::new(&failure.reason);
                            station.tell(&Message::IdentityRefused { generation, reason }, &[])?;
                        }
                    }
                }
                // Addresses that change come with a new process.
                Incoming { message: Message::Listening(_), .. } => {}
                Incoming { message, .. } => return Err(Ending::unexpected(&message)),
            }
        }
        match failed.try_recv() {
            Ok(failure) => return Err(failure.into()),
            Err(mpsc::TryRecvError::Empty) => {}
            Err(mpsc::TryRecvError::Disconnected) => {
                return Err(Failure::new(Status::Internal, "the serving thread has ended").into());
            }
        }
    }
}

/// Checks what only this role understands of the settings.
///
/// # Errors
/// [`Status::Configuration`] for the name of an NTP server that cannot be told to clients.
pub fn check(settings: &Settings) -> Result<(), Failure> {
    settings.nts.as_ref().map_or(Ok(()), |nts| policy(nts, None).map(drop))
}

fn terms(settings: &Settings, ntp_port: Option<u16>) -> Result<Terms, Failure> {
    let nts = settings
        .nts
        .as_ref()
        .ok_or_else(|| Failure::new(Status::Internal, "key establishment without [nts]"))?;
    let access = access_rules(settings);
    Ok(Terms {
        policy: Arc::new(policy(nts, ntp_port)?),
        seats: SeatLimits {
            total: nts.max_connections,
            per_prefix: nts.max_per_prefix,
            ipv4_prefix: nts.ipv4_prefix,
            ipv6_prefix: nts.ipv6_prefix,
        },
        time_limit: nts.time_limit,
        admits: Arc::new(move |address| access.action(address) == Action::Allow),
    })
}

fn policy(nts: &Nts, ntp_port: Option<u16>) -> Result<ServerPolicy, Failure> {
    let servers = nts.ntp_servers.iter().map(|name| {
        NtpServer::parse(name.as_bytes()).map_err(|fault| {
            Failure::new(
                Status::Configuration,
                format_args!("nts.ntp-server: {name:?} cannot be told to clients: {fault:?}"),
            )
        })
    });
    let defaults = ServerPolicy::default();
    Ok(ServerPolicy {
        aeads: nts.aeads.iter().filter_map(|aead| Aead::from_id(aead.get())).collect(),
        ntp_servers: servers.collect::<Result<_, _>>()?,
        ntp_port: nts.ntp_port.or(ntp_port).unwrap_or(defaults.ntp_port),
        ..defaults
    })
}

fn open_identity(descriptors: &[OwnedFd]) -> Result<Identity, Failure> {
    let [chain, key] = descriptors else {
        return Err(Failure::new(Status::Internal, "a certificate without its key"));
    };
    let read = |file: &OwnedFd| {
        sealed::read(file.as_fd(), LONGEST_PEM)
            .map_err(Failure::while_doing(Status::Internal, "the certificate handed over"))
    };
    Identity::from_pem(&read(chain)?, &read(key)?)
        .map_err(Failure::while_doing(Status::Certificate, "the certificate handed over"))
}

fn expand(set: &KeySet) -> CookieKeys {
    CookieKeys::new(&set.keys, set.current)
}

/// What the configuration allows a certificate or key file to have.
const LONGEST_PEM: usize = 1 << 18;
/// How long sessions under way may take when the role is told to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(nts: &str) -> Settings {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[nts]\ncertificate = \"c\"\nkey = \"k\"\n{nts}\n\
             [[access]]\nprefix = \"10.0.0.0/8\"\naction = \"deny\"\n"
        );
        noonmark_config::parse(&text, std::path::Path::new("/x/noonmark.toml"))
            .unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn settings_become_terms() {
        let settings = settings(
            "aeads = [30, 15]\nmax-connections = 7\nmax-per-prefix = 2\ntime-limit = \"3s\"\n",
        );
        let terms = terms(&settings, Some(11123)).expect("good");
        assert_eq!(terms.policy.aeads, [Aead::Aes128GcmSiv, Aead::SivCmac256]);
        assert_eq!((terms.seats.total, terms.seats.per_prefix), (7, 2));
        assert_eq!((terms.time_limit, terms.policy.ntp_port), (Duration::from_secs(3), 11123));
        let admits = |address: &str| (terms.admits)(address.parse().expect("an address"));
        assert!(!admits("10.0.0.1") && admits("192.0.2.1"));
    }

    #[test]
    fn port_told_is_the_configured_one_or_the_real_one() {
        let check = |nts: &str, real, expected| {
            let settings = settings(nts);
            assert_eq!(
                terms(&settings, real).expect("good").policy.ntp_port,
                expected,
                "{nts:?} {real:?}"
            );
        };
        check("", Some(4123), 4123);
        check("ntp-port = 5123", Some(4123), 5123);
        check("", None, 123);
    }
}
