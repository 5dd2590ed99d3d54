//! One line of the demonstration.

use noonmark_client::{Exchange, Refusal};
use noonmark_nts::Aead;
use noonmark_os::clock;
use noonmark_packet::KissCode;
use serde::Serialize;

use crate::paint::Paint;
use crate::query::{OFFSET, signed, unsigned};

/// What became of one question, and how the association stands.
pub(super) struct Row {
    pub(super) state: State,
    pub(super) aead: Option<Aead>,
    pub(super) cookies_left: Option<usize>,
    /// What the server says it answers, everybody's questions together.
    pub(super) answers_per_second: Option<f64>,
}

/// What became of one question.
pub(super) enum State {
    /// Answered, and the answer proved its origin.
    Verified(Exchange),
    Refused(Refusal),
    Kiss {
        code: KissCode,
        authenticated: bool,
    },
    Unanswered,
    Failed(String),
}

/// A row as a program reads it (docs/json.md).
#[derive(Debug, Serialize)]
pub(super) struct Object {
    time: String,
    offset: Option<f64>,
    delay: Option<f64>,
    nts: NtsObject,
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct NtsObject {
    aead: Option<u16>,
    cookies: Option<usize>,
}

impl Row {
    /// The headings over [`line`](Self::line).
    pub(super) fn headings() -> String {
        cells(
            ["time (UTC)", OFFSET, "delay", "NTS", "AEAD", "cookies", "answers/s"]
                .map(str::to_owned),
        )
    }

    /// The row as a person reads it.
    pub(super) fn line(&self, paint: Paint) -> String {
        let (offset, delay) = match &self.state {
            State::Verified(exchange) => (
                signed(exchange.offset().as_seconds_f64()),
                unsigned(exchange.delay().as_seconds_f64()),
            ),
            _ => ("-".to_owned(), "-".to_owned()),
        };
        let state = format!("{:<width$}", self.state.word(), width = WIDTHS[3]);
        let dash = || "-".to_owned();
        let plain = cells([
            self.time_of_day(),
            offset,
            delay,
            STATE_PLACE.repeat(WIDTHS[3]),
            self.aead.map_or_else(dash, |aead| aead.to_string()),
            self.cookies_left.map_or_else(dash, |cookies| cookies.to_string()),
            self.answers_per_second.map_or_else(dash, |rate| format!("{rate:.1}")),
        ]);
        let painted = if self.state.is_verified() { paint.good(&state) } else { paint.bad(&state) };
        // Painted last: the codes have no width on the screen, but the padding would count them.
        let line = plain.replace(&STATE_PLACE.repeat(WIDTHS[3]), &painted);
        match self.state.detail() {
            Some(detail) => format!("{}  {detail}", line.trim_end()),
            None => line,
        }
    }

    /// The row as a program reads it.
    pub(super) fn object(&self) -> Object {
        let exchange = match &self.state {
            State::Verified(exchange) => Some(exchange),
            _ => None,
        };
        Object {
            time: self.time(),
            offset: exchange.map(|exchange| exchange.offset().as_seconds_f64()),
            delay: exchange.map(|exchange| exchange.delay().as_seconds_f64()),
            nts: NtsObject { aead: self.aead.map(Aead::id), cookies: self.cookies_left },
            authenticated: exchange.is_some_and(|exchange| exchange.authenticated),
            error: exchange
                .is_none()
                .then(|| self.state.detail().unwrap_or_else(|| self.state.word().to_owned())),
        }
    }

    /// When the answer came, or now, RFC 3339.
    fn time(&self) -> String {
        let now = clock::realtime();
        match &self.state {
            State::Verified(exchange) => exchange.destination.unix_near(now).to_string(),
            _ => now.to_string(),
        }
    }

    fn time_of_day(&self) -> String {
        let time = self.time();
        // RFC 3339: the date, a T, the time of day with nine digits of fraction.
        time.split_once('T').and_then(|(_, time)| time.get(..12)).unwrap_or(&time).to_owned()
    }
}

impl State {
    fn is_verified(&self) -> bool {
        matches!(self, Self::Verified(exchange) if exchange.authenticated)
    }

    /// The state in a word.
    fn word(&self) -> &'static str {
        match self {
            Self::Verified(_) => "verified",
            Self::Refused(_) => "refused",
            Self::Kiss { .. } => "kiss",
            Self::Unanswered => "no answer",
            Self::Failed(_) => "failed",
        }
    }

    /// What there is to say beyond the word.
    fn detail(&self) -> Option<String> {
        match self {
            Self::Verified(_) | Self::Unanswered => None,
            Self::Refused(refusal) => Some(refusal.to_string()),
            Self::Kiss { code, authenticated: true } => Some(format!("{code} (authenticated)")),
            Self::Kiss { code, authenticated: false } => {
                Some(format!("{code} (not authenticated)"))
            }
            Self::Failed(error) => Some(error.clone()),
        }
    }
}

/// Cells in columns of fixed width, words to the left and numbers to the right.
fn cells([time, offset, delay, state, aead, cookies, rate]: [String; 7]) -> String {
    let [time_w, offset_w, delay_w, state_w, aead_w, cookies_w, rate_w] = WIDTHS;
    format!(
        "{time:<time_w$}  {offset:>offset_w$}  {delay:>delay_w$}  {state:<state_w$}  {aead:<aead_w$}  {cookies:>cookies_w$}  {rate:>rate_w$}"
    )
}

const WIDTHS: [usize; 7] = [12, OFFSET.len(), 10, 9, 16, 7, 9];
/// Stands in for the state while the row is padded; occurs in no other cell.
const STATE_PLACE: &str = "\u{1}";

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_packet::{Leap, ReferenceId};
    use noonmark_units::{PollExponent, Precision, Short, Timestamp};

    fn verified() -> State {
        let stamp = Timestamp::from_unix(clock::realtime());
        State::Verified(Exchange {
            origin: stamp,
            receive: stamp,
            transmit: stamp,
            destination: stamp,
            leap: Leap::None,
            stratum: 1,
            poll: PollExponent(0),
            precision: Precision(-20),
            root_delay: Short::ZERO,
            root_dispersion: Short::ZERO,
            reference_id: ReferenceId::NONE,
            reference_time: stamp,
            local_precision: Precision(-20),
            authenticated: true,
        })
    }

    fn row(state: State) -> Row {
        Row {
            state,
            aead: Some(Aead::Aes128GcmSiv),
            cookies_left: Some(8),
            answers_per_second: Some(1.0),
        }
    }

    #[test]
    fn rows_line_up_with_their_headings() {
        let headings = Row::headings();
        for state in [verified(), State::Unanswered] {
            let line = row(state).line(Paint::PLAIN);
            assert_eq!(line.chars().count(), headings.chars().count(), "{line}\n{headings}");
        }
    }

    #[test]
    fn only_a_verified_sample_is_authenticated_and_has_numbers() {
        let check = |state, good: bool| {
            let object = serde_json::to_value(row(state).object()).expect("JSON");
            assert_eq!(object["authenticated"], good);
            assert_eq!(object["offset"].is_f64() && object["delay"].is_f64(), good);
            assert_eq!(object["error"].is_string(), !good);
            assert_eq!(object["nts"]["aead"], 30);
            assert_eq!(object["nts"]["cookies"], 8);
        };
        check(verified(), true);
        check(State::Unanswered, false);
        check(State::Failed("x".to_owned()), false);
        check(State::Refused(Refusal::WrongOrigin), false);
    }
}
