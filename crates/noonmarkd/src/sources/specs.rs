//! From settings to what the client and the keeper of the clock understand, and whom key establishment trusts.

use std::collections::BTreeMap;

use noonmark_client::{Endpoint, Family, SourceKind, SourceSpec};
use noonmark_clock::{Authentication, Settings as KeeperSettings, SourceOptions, StepRule};
use noonmark_config::{
    AddressFamily, AuthenticationRule, Clock, Settings, Source, SourceKind as Kind, Steps,
};
use noonmark_nts::ClientTls;
use noonmark_units::{Frequency, PollExponent, Span};

use super::authorities::Authorities;
use crate::exit::Failure;

/// The sources as the client asks them.
#[must_use]
pub fn specs(settings: &Settings) -> Vec<SourceSpec> {
    settings.sources.iter().map(spec).collect()
}

fn spec(source: &Source) -> SourceSpec {
    let endpoint = |host: &String| Endpoint::new(host.as_str(), source.port);
    let kind = match &source.kind {
        Kind::Server(host) => SourceKind::Server(endpoint(host)),
        Kind::Pool { name, max_sources } => {
            SourceKind::Pool { name: endpoint(name), max_sources: *max_sources }
        }
        Kind::Nts(host) => SourceKind::Nts(endpoint(host)),
        Kind::NtsPool { hosts, max_sources } => SourceKind::NtsPool {
            hosts: hosts.iter().map(endpoint).collect(),
            max_sources: *max_sources,
        },
    };
    SourceSpec {
        kind,
        family: match source.family {
            AddressFamily::Any => Family::Any,
            AddressFamily::V4 => Family::V4,
            AddressFamily::V6 => Family::V6,
        },
        options: SourceOptions {
            min_poll: PollExponent(source.minpoll),
            max_poll: PollExponent(source.maxpoll),
            prefer: source.prefer,
            trust: source.trust,
            require: source.require,
            noselect: source.noselect,
            operator: source.operator.clone(),
            network: source.network.clone(),
            ..SourceOptions::default()
        },
        initial_burst: source.iburst,
        burst: source.burst,
        interleaved: source.xleave,
    }
}

/// The rules of the keeper.
#[must_use]
pub fn keeper_settings(clock: &Clock) -> KeeperSettings {
    let (threshold, updates) = match clock.steps {
        Steps::First(0) => (None, None),
        Steps::First(updates) => (Some(clock.step_threshold), Some(updates)),
        Steps::Always => (Some(clock.step_threshold), None),
    };
    KeeperSettings {
        steps: StepRule { threshold: threshold.map(Span::from_duration), updates },
        max_slew: Frequency::from_ppm(clock.max_slew_ppm.into()),
        largest_slewed: clock
            .largest_step
            .map_or(KeeperSettings::NEVER_SLEWED, Span::from_duration)
            .min(KeeperSettings::NEVER_SLEWED),
        max_clock_error: Frequency::from_ppm(clock.max_clock_error_ppm.into()),
        min_sources: clock.min_sources as usize,
        max_distance: Span::from_duration(clock.max_distance),
        authentication: match clock.authentication {
            AuthenticationRule::Ignore => Authentication::Ignore,
            AuthenticationRule::Prefer => Authentication::Prefer,
            AuthenticationRule::Require => Authentication::Require,
        },
        ..KeeperSettings::default()
    }
}

/// From which stratum on sources are taken for servers without sources of their own.
#[must_use]
pub fn orphan_stratum(settings: &Settings) -> Option<u8> {
    settings.server.local.filter(|local| local.orphan).map(|local| local.stratum)
}

/// Whom key establishment trusts.
pub struct Trust {
    /// For sources without a file of their own; `None` if the system has no authorities.
    pub system: Option<ClientTls>,
    /// For those with one.
    pub own: BTreeMap<Endpoint, ClientTls>,
}

/// Reads whom the sources of `settings` are to be trusted by, and makes something of it, in one process.
///
/// # Errors
/// [`Status::Configuration`](crate::exit::Status::Configuration) for a file of authorities that cannot be used.
pub fn trust(settings: &Settings) -> Result<Trust, Failure> {
    Authorities::read(settings)?.trust(settings)
}

/// The key servers of `after` whose certificates are judged by other authorities than in `before`.
#[must_use]
pub fn distrusted(before: &[Source], after: &[Source]) -> Vec<Endpoint> {
    let judged = |sources: &[Source]| -> BTreeMap<Endpoint, Option<std::path::PathBuf>> {
        let proven = sources.iter().filter(|source| source.kind.is_nts());
        let hosts = proven.flat_map(|source| {
            let endpoint = |host: &String| Endpoint::new(host.as_str(), source.port);
            source.kind.hosts().iter().map(move |host| (endpoint(host), source.ca.clone()))
        });
        hosts.collect()
    };
    let before = judged(before);
    let is_new = |(host, ca): &(Endpoint, _)| before.get(host).is_some_and(|known| known != ca);
    judged(after).into_iter().filter(is_new).map(|(host, _)| host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    fn settings(text: &str) -> Settings {
        noonmark_config::parse(text, Path::new("/x/noonmark.toml"))
            .unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn settings_become_specs() {
        let settings = settings(
            "[[source]]\nserver = \"192.0.2.1\"\nminpoll = -2\nmaxpoll = 4\nprefer = true\niburst = false\nport = 11123\n\
             [[source]]\nnts-pool = [\"a.example\", \"b.example\"]\nfamily = \"ipv6\"\noperator = \"E\"\nxleave = true\n\
             [[source]]\npool = \"p.example\"\nmax-sources = 2\nminpoll = 12\n",
        );
        let specs = specs(&settings);
        assert_eq!(specs[0].kind, SourceKind::Server(Endpoint::new("192.0.2.1", 11123)));
        assert_eq!(
            (specs[0].options.min_poll, specs[0].options.max_poll),
            (PollExponent(-2), PollExponent(4))
        );
        assert!(specs[0].options.prefer && !specs[0].initial_burst && !specs[0].interleaved);
        let hosts = vec![Endpoint::new("a.example", 4460), Endpoint::new("b.example", 4460)];
        assert_eq!(specs[1].kind, SourceKind::NtsPool { hosts, max_sources: 2 });
        assert_eq!((specs[1].family, specs[1].interleaved), (Family::V6, true));
        assert_eq!(specs[1].options.operator.as_deref(), Some("E"));
        assert_eq!(specs[2].options.max_poll, PollExponent(12), "no less than minpoll");
    }

    #[test]
    fn settings_become_the_keepers_rules() {
        let of = |text: &str| {
            keeper_settings(
                &settings(&format!("[[source]]\nserver = \"a.example\"\n[clock]\n{text}\n")).clock,
            )
        };
        assert_eq!(of(""), KeeperSettings::default(), "the documented defaults are the keeper's");
        assert_eq!(of("step-updates = 0").steps, StepRule::NEVER);
        let always = of("step-updates = \"always\"\nstep-threshold = \"100ms\"").steps;
        assert_eq!(
            (always.updates, always.threshold),
            (None, Some(Span::from_duration(Duration::from_millis(100))))
        );
        assert_eq!(of("authentication = \"require\"").authentication, Authentication::Require);
        assert_eq!(of("max-slew = 500").max_slew, Frequency::from_ppm(500.0));
        let hour = Span::from_seconds(3600);
        assert_eq!(of("largest-step = \"1h\"").largest_slewed, hour);
        assert_eq!(of("largest-step = \"500d\"").largest_slewed, KeeperSettings::NEVER_SLEWED);
        assert_eq!(of("max-clock-error = 15").max_clock_error, Frequency::from_ppm(15.0));
    }

    #[test]
    fn a_key_server_is_asked_anew_if_other_authorities_judge_it() {
        let check = |before: &str, after: &str, expected: &[&str]| {
            let found = distrusted(&settings(before).sources, &settings(after).sources);
            let expected: Vec<_> = expected.iter().map(|host| Endpoint::new(*host, 4460)).collect();
            assert_eq!(found, expected, "{before} -> {after}");
        };
        let (plain, nts) =
            ("[[source]]\nserver = \"a.example\"\n", "[[source]]\nnts = \"b.example\"\n");
        let own = format!("{nts}ca = \"own.pem\"\n");
        check(plain, &own, &[]);
        check(nts, nts, &[]);
        check(&own, &own, &[]);
        check(&own, &format!("{plain}{nts}"), &["b.example"]);
        check(nts, &own, &["b.example"]);
        check(&own, &own.replace("own", "other"), &["b.example"]);
    }

    #[test]
    fn a_file_of_authorities_that_cannot_be_used_is_named() {
        let settings = settings("[[source]]\nnts = \"a.example\"\nca = \"missing.pem\"\n");
        let failure = trust(&settings).err().expect("missing");
        assert_eq!(failure.status, crate::exit::Status::Configuration);
        assert!(failure.reason.contains("/x/missing.pem"), "{failure}");
    }
}
