//! What a client takes, and what it obeys.

use super::{questions_after, unclear};
use crate::client::forgeries::{FORGERIES, Forgery, HONEST_FIRST, KISSES};
use crate::client::log::{Mark, Question};
use crate::client::say::Say;
use crate::client::script::View;

/// Forgeries, each before an honest answer.
fn takes_none_of(list: &'static [Forgery], view: &View<'_>, say: &mut Say) {
    let log = view.log;
    let usual = view.interval_s(HONEST_FIRST + 1 + list.len()).unwrap_or(0.0);
    let open: Vec<&Question> =
        log.questions.iter().filter(|question| question.open.is_some()).collect();
    for (nth, forgery) in list.iter().enumerate() {
        let (name, number) = (forgery.name, HONEST_FIRST + nth);
        let (good, bad) = (log.used(Mark::Good(number)), log.used(Mark::Bad(name)));
        let next = open
            .get(number)
            .zip(open.get(number + 1))
            .map(|(this, next)| view.seconds(next.at - this.at));
        let is_kiss = std::ptr::eq(list, KISSES);
        for id in forgery.clauses {
            if bad && matches!(*id, "WC-02" | "WC-03") {
                let why = "its cookie was kept, as of an answer that is authentic; which time was used is not seen";
                say.deviates(id, format!("{name}: {why}"));
            } else if bad {
                say.fail(
                    id,
                    format!(
                        "{name}: a cookie that came with it was used, so it was not dropped whole"
                    ),
                );
            } else if open.len() <= number {
                say.unclear(id, format!("{name}: the client did not ask that often"));
            } else if open.len() == number + 1 {
                let silent = open
                    .last()
                    .map_or(0.0, |last| view.seconds(view.now.saturating_duration_since(last.at)));
                if silent > (6.0 * usual).max(5.0) {
                    say.fail(id, format!("{name}: no question in {silent:.0} s after it, before that one every {usual:.1} s"));
                } else {
                    say.unclear(
                        id,
                        format!("{name}: the client did not ask again in the time of the run"),
                    );
                }
            } else if !good && open.len() <= number + 3 {
                say.unclear(id, format!("{name}: the client did not ask often enough after it"));
            } else if !good && *id == "NC-17" {
                say.deviates(id, format!("{name}: the whole answer was dropped"));
            } else if !good {
                say.fail(id, format!("{name}: the honest answer was not taken"));
            } else if is_kiss && next.is_some_and(|next| next > 2.5 * usual.max(0.5)) {
                say.fail(
                    id,
                    format!(
                        "{name}: the next question came after {:.1} s, not the usual {usual:.1}",
                        next.unwrap_or(0.0)
                    ),
                );
            } else {
                say.pass(id, format!("{name}: the honest answer was taken, its cookie used later"));
            }
        }
        let is_before = forgery
            .clauses
            .iter()
            .all(|id| !matches!(*id, "NC-16" | "NC-17" | "EF-16" | "EF-18" | "NC-19"));
        if is_before && !is_kiss && open.len() > number + 3 {
            for id in ["WC-06", "IL-10"] {
                say.check(
                    id,
                    good,
                    format!("{name}: the honest answer behind it counted"),
                    format!("{name}: the honest answer behind it did not count"),
                );
            }
        }
    }
}

/// [`takes_none_of`] for answers.
pub(in crate::client) fn takes_no_forgery(view: &View<'_>, say: &mut Say) {
    takes_none_of(FORGERIES, view, say);
}

/// [`takes_none_of`] for kisses.
pub(in crate::client) fn obeys_no_false_kiss(view: &View<'_>, say: &mut Say) {
    takes_none_of(KISSES, view, say);
}

/// Whether the list was played, and every honest answer's cookie could have come back.
pub(in crate::client) fn has_heard(view: &View<'_>, list: &[Forgery]) -> bool {
    let open = view.log.questions.iter().filter(|question| question.open.is_some()).count();
    open >= HONEST_FIRST + list.len() + 5
}

/// The fifth question gets a proven DENY.
pub(in crate::client) fn obeys_deny(view: &View<'_>, say: &mut Say) {
    let open: Vec<&Question> =
        view.log.questions.iter().filter(|question| question.open.is_some()).collect();
    let Some(denied) = open.get(DENIED) else {
        return unclear(view, say, &format!("the client asked only {} times", open.len()));
    };
    let later = questions_after(view, denied.at).len();
    let waited = view.seconds(view.now - denied.at);
    let usual = view.interval_s(DENIED).unwrap_or(0.0);
    if later > 0 {
        say.fail("KD-02", format!("{later} questions in {waited:.0} s after a proven DENY"));
        say.pass("KD-01", "the server was asked before, and what it does after a kiss is told under KD-02 and KD-03");
    } else if waited > 4.0 * usual {
        let says = format!(
            "no question in {waited:.0} s after a proven DENY, before that one every {usual:.1} s"
        );
        say.pass("KD-02", says.clone());
        say.pass("KD-01", says);
    } else {
        unclear(view, say, &format!("only {waited:.0} s were waited for"));
    }
}

/// Whether [`obeys_deny`] has seen enough.
pub(in crate::client) fn has_obeyed_deny(view: &View<'_>) -> bool {
    let open: Vec<&Question> =
        view.log.questions.iter().filter(|question| question.open.is_some()).collect();
    let usual = view.interval_s(DENIED).unwrap_or(1.0);
    open.get(DENIED).is_some_and(|denied| {
        view.seconds(view.now.saturating_duration_since(denied.at)) > (8.0 * usual).max(8.0)
    })
}

/// The fifth question gets a proven RATE with an absurd poll exponent.
pub(in crate::client) fn obeys_rate(view: &View<'_>, say: &mut Say) {
    let open: Vec<&Question> =
        view.log.questions.iter().filter(|question| question.open.is_some()).collect();
    let Some(slowed) = open.get(DENIED) else {
        return unclear(view, say, &format!("the client asked only {} times", open.len()));
    };
    let usual = view.interval_s(DENIED).unwrap_or(0.0);
    let next =
        questions_after(view, slowed.at).first().map(|next| view.seconds(next.at - slowed.at));
    match next {
        Some(next) => {
            say.check(
                "KD-03",
                next >= 1.4 * usual,
                format!("{next:.1} s after RATE, {usual:.1} s before"),
                format!("{next:.1} s after RATE, {usual:.1} s before: not longer"),
            );
            say.pass(
                "KD-08",
                format!("asked again after {next:.1} s, though the kiss said 2^{ABSURD_POLL} s"),
            );
        }
        None => {
            let waited = view.seconds(view.now - slowed.at);
            if waited > 1.5 * usual {
                say.pass(
                    "KD-03",
                    format!("no question in {waited:.0} s after RATE, {usual:.1} s before"),
                );
            }
            say.unclear(
                "KD-08",
                format!("no question in {waited:.0} s after a RATE that said 2^{ABSURD_POLL} s"),
            );
        }
    }
}

/// Whether [`obeys_rate`] has seen enough.
pub(in crate::client) fn has_obeyed_rate(view: &View<'_>) -> bool {
    let open: Vec<&Question> =
        view.log.questions.iter().filter(|question| question.open.is_some()).collect();
    open.get(DENIED).is_some_and(|slowed| !questions_after(view, slowed.at).is_empty())
}

/// The number of the question that gets a proven kiss.
pub(in crate::client) const DENIED: usize = 4;

/// What RATE says of the interval: 36 hours.
pub(in crate::client) const ABSURD_POLL: i8 = 17;
