//! The role that answers NTP requests: [`noonmark_server::frontend`] between the launcher's messages.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use noonmark_config::{Action, Settings};
use noonmark_nts::CookieKeys;
use noonmark_os::clock;
use noonmark_os::page::{CounterPage, StateReader};
use noonmark_os::pulse::BEAT_EVERY;
use noonmark_os::random::RandomPool;
use noonmark_packet::Version;
use noonmark_server::frontend::{ClockSource, Frontend, Pages, Service};
use noonmark_server::{
    self as server, AccessRules, Counter, PastAnswers, Policy, RateTable, Shedding, Versions,
};

use noonmark_units::Mono;

use crate::confinement::Kept;
use crate::exit::{Failure, Status};
use crate::link::Incoming;
use crate::message::{KeySet, Message};
use crate::role::Role;
use crate::station::{Collected, Ending, Station};

/// Serves until told to stop.
///
/// # Errors
/// [`Ending::Stopped`], or why it cannot go on.
pub fn run(station: &mut Station) -> Result<(), Ending> {
    station.confine(&Kept::default())?;
    let needs_keys = station.settings.nts.is_some();
    let (mut sockets, mut clock, mut keys) = (None, None, None);
    let mut collected = Collected::default();
    while sockets.is_none() || clock.is_none() || (needs_keys && keys.is_none()) {
        match station.wait()? {
            Incoming { message: Message::Sockets { first, count }, descriptors } => {
                sockets = collected.add(first, count, descriptors)?;
            }
            Incoming { message: Message::ClockPage, descriptors } => {
                clock = Some(clock_source(&descriptors)?);
            }
            Incoming { message: Message::CookieKeys(set), .. } => keys = Some(expand(&set)),
            Incoming { message, .. } => return Err(Ending::unexpected(&message)),
        }
    }
    let (Some(sockets), Some(clock)) = (sockets, clock) else { return Ok(()) };
    let threads = threads_of(&station.settings, sockets.len());
    let page = CounterPage::new(c"noonmark-ntp-counters", threads * Counter::COUNT)
        .map_err(Failure::while_doing(Status::System, "the counter page"))?;
    let page = Arc::new(page);
    let pulse = station.show_pulse(threads)?;
    let pages = Pages { counters: Some(Arc::clone(&page)), pulse: Some(pulse) };
    let service = Service { policy: Arc::new(policy(&station.settings)?), cookies: keys, clock };
    let frontend = Frontend::start(sockets, threads, service, pages)
        .map_err(Failure::while_doing(Status::System, "serving threads"))?;
    station.tell(&Message::CounterPage { role: Role::Ntp }, &[page.descriptor()])?;
    station.ready()?;
    let ending = serve(station, &frontend, &page);
    frontend.stop();
    ending
}

/// Passes on what the launcher says.
fn serve(station: &mut Station, frontend: &Frontend, page: &CounterPage) -> Result<(), Ending> {
    let mut overload = Overload::default();
    loop {
        station.sleep(&[], BEAT_EVERY)?;
        overload.look(page, clock::boot_time());
        while let Some(incoming) = station.poll()? {
            match incoming {
                Incoming { message: Message::CookieKeys(set), .. } => {
                    let keys = expand(&set);
                    frontend.update(|service| service.cookies = Some(keys));
                }
                Incoming { message: Message::ClockPage, descriptors } => {
                    let clock = clock_source(&descriptors)?;
                    frontend.update(|service| service.clock = clock);
                }
                Incoming { message, .. } => return Err(Ending::unexpected(&message)),
            }
        }
        if frontend.has_failed() {
            return Err(Failure::new(Status::Internal, "a serving thread has ended").into());
        }
    }
}

/// Whether threads shed requests, as it is logged: once when it begins and once when it has not been so for a while, for a flood that
/// comes and goes is one flood.
#[derive(Default)]
struct Overload {
    since: Option<Mono>,
    /// When it was last so.
    last: Mono,
    /// Requests shed before it began.
    shed_before: u64,
}

impl Overload {
    fn look(&mut self, page: &CounterPage, now: Mono) {
        let sum = |counter: Counter| {
            let words = page.words().iter().skip(counter as usize).step_by(Counter::COUNT);
            words.fold(0_u64, |sum, word| sum.wrapping_add(word.load(Ordering::Relaxed)))
        };
        let threads = sum(Counter::Overloads).saturating_sub(sum(Counter::OverloadsEnded));
        let shed = || {
            [Counter::ShedPlain, Counter::ShedForged, Counter::ShedAuthentic]
                .into_iter()
                .fold(0_u64, |all, counter| all.wrapping_add(sum(counter)))
        };
        match (self.since, threads) {
            (None, 0) => self.shed_before = shed(),
            (None, _) => {
                (self.since, self.last) = (Some(now), now);
                tracing::warn!(threads, "overload: requests that prove nothing are shed first");
            }
            (Some(_), 1..) => self.last = now,
            (Some(since), 0) if now.since(self.last) >= CALM_AFTER => {
                let shed = shed().wrapping_sub(self.shed_before);
                let seconds = self.last.since(since).as_secs();
                tracing::warn!(seconds, shed, "overload is over");
                self.since = None;
            }
            (Some(_), 0) => {}
        }
    }
}

/// Overload is over when no thread has shed anything for so long.
const CALM_AFTER: Duration = Duration::from_secs(10);

fn clock_source(descriptors: &[std::os::fd::OwnedFd]) -> Result<ClockSource, Failure> {
    let page = descriptors
        .first()
        .ok_or_else(|| Failure::new(Status::Internal, "a clock page without descriptor"))?;
    let reader = StateReader::open(page.as_fd())
        .map_err(Failure::while_doing(Status::Internal, "the clock page"))?;
    Ok(ClockSource::Page(Arc::new(reader)))
}

fn expand(set: &KeySet) -> Arc<CookieKeys> {
    Arc::new(CookieKeys::new(&set.keys, set.current))
}

/// The launcher opens one socket per thread for each address on each device.
fn threads_of(settings: &Settings, sockets: usize) -> usize {
    let each = settings.server.listen.len() * settings.server.interfaces.len().max(1);
    (sockets / each.max(1)).max(1)
}

fn policy(settings: &Settings) -> Result<Policy, Failure> {
    let mut pool =
        RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
    let mut key = || [u64::from_ne_bytes(pool.array()), u64::from_ne_bytes(pool.array())];
    let rate = settings.rate_limit.map(|limit| RateTable::new(rate_limit(&limit), key()));
    let clients = settings.server.interleaved_clients;
    let interleaved = (clients > 0).then(|| PastAnswers::new(clients, key())).transpose();
    Ok(Policy {
        access: access_rules(settings),
        versions: versions(settings),
        rate,
        shedding: Shedding::new(settings.overload.priority.clone(), key()),
        interleaved: interleaved
            .map_err(Failure::while_doing(Status::System, "the table for interleaved mode"))?,
    })
}

/// The versions answered.
pub(crate) fn versions(settings: &Settings) -> Versions {
    let versions = settings.server.versions.iter().filter_map(Version::new);
    versions.fold(Versions::NONE, Versions::with)
}

/// The rate limit as tables keep it.
pub(crate) fn rate_limit(limit: &noonmark_config::RateLimit) -> server::RateLimit {
    server::RateLimit {
        interval: limit.interval,
        burst: limit.burst,
        leak: limit.leak,
        table_size: limit.table_size,
        ipv4_prefix: limit.ipv4_prefix,
        ipv6_prefix: limit.ipv6_prefix,
    }
}

/// The access rules in the form both frontends look up in.
pub(crate) fn access_rules(settings: &Settings) -> AccessRules {
    let rules = settings.access.iter().map(|rule| {
        let action = match rule.action {
            Action::Allow => server::Action::Allow,
            Action::Deny => server::Action::Deny,
            Action::Ignore => server::Action::Ignore,
        };
        (rule.prefix, action)
    });
    AccessRules::new(rules, server::Action::Allow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;

    fn settings(text: &str) -> Settings {
        noonmark_config::parse(text, std::path::Path::new("/x/noonmark.toml"))
            .unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn settings_become_a_policy() {
        let settings = settings(
            "[server]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\"]\nversions = [3, 4]\ninterfaces = [\"a\", \"b\"]\n\
             [[access]]\nprefix = \"10.0.0.0/8\"\naction = \"deny\"\n\
             [[access]]\nprefix = \"10.1.0.0/16\"\naction = \"ignore\"\n\
             [rate-limit]\ninterval = \"2s\"\nburst = 3\nipv4-prefix = 24\nipv6-prefix = 48\n\
             [overload]\npriority = [\"10.7.0.0/16\"]\n",
        );
        let policy = policy(&settings).expect("kernel");
        let action = |address: &str| policy.access.action(address.parse().expect("an address"));
        assert_eq!(action("10.2.0.1"), server::Action::Deny);
        assert_eq!(action("10.1.0.1"), server::Action::Ignore);
        assert_eq!(action("192.0.2.1"), server::Action::Allow);
        for address in ["10.2.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1"] {
            let ours = settings.action_for(address.parse().expect("an address"));
            assert_eq!(
                format!("{ours:?}"),
                format!("{:?}", action(address)),
                "both look-ups agree on {address}"
            );
        }
        let has = |version| policy.versions.contains(Version::new(version).expect("exists"));
        assert_eq!([has(2), has(3), has(4)], [false, true, true]);
        let rate = policy.rate.expect("limited");
        assert_eq!((rate.limit().interval, rate.limit().burst), (Duration::from_secs(2), 3));
        assert_eq!((rate.limit().ipv4_prefix, rate.limit().ipv6_prefix), (24, 48));
        assert_eq!(policy.shedding.priority(), ["10.7.0.0/16".parse().expect("a prefix")]);
        assert!(policy.shedding.memory() > 0);
        let tables = [
            ("overload", policy.shedding.memory()),
            ("rate-limit", rate.memory()),
            ("interleaved", policy.interleaved.expect("on").memory()),
        ];
        let told = memory::tables(&settings).map(|table| (table.name, table.octets as usize));
        assert_eq!(told.collect::<Vec<_>>(), tables, "what is told is what there is");
        assert_eq!(
            threads_of(&settings, 12),
            3,
            "two addresses on two devices for each of three threads"
        );
    }

    #[test]
    fn interleaved_mode_can_be_switched_off() {
        let policy = policy(&settings("[server]\ninterleaved-clients = 0\n")).expect("kernel");
        assert!(policy.interleaved.is_none());
    }

    #[test]
    fn a_flood_that_comes_and_goes_is_one_flood_in_the_log() {
        let page = CounterPage::new(c"test", 2 * Counter::COUNT).expect("memory");
        let set = |counter: Counter, value| {
            page.words()[Counter::COUNT + counter as usize].store(value, Ordering::Relaxed);
        };
        let mut overload = Overload::default();
        let mut look = |seconds: u64| {
            overload.look(&page, Mono(seconds * 1_000_000_000));
            overload.since.is_some()
        };
        assert!(!look(1));
        set(Counter::Overloads, 1);
        assert!(look(2));
        set(Counter::OverloadsEnded, 1);
        assert!(look(3) && look(11));
        set(Counter::Overloads, 2);
        assert!(look(12));
        set(Counter::OverloadsEnded, 2);
        assert!(look(21));
        assert!(!look(22));
    }
}
