//! What a client does with its cookies.

use std::collections::BTreeSet;
use std::time::Instant;

use super::question::identifiers;
use super::{ABSENT, questions_after, unclear};
use crate::client::log::Question;
use crate::client::say::Say;
use crate::client::script::View;
use crate::octets::field::PLACEHOLDER;

/// After three answers nothing comes any more.
pub(in crate::client) fn bears_loss(view: &View<'_>, say: &mut Say) {
    let log = view.log;
    let second = log.sessions.iter().filter_map(|session| session.answered).nth(1);
    let first: Vec<&Question> = log
        .questions
        .iter()
        .take_while(|question| second.is_none_or(|second| question.at < second))
        .collect();
    let lost: Vec<&&Question> = first.iter().filter(|question| !question.is_answered).collect();
    if lost.len() < 3 {
        return unclear(view, say, &format!("only {} questions went unanswered", lost.len()));
    }
    identifiers(view, say);
    let cookies: Vec<Vec<u8>> = log.questions.iter().filter_map(Question::cookie_octets).collect();
    let distinct: BTreeSet<&Vec<u8>> = cookies.iter().collect();
    if distinct.len() < cookies.len() {
        say.fail(
            "NC-09",
            format!(
                "{} cookies in {} questions: some were sent twice",
                distinct.len(),
                cookies.len()
            ),
        );
    } else if second.is_some() || lost.len() <= 8 {
        let then = if second.is_some() {
            "then keys were established anew"
        } else {
            "none was sent twice"
        };
        say.pass("NC-09", format!("{} questions with a cookie each; {then}", cookies.len()));
    }
    let mut before = 0;
    let mut wanted = Vec::new();
    for question in &first {
        wanted.push((before.min(7), question.placeholders()));
        before += usize::from(!question.is_answered);
    }
    let says = format!(
        "placeholders asked and due: {}",
        wanted.iter().map(|(due, asked)| format!("{asked}/{due}")).collect::<Vec<_>>().join(" ")
    );
    if wanted.iter().any(|(due, asked)| asked > due) {
        say.fail("NC-10", says);
    } else if wanted.iter().all(|(due, asked)| asked == due) {
        say.pass("NC-10", says);
    } else if wanted.iter().any(|(_, asked)| *asked > 0) {
        say.deviates("NC-10", format!("{says}: fewer, as where a packet would become too long"));
    } else {
        say.fail("NC-10", format!("{says}: the stock is never refilled"));
    }
    let placeholders: Vec<(usize, Vec<u8>)> = first
        .iter()
        .flat_map(|question| {
            let len = question.cookie_octets().map_or(0, |cookie| cookie.len());
            let sealed =
                question.open.as_ref().map(|open| open.all(PLACEHOLDER)).unwrap_or_default();
            sealed.into_iter().map(move |field| (len, field.body))
        })
        .collect();
    if placeholders.is_empty() {
        say.unbound("NC-11", "no placeholder was sent");
        say.unbound("NC-12", "no placeholder was sent");
    } else {
        let count = placeholders.len();
        let bad = placeholders.iter().filter(|(len, body)| *len != body.len()).count();
        say.check(
            "NC-11",
            bad == 0,
            format!("{count} placeholders as long as their cookie"),
            format!("{bad} of {count} placeholders have another length than their cookie"),
        );
        let bad =
            placeholders.iter().filter(|(_, body)| body.iter().any(|octet| *octet != 0)).count();
        say.check(
            "NC-12",
            bad == 0,
            format!("{count} placeholders of zeros"),
            format!("{bad} of {count} placeholders are not all zero"),
        );
    }
    nothing_old(view, say);
}

/// After a second key establishment no cookie of the first is used.
fn nothing_old(view: &View<'_>, say: &mut Say) {
    let answered: Vec<(usize, Instant)> = view
        .log
        .sessions
        .iter()
        .enumerate()
        .filter_map(|(nth, session)| Some((nth, session.answered?)))
        .collect();
    let Some(&(nth, second)) = answered.get(1) else { return };
    let later: Vec<&Question> = questions_after(view, second)
        .into_iter()
        .filter(|question| question.cookie.is_some())
        .collect();
    // One that was on its way already.
    let old = later
        .iter()
        .skip(1)
        .filter(|question| question.cookie.is_some_and(|cookie| cookie.session < nth))
        .count();
    if later.len() > 1 {
        say.check(
            "NC-23",
            old == 0,
            format!("{} questions after it, all with new cookies", later.len()),
            format!("{old} of {} questions after it have old cookies", later.len()),
        );
    }
}

/// Whether [`bears_loss`] has seen enough.
pub(in crate::client) fn has_borne_loss(view: &View<'_>) -> bool {
    let second = view.log.sessions.iter().filter_map(|session| session.answered).nth(1);
    second.is_some_and(|second| questions_after(view, second).len() > 2)
}

/// A negative acknowledgment, once beside an answer, once alone.
pub(in crate::client) fn heeds_nak(view: &View<'_>, say: &mut Say) {
    let log = view.log;
    let open: Vec<&Question> =
        log.questions.iter().filter(|question| question.open.is_some()).collect();
    let (Some(beside), Some(alone)) = (open.get(3), open.get(6)) else {
        return unclear(view, say, &format!("the client asked only {} times", open.len()));
    };
    let between =
        log.sessions.iter().skip(1).any(|session| session.at > beside.at && session.at <= alone.at);
    if between {
        say.fail(
            "NC-21",
            "NTSN was followed by a valid answer, and keys were established anew all the same",
        );
        return;
    }
    let usual = view.interval_s(6).unwrap_or(0.0);
    let anew = log.sessions.iter().skip(1).find(|session| session.at > alone.at);
    match anew {
        None => say.unclear(
            "NC-21",
            "after NTSN alone no key establishment followed in the time of the run",
        ),
        Some(session) => {
            let after = view.seconds(session.at - alone.at);
            let holds = after >= 0.4 * usual;
            let says = format!(
                "after NTSN alone keys were established anew {after:.1} s later, questions being {usual:.1} s apart; after NTSN and a valid answer they were not"
            );
            say.check("NC-21", holds, says, format!("keys were established anew {after:.2} s after NTSN, before the next question was due ({usual:.1} s)"));
        }
    }
    nothing_old(view, say);
}

/// Whether [`heeds_nak`] has seen enough.
pub(in crate::client) fn has_heeded_nak(view: &View<'_>) -> bool {
    let second = view.log.sessions.iter().filter_map(|session| session.answered).nth(1);
    second.is_some_and(|second| questions_after(view, second).len() > 3)
}

/// Cookies of 1000 octets, and the second question unanswered.
pub(in crate::client) fn keeps_packets_short(view: &View<'_>, say: &mut Say) {
    let open: Vec<&Question> =
        view.log.questions.iter().filter(|question| question.open.is_some()).collect();
    if view.log.answered().is_none() {
        return unclear(view, say, ABSENT);
    }
    if open.is_empty() {
        say.deviates(
            "KE-56",
            "cookies of 1000 octets are not taken; no server is known to give such",
        );
        say.unbound("NC-13", "cookies of 1000 octets are not taken");
        return;
    }
    say.pass("KE-56", "cookies of 1000 octets came back as they were");
    let longest =
        view.log.questions.iter().map(|question| question.octets.len()).max().unwrap_or(0);
    let lost = open.iter().position(|question| !question.is_answered);
    if lost.is_none_or(|lost| lost + 1 >= open.len()) {
        return say.unclear("NC-13", "no question came after one was lost");
    }
    // 1280 octets of IPv6 less its header and that of UDP.
    let says =
        format!("the longest of {} questions has {longest} octets", view.log.questions.len());
    say.check("NC-13", longest <= 1232, says.clone(), says);
}

/// Whether [`keeps_packets_short`] has seen enough.
pub(in crate::client) fn has_kept_packets_short(view: &View<'_>) -> bool {
    view.log.questions.iter().filter(|question| question.open.is_some()).count() >= 4
}

/// More cookies than asked for, then none.
pub(in crate::client) fn keeps_eight(view: &View<'_>, say: &mut Say) {
    let log = view.log;
    let second = log.sessions.iter().filter_map(|session| session.answered).nth(1);
    let used: Vec<&Question> = log
        .questions
        .iter()
        .take_while(|question| second.is_none_or(|second| question.at < second))
        .collect();
    let lost =
        used.iter().filter(|question| question.open.is_some() && !question.is_answered).count();
    if used.iter().all(|question| !question.is_answered) {
        return unclear(view, say, "the client did not ask");
    }
    if lost > 8 {
        say.fail(
            "NC-18",
            format!("{lost} questions with a cookie each after 20 cookies were given at once"),
        );
    } else if let Some((nth, asked)) = first_wish(view) {
        let what =
            format!("{asked} placeholders in question {nth} after 20 cookies were given at once");
        say.pass("NC-18", format!("{what}: the stock is below eight again"));
    } else if second.is_some() {
        say.pass("NC-18", format!("{lost} questions with a cookie each after 20 cookies were given at once, then keys were established anew"));
    } else {
        unclear(view, say, "the stock did not come to its end in the time of the run");
    }
}

/// The first question after the first that asks for more cookies, from 1, and for how many: who had kept twenty would not yet.
fn first_wish(view: &View<'_>) -> Option<(usize, usize)> {
    let open = view.log.questions.iter().filter(|question| question.open.is_some());
    let mut later = open.skip(1).map(Question::placeholders).zip(1..);
    later.find(|(asked, nth)| *asked > 0 && *nth <= 12).map(|(asked, nth)| (nth, asked))
}

/// Whether [`keeps_eight`] has seen enough.
pub(in crate::client) fn has_kept_eight(view: &View<'_>) -> bool {
    let lost = view
        .log
        .questions
        .iter()
        .filter(|question| question.open.is_some() && !question.is_answered)
        .count();
    lost > 8
        || first_wish(view).is_some()
        || view.log.sessions.iter().filter(|session| session.answered.is_some()).count() > 1
}
