//! What scripts find in what they saw.

mod answers;
mod establishment;
mod pace;
mod question;
mod stock;

use std::time::Instant;

use super::log::Question;
use super::say::Say;
use super::script::View;

pub(super) use answers::{
    ABSURD_POLL, DENIED, has_heard, has_obeyed_deny, has_obeyed_rate, obeys_deny,
    obeys_no_false_kiss, obeys_rate, takes_no_forgery,
};
pub(super) use establishment::{
    gave_up, gives_up, goes_on, goes_on_or_deviates, goes_to_the_port, has_gone_on, may_be_early,
    said_nothing, says_nothing, stays_with_tls13, stops_at_the_end, takes_the_aead,
};
pub(super) use pace::{does_not_repeat, is_patient, retries_slowly};
pub(super) use question::is_well_formed;
pub(super) use stock::{
    bears_loss, has_borne_loss, has_heeded_nak, has_kept_eight, has_kept_packets_short, heeds_nak,
    keeps_eight, keeps_packets_short,
};

/// What is said where a client never came to an address.
const ABSENT: &str = "the client did not come to this address in the time of the run";

/// Says the same of all clauses of a script.
fn unclear(view: &View<'_>, say: &mut Say, why: &str) {
    for id in view.script.clauses {
        say.unclear(id, format!("{}: {why}", view.script.name));
    }
}

/// NTP packets that came after a moment.
fn questions_after<'a>(view: &'a View<'_>, from: Instant) -> Vec<&'a Question> {
    view.log.questions.iter().filter(|question| question.at > from).collect()
}
