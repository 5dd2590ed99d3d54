//! The judge judged: servers broken in one way each, on real sockets, are found out by the clause that is broken, and a good one
//! passes.

#[allow(dead_code, reason = "the requirement tests use the rest")]
mod ke;
#[allow(dead_code, reason = "the requirement tests use the rest")]
mod ntp;
mod server;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use noonmark_conformance::check::Effort;
use noonmark_prober::server::{Manner, run};
use noonmark_prober::{Report, Verdict};

use server::Server;

/// What the labs are given.
pub struct Lab {
    /// The one promise that is broken.
    pub fault: Option<FaultKind>,
    /// What the check may cost.
    pub effort: Effort,
}

/// A fault of either half.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// Around the key exchange server.
    Ke(ke::Fault),
    /// Around the responder.
    Ntp(ntp::Fault),
}

/// Nobody else asks these servers, so there is no need to be gentle.
fn judge(fault: Option<FaultKind>) -> Report {
    let server = Server::start(fault);
    let manner =
        Manner { deep: false, rate: 5000.0, ke_rate: 5000.0, patience: Duration::from_secs(1) };
    run(&server.target(), manner, &[], |_| {}).report
}

fn of(report: &Report, verdict: Verdict) -> BTreeMap<&str, &str> {
    let found = report.clauses.iter().filter(|finding| finding.verdict == verdict);
    found.map(|finding| (&finding.id[..], &finding.evidence.says[..])).collect()
}

#[test]
fn a_good_server_fails_nothing_and_leaves_nothing_open() {
    let report = judge(None);
    assert_eq!(of(&report, Verdict::Fail), BTreeMap::new());
    assert_eq!(of(&report, Verdict::Inconclusive), BTreeMap::new());
    assert!(report.count(Verdict::Pass) > 100, "{} pass", report.count(Verdict::Pass));
}

#[test]
fn prober_and_requirements_have_the_same_clauses() {
    for requirement in noonmark_conformance::requirement::REQUIREMENTS {
        let clause = noonmark_prober::Clause::find(requirement.id).expect(requirement.id);
        let expected = (requirement.level.word(), requirement.source);
        assert_eq!((clause.level.word(), clause.rfc), expected, "{}", clause.id);
    }
}

/// Clauses that a fault breaks beside its own, by its nature: a longer answer is a longer answer wherever it is counted.
const BESIDES: &[(&str, &[&str])] = &[
    ("RefusesUnknown", &["KX-08"]),
    ("HonoursOddPlaceholder", &["NS-17", "WS-22"]),
    ("MakesRoomForNonce", &["NS-17", "WS-22"]),
    ("LongNtsn", &["WS-22"]),
    ("NeedsNoAuthenticator", &["NS-17", "WS-22"]),
    ("FillsShortHeader", &["WS-22"]),
    ("AnswersPeers", &["BP-12"]),
    ("AnswersBroadcasts", &["BP-12"]),
];

/// What is wrong with a fault's report, if anything.
fn found_by_its_clause(id: &str, kind: FaultKind) -> Result<(), String> {
    let report = judge(Some(kind));
    let failed = of(&report, Verdict::Fail);
    let name = match kind {
        FaultKind::Ke(fault) => format!("{fault:?}"),
        FaultKind::Ntp(fault) => format!("{fault:?}"),
    };
    let besides = BESIDES.iter().find(|(fault, _)| *fault == name).map_or(&[][..], |(_, ids)| ids);
    let strangers: Vec<_> =
        failed.iter().filter(|(failed, _)| **failed != id && !besides.contains(failed)).collect();
    if !failed.contains_key(id) {
        let said = report.finding(id).map(|finding| (finding.verdict, &finding.evidence.says));
        return Err(format!("{name}: {id} does not fail but says {said:?}; failed: {failed:?}"));
    }
    if strangers.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}: besides {id} fail {strangers:?}"))
    }
}

/// The adaptors know more faults than these. The others need a clock that is set, a limit, a restart, many clients or a look at memory, or
/// are known of peers and harmless, so that the verdict is that the server deviates.
#[test]
fn each_fault_that_can_be_seen_from_outside_is_found_by_its_clause() {
    let all = ke::FAULTS.iter().chain(ntp::FAULTS).map(|fault| (fault.id, fault.kind));
    let seen = all.filter(|(_, kind)| match kind {
        FaultKind::Ke(fault) => !UNSEEN_KE.contains(fault),
        FaultKind::Ntp(fault) => !UNSEEN_NTP.contains(fault),
    });
    let faults: Vec<_> = seen.collect();
    assert!(faults.len() >= 80, "{} faults", faults.len());
    let work = Mutex::new(faults.into_iter());
    let wrong = Mutex::new(Vec::new());
    // Most of a run is waiting.
    std::thread::scope(|threads| {
        for _ in 0..12 {
            threads.spawn(|| {
                loop {
                    let next = work.lock().expect("nobody panics").next();
                    let Some((id, kind)) = next else { return };
                    if let Err(complaint) = found_by_its_clause(id, kind) {
                        wrong.lock().expect("nobody panics").push(complaint);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("nobody panics");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Not to be seen from outside, or not a failure.
const UNSEEN_KE: &[ke::Fault] = {
    use ke::Fault::{
        GrantsNoServer, KeepsSessions, OtherFamily, SeatsUnbounded, SilentInTrouble,
        TakesEndWithBody, TakesTwoServers,
    };
    &[
        // The server under test names no servers, and has not lost its keys.
        GrantsNoServer,
        OtherFamily,
        SilentInTrouble,
        KeepsSessions,
        SeatsUnbounded,
        // Known of peers, harmless.
        TakesEndWithBody,
        TakesTwoServers,
    ]
};

/// The same around the responder.
const UNSEEN_NTP: &[ntp::Fault] = {
    use ntp::Fault::{
        AnnouncesInMarch, AnswersEqualStamps, AnswersGroups, BasicUnderNts, ComparesCounts,
        DispersionStays, DropsTrailing, EpochsIn32Bits, EqualStamps, FloodStarvesClient,
        ForgetsAtRestart, ForgetsEarly, KeepsEveryTime, KeyedByPort, KissesEverybody, NinthCookie,
        NoNoise, NtsEndsWithEra, PlainDeny, RateSaysSynchronised, RateWithoutIdentifier,
        ReceivesAtZero, RemembersClients, RemembersReplays, RepeatsStamps, SaysMode2,
        SaysStratum16, ServesTwice, SetAtZero, StretchesIdentifier, TellsTooEarly, WrapsIn2038,
    };
    &[
        // The clock must be set.
        NtsEndsWithEra,
        ComparesCounts,
        SetAtZero,
        WrapsIn2038,
        EpochsIn32Bits,
        ReceivesAtZero,
        AnnouncesInMarch,
        SaysStratum16,
        DispersionStays,
        NoNoise,
        // The server must limit, restart, or have its memory looked at.
        RateSaysSynchronised,
        RateWithoutIdentifier,
        KissesEverybody,
        FloodStarvesClient,
        PlainDeny,
        ForgetsEarly,
        ForgetsAtRestart,
        RemembersReplays,
        RemembersClients,
        AnswersGroups,
        // Interleaved answers need the kernel's word for when the last one left, which this server does not get.
        EqualStamps,
        AnswersEqualStamps,
        TellsTooEarly,
        ServesTwice,
        KeepsEveryTime,
        KeyedByPort,
        RepeatsStamps,
        BasicUnderNts,
        // Known of peers, harmless.
        DropsTrailing,
        StretchesIdentifier,
        NinthCookie,
        // Found, but an answer in mode 2 is no answer to many other clauses.
        SaysMode2,
    ]
};
