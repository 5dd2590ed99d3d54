//! The judge of clients can see: a small client made for this keeps every clause, and each of its faults is failed by the right one.

mod subject;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use noonmark_prober::client::post::Post;
use noonmark_prober::client::{Outcome, Run, Settings};
use noonmark_prober::{Clause, Verdict};
use subject::{Fault, Subject};

/// Judges the client with this fault on addresses of its own; only these clauses, or all.
fn judge(fault: Option<Fault>, only: &[&str]) -> Outcome {
    // A block of loopback addresses for each run, so that runs at the same time do not meet.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let first = 0x7f40_0001
        + (std::process::id() % 100) * 0x1_0000
        + RUNS.fetch_add(1, Ordering::Relaxed) * 0x100;
    let settings = Settings {
        ke_port: 14_460,
        ntp_port: 10_123,
        only: only.iter().map(|id| (*id).to_owned()).collect(),
        patience: Duration::from_secs(30),
        second: SECOND,
        ..Settings::new(IpAddr::V4(first.into()))
    };
    let run = Run::open(settings).expect("loopback addresses are free");
    let ca = run.authority_pem();
    let places: Vec<_> = run.posts().iter().map(Post::ke_end).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for place in places {
            let (ca, over) = (&ca, &over);
            threads.spawn(move || Subject::new(fault, place, ca, SECOND).live(over));
        }
        run.play(0..run.posts().len(), || false, |_| {});
        over.store(true, Ordering::Relaxed);
    });
    run.judge("a client made to be judged")
}

/// A second of the RFCs: the client and its judge live ten times as fast.
const SECOND: Duration = Duration::from_millis(100);

#[test]
fn a_client_that_keeps_every_clause_passes() {
    let outcome = judge(None, &[]);
    let others: Vec<String> = outcome
        .report
        .clauses
        .iter()
        .filter(|finding| !matches!(finding.verdict, Verdict::Pass | Verdict::NotApplicable))
        .map(|finding| {
            format!("{} {}: {}", finding.id, finding.verdict.word(), finding.evidence.says)
        })
        .collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
    let unbound: Vec<&str> = outcome
        .report
        .clauses
        .iter()
        .filter(|finding| finding.verdict == Verdict::NotApplicable)
        .map(|finding| finding.id.as_str())
        .collect();
    // It asks for no server and no port.
    assert_eq!(unbound, ["KE-65"]);
    assert!(!outcome.wire.is_empty() && !outcome.keys.is_empty());
    let says = |finding: &&noonmark_prober::Finding| finding.evidence.passages.is_empty();
    let bare: Vec<_> =
        outcome.report.clauses.iter().filter(says).map(|finding| &finding.id).collect();
    assert!(bare.is_empty(), "without packets: {bare:?}");
}

/// Each fault, and the clauses that fail for it; no others do.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::TakesOtherIdentifier, &["NC-14"]),
    (Fault::TakesUnprotected, &["NC-15", "WC-26", "WC-06", "IL-10"]),
    (Fault::TakesSecondAnswer, &["NC-19", "WC-05", "WC-01"]),
    (Fault::KeepsClearCookies, &["NC-16"]),
    (Fault::ReusesCookie, &["NC-09"]),
    (Fault::OneIdentifier, &["NC-03"]),
    (Fault::ShortIdentifier, &["NC-02"]),
    (Fault::FilledPlaceholder, &["NC-12"]),
    (Fault::LongPlaceholder, &["NC-11"]),
    (Fault::FieldBehindAuthenticator, &["EF-01"]),
    (Fault::ShowsStratum, &["NC-31"]),
    (Fault::RetriesAtOnce, &["KE-70", "KE-71"]),
    (Fault::IgnoresDeny, &["KD-02"]),
    (Fault::IgnoresRate, &["KD-03"]),
    (Fault::ObeysForeignKiss, &["NC-20", "KD-09"]),
    (Fault::NoCloseNotify, &["KE-08"]),
    (Fault::GoesOnAfterError, &["KE-39"]),
    (Fault::GoesOnAfterWarning, &["KE-44"]),
    (Fault::IgnoresCritical, &["KE-16"]),
    (Fault::TakesAnyName, &["KE-06"]),
    (Fault::NoAlpn, &["KE-02"]),
    (Fault::NakAtOnce, &["NC-21"]),
    (Fault::FallsBack, &["NC-27", "KE-16"]),
];

#[test]
fn every_fault_is_failed_by_its_clauses() {
    assert!(FAULTS.len() >= 15);
    let next = Mutex::new(FAULTS.iter());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some((fault, ids)) = { next.lock().expect("nobody panicked").next() } {
                    if let Some(problem) = look_for(*fault, ids) {
                        wrong.lock().expect("nobody panicked").push(problem);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("nobody panicked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Judges a client with a fault by the clauses that have to fail and one that must not; what is not so.
fn look_for(fault: Fault, ids: &[&str]) -> Option<String> {
    assert!(ids.iter().all(|id| Clause::find(id).is_some()));
    let outcome = judge(Some(fault), &[ids, &["NC-01"]].concat());
    let clauses = &outcome.report.clauses;
    let failed = clauses.iter().filter(|finding| finding.verdict == Verdict::Fail);
    let failed: BTreeSet<&str> = failed.map(|finding| finding.id.as_str()).collect();
    let said = clauses.iter().map(|finding| {
        format!("  {} {}: {}", finding.id, finding.verdict.word(), finding.evidence.says)
    });
    let is_right = failed == ids.iter().copied().collect();
    (!is_right).then(|| {
        format!("{fault:?}: {failed:?}, not {ids:?}\n{}", said.collect::<Vec<_>>().join("\n"))
    })
}

/// Runs at the same time: they mostly wait.
const AT_ONCE: usize = 6;
