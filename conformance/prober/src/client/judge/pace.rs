//! How soon a client comes again.

use super::{ABSENT, questions_after, unclear};
use crate::client::say::Say;
use crate::client::script::View;

/// Every question gets NTSN, every key establishment succeeds.
pub(in crate::client) fn is_patient(view: &View<'_>, say: &mut Say) {
    let times = view.log.sessions.iter().map(|session| session.at);
    let gaps = view.gaps_s(times);
    let says = format!("seconds between key establishments: {}", in_words(&gaps));
    if view.log.sessions.is_empty() || view.log.questions.is_empty() {
        return unclear(view, say, ABSENT);
    }
    // The first may be repeated soon; RFC 8915 §4.2 begins with 10 s, and chrony with 2.
    let is_limited = gaps.iter().all(|gap| *gap >= 1.5) && gaps.len() <= 6;
    say.check("NC-24", is_limited, says.clone(), says.clone());
    // RFC 8915 §4.2: after 10, 15 and 22.5 s. Who begins anew after each success comes again every 10 s.
    let mut at = 0.0;
    let late = gaps.iter().zip([10.0, 25.0, 47.5]).all(|(gap, due)| {
        at += gap;
        at >= 0.95 * due
    });
    let grows = gaps.len() > 1 && gaps.windows(2).all(|pair| pair[1] >= pair[0] * 0.95);
    let age = view.age_s();
    match gaps.len() {
        _ if age < 25.0 => say.unclear("KE-72", format!("{says}, in only {age:.0} s")),
        0 | 1 if !late => say.unclear("KE-72", format!("{says}: too few to compare")),
        _ => say.check("KE-72", late || grows, format!("{says}, in {age:.0} s"), says),
    }
}

/// Every key establishment is answered by error 2.
pub(in crate::client) fn retries_slowly(view: &View<'_>, say: &mut Say) {
    let gaps = view.gaps_s(view.log.sessions.iter().map(|session| session.at));
    if view.log.answered().is_none() {
        return unclear(view, say, ABSENT);
    }
    let says = format!("seconds between attempts: {}", in_words(&gaps));
    let least = |nth: usize| 10.0 * 1.5_f64.powi(i32::try_from(nth).unwrap_or(i32::MAX));
    let is_slow = gaps.iter().enumerate().all(|(nth, gap)| *gap >= 0.95 * least(nth));
    say.check(
        "KE-70",
        gaps.iter().all(|gap| *gap >= 0.9) && gaps.len() < 12,
        says.clone(),
        says.clone(),
    );
    say.check("KE-71", is_slow, says.clone(), format!("{says}; 10, 15 and 22.5 are the least"));
    say.pass("KE-42", says);
    gives_up_keys(view, say);
}

fn gives_up_keys(view: &View<'_>, say: &mut Say) {
    if let Some(answered) = view.log.answered() {
        let none = questions_after(view, answered).is_empty();
        say.check("KE-39", none, "no NTP after Error", "NTP packets after Error");
    }
}

/// Every key establishment is answered by error 1.
pub(in crate::client) fn does_not_repeat(view: &View<'_>, say: &mut Say) {
    let asked: Vec<_> =
        view.log.sessions.iter().filter(|session| session.answered.is_some()).collect();
    let gaps = view.gaps_s(asked.iter().map(|session| session.at));
    let same = asked.windows(2).filter(|pair| pair[0].request == pair[1].request).count();
    match (asked.len(), same) {
        (0, _) => return unclear(view, say, ABSENT),
        (_, 0) => say.pass(
            "KE-40",
            format!(
                "{} attempts in {:.0} s, no request the same as the one before",
                asked.len(),
                view.age_s()
            ),
        ),
        _ if gaps.iter().all(|gap| *gap >= 9.5) => {
            say.deviates(
                "KE-40",
                format!("the same request again, seconds between attempts: {}", in_words(&gaps)),
            );
        }
        _ => say.fail(
            "KE-40",
            format!("the same request again, seconds between attempts: {}", in_words(&gaps)),
        ),
    }
    gives_up_keys(view, say);
}

fn in_words(gaps: &[f64]) -> String {
    if gaps.is_empty() {
        return "none, it came once".to_owned();
    }
    gaps.iter().map(|gap| format!("{gap:.1}")).collect::<Vec<_>>().join(", ")
}
