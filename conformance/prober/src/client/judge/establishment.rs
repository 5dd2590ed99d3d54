//! How a client takes what key establishment says.

use super::{ABSENT, questions_after, unclear};
use crate::client::log::Mark;
use crate::client::say::Say;
use crate::client::script::View;
use crate::octets::record::AEAD;

/// The script spoilt key establishment: no NTP may follow.
pub(in crate::client) fn gives_up(view: &View<'_>, say: &mut Say) {
    let name = view.script.name;
    let Some(answered) = view.log.answered() else {
        let why = match view.log.sessions.iter().find_map(|session| session.trouble.clone()) {
            Some(trouble) => format!("TLS ended before a request came: {trouble}"),
            None => ABSENT.to_owned(),
        };
        return unclear(view, say, &why);
    };
    let after = questions_after(view, answered);
    if let Some(first) = after.first() {
        let late = view.seconds(first.at - answered);
        for id in view.script.clauses {
            say.fail(id, format!("{name}: {late:.1} s after this response the client sent an NTP packet of {} octets", first.octets.len()));
        }
        return;
    }
    let Some(honest) = view.honest else {
        return unclear(view, say, "silence, and no question to an honest server to set beside it");
    };
    let quiet = view.seconds(view.now.saturating_duration_since(answered));
    if quiet < view.quiet_s() {
        return unclear(view, say, &format!("only {quiet:.1} s of silence were waited for"));
    }
    for id in view.script.clauses {
        let honest = view.seconds(honest);
        say.pass(id, format!("{name}: no NTP packet in {quiet:.0} s after the response; an honest server was asked after {honest:.1} s"));
    }
}

/// Whether [`gives_up`] has seen enough.
pub(in crate::client) fn gave_up(view: &View<'_>) -> bool {
    let Some(answered) = view.log.answered() else { return false };
    let quiet = view.seconds(view.now.saturating_duration_since(answered));
    !questions_after(view, answered).is_empty() || (view.honest.is_some() && quiet > view.quiet_s())
}

/// The script's TLS or certificate is not good: no request may come.
pub(in crate::client) fn says_nothing(view: &View<'_>, say: &mut Say) {
    if view.log.sessions.is_empty() {
        return unclear(view, say, ABSENT);
    }
    let name = view.script.name;
    let asked = view.log.sessions.iter().find(|session| !session.request.is_empty());
    for id in view.script.clauses {
        if let Some(session) = asked {
            say.fail(
                id,
                format!("{name}: the client sent a request of {} octets", session.request.len()),
            );
        } else if !view.log.questions.is_empty() {
            say.fail(id, format!("{name}: the client sent NTP without key establishment"));
        } else {
            let how = view.log.sessions.iter().find_map(|session| session.trouble.clone());
            say.pass(
                id,
                format!(
                    "{name}: no request came; TLS ended with: {}",
                    how.unwrap_or_else(|| "the end of the connection".to_owned())
                ),
            );
        }
    }
}

/// The script's certificate is not valid yet. A client that does not know the time may overlook that (RFC 8915 §8.5).
pub(in crate::client) fn may_be_early(view: &View<'_>, say: &mut Say) {
    if view.log.sessions.iter().any(|session| !session.request.is_empty()) {
        let why =
            "the client sent a request, as one may that does not know the time yet (RFC 8915 §8.5)";
        return say.deviates("KE-06", format!("{}: {why}", view.script.name));
    }
    says_nothing(view, say);
}

/// Whether [`says_nothing`] has seen enough: something came, or the connection is long over.
pub(in crate::client) fn said_nothing(view: &View<'_>) -> bool {
    let asked = view.log.sessions.iter().any(|session| !session.request.is_empty());
    let ended = view.log.sessions.iter().any(|session| session.trouble.is_some());
    asked || (ended && view.age_s() > 2.0) || view.age_s() > 8.0
}

/// TLS 1.2 was chosen.
pub(in crate::client) fn stays_with_tls13(view: &View<'_>, say: &mut Say) {
    says_nothing(view, say);
    if let Some(hello) = view.log.sessions.iter().find_map(|session| session.hello.as_ref()) {
        let old = hello.versions.iter().any(|version| (0x0300..0x0304).contains(version));
        say.check(
            "KE-01",
            !old,
            "the client offers TLS 1.3 and nothing older",
            format!("the client offers {:04x?}", hello.versions),
        );
    }
}

/// The script was odd in a way that must not matter: NTP has to follow.
pub(in crate::client) fn goes_on(view: &View<'_>, say: &mut Say) {
    match went_on(view) {
        Ok(says) => view.script.clauses.iter().for_each(|id| say.pass(id, says.clone())),
        Err(None) => unclear(view, say, ABSENT),
        Err(Some(why)) => view.script.clauses.iter().for_each(|id| say.fail(id, why.clone())),
    }
}

/// The same where not going on is harmless.
pub(in crate::client) fn goes_on_or_deviates(view: &View<'_>, say: &mut Say) {
    match went_on(view) {
        Ok(says) => view.script.clauses.iter().for_each(|id| say.pass(id, says.clone())),
        Err(None) => unclear(view, say, ABSENT),
        Err(Some(why)) => {
            for id in view.script.clauses {
                say.deviates(id, format!("{why}; no server is known to need it"));
            }
        }
    }
}

/// What shows that the client went on; or `None` if it never came, and why not.
fn went_on(view: &View<'_>) -> Result<String, Option<String>> {
    let name = view.script.name;
    let Some(answered) = view.log.answered() else {
        let trouble = view.log.sessions.iter().find_map(|session| session.trouble.clone());
        return Err(trouble.map(|trouble| format!("{name}: no request came: {trouble}")));
    };
    match view.log.questions.iter().find(|question| question.open.is_some()) {
        Some(question) => {
            let after = view.seconds(question.at.saturating_duration_since(answered));
            Ok(format!("{name}: an authentic question followed {after:.1} s after the response"))
        }
        None => Err(Some(format!(
            "{name}: no authentic question in {:.0} s",
            view.seconds(view.now - answered)
        ))),
    }
}

/// Whether [`goes_on`] has seen enough.
pub(in crate::client) fn has_gone_on(view: &View<'_>) -> bool {
    view.log.questions.iter().any(|question| question.open.is_some())
}

/// Cookies behind End of Message must not be used.
pub(in crate::client) fn stops_at_the_end(view: &View<'_>, say: &mut Say) {
    if view.log.used(Mark::Bad("a cookie behind End of Message")) {
        say.fail("KE-11", "a cookie that stood behind End of Message was used");
    } else if view.log.answered().is_none() {
        unclear(view, say, ABSENT);
    } else {
        say.pass("KE-11", "no cookie that stood behind End of Message was used, in as many questions as there were cookies before it");
    }
}

/// Key establishment named another port.
pub(in crate::client) fn goes_to_the_port(view: &View<'_>, say: &mut Say) {
    goes_on(view, say);
    let open = view.log.questions.iter().find(|question| question.open.is_some());
    if let Some(question) = open {
        say.check(
            "KE-66",
            question.at_named_port,
            "NTP came to the port that was named",
            "NTP came to another port than the one named",
        );
    }
}

/// Another AEAD was chosen: keys of its length have to come out.
pub(in crate::client) fn takes_the_aead(view: &View<'_>, say: &mut Say) {
    let wanted = view.script.cipher.number();
    let Some(session) = view.log.sessions.iter().find(|session| session.answered.is_some()) else {
        return unclear(view, say, ABSENT);
    };
    if !session.numbers(AEAD).contains(&wanted) {
        for id in view.script.clauses {
            say.unbound(id, format!("the client does not offer AEAD {wanted}"));
        }
        return;
    }
    goes_on(view, say);
}
