//! The page in which the role that asks the sources shows where they and the clock stand, for observe.
//!
//! Word 0 is the length of what follows in octets; these are laid out as the fields of a message are, in the order of the fields
//! below: first those of [`ClockReport`], then the number of sources (2) and each [`SourceLine`].

use std::time::Duration;

use noonmark_clock::ClockState;
use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Frequency, Mono, Span};
use zeroize::Zeroizing;

use crate::message::codec::{Reader, Writer, octets_of, words_of};
use crate::message::{MessageError, Text};

/// Everything shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The clock.
    pub clock: ClockReport,
    /// Each source, in the order of the configuration.
    pub sources: Vec<SourceLine>,
}

/// Where the clock stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockReport {
    /// When this was so.
    pub at: Mono,
    /// Whether it follows anything.
    pub state: ClockState,
    /// What the sources say of leap seconds.
    pub leap: Leap,
    /// Ours, 16 without a reference.
    pub stratum: u8,
    /// The number of the followed source with the least distance; 0 without one.
    pub reference: u32,
    /// What our answers call it.
    pub reference_id: ReferenceId,
    /// True time minus the clock, as estimated; `None` while nothing is known of it.
    pub offset: Option<Span>,
    /// Standard deviation of that.
    pub offset_sigma: Option<Span>,
    /// How much faster than the oscillator the clock is to run.
    pub frequency: Frequency,
    /// Standard deviation of that.
    pub skew: Frequency,
    /// How the frequency wanders in a second.
    pub wander: Frequency,
    /// Round trip to the primary source.
    pub root_delay: Span,
    /// Bound on the clock's error without half the root delay; `None` while there is no bound.
    pub root_dispersion: Option<Span>,
    /// True time minus the clock is no less than this.
    pub earliest: Option<Span>,
    /// And no more than this.
    pub latest: Option<Span>,
    /// What the last update found the clock to be off by.
    pub last_correction: Span,
    /// When that was.
    pub last_update: Option<Mono>,
    /// When the next question is due, to whomever.
    pub next_question: Option<Mono>,
    /// From one question to the next, of the source asked most often.
    pub interval: Duration,
    /// Updates so far.
    pub updates: u32,
    /// How many independent sources agree.
    pub agreeing: u32,
    /// Corrections that were refused.
    pub refusals: u32,
    /// Why the last one was.
    pub refused: Text,
}

/// Where one source stands.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLine {
    /// Its number; 0 for a name without a server.
    pub number: u32,
    /// Its place in the configuration, from 0.
    pub place: u32,
    /// Its name in the configuration.
    pub name: Text,
    /// Address and port asked; empty while it is not known.
    pub address: Text,
    /// A fixed word for what became of it in the selection.
    pub state: Text,
    /// The same as a sentence.
    pub why: Text,
    /// Why there is no server, or no keys, or why it is not asked any more.
    pub note: Text,
    /// Whether nothing unproven is taken from it.
    pub is_nts: bool,
    /// IANA's number of the algorithm; 0 without keys.
    pub aead: u32,
    /// Cookies in the jar.
    pub cookies: u32,
    /// Failures of key establishment since the last success.
    pub failures: u32,
    /// Whether its last answer proved its origin.
    pub authenticated: bool,
    /// Whether its last answer was an interleaved one.
    pub interleaved: bool,
    /// 0 before it answered.
    pub stratum: u8,
    /// The last eight questions.
    pub reach: u8,
    /// When its last answer came.
    pub last_answer: Option<Mono>,
    /// When the next question is due.
    pub next_question: Option<Mono>,
    /// From one question to the next.
    pub interval: Duration,
    /// The server minus the clock as the last answer measured it, when it came.
    pub offset: Span,
    /// The same now, what was done to the clock since taken into account.
    pub offset_now: Span,
    /// Standard deviation of what chance adds to one such measurement.
    pub offset_sigma: Span,
    /// Half the width of what its answers allow.
    pub distance: Span,
    /// The least round trip known.
    pub delay: Span,
    /// Mean of what round trips take longer.
    pub jitter: Span,
    /// Questions sent.
    pub asked: u64,
    /// Answers with usable time.
    pub measured: u64,
    /// Questions without an answer that counts.
    pub unanswered: u64,
    /// Kisses that answered a question.
    pub kisses: u64,
    /// Datagrams dropped.
    pub refused: u64,
}

/// Words of the page.
pub const REPORT_WORDS: usize = 20_480;
/// More than the configuration allows, and few enough for the page whatever their texts are.
pub const MOST_SOURCES: usize = 96;

impl Report {
    /// The words of the page. Sources beyond [`MOST_SOURCES`] are left out.
    #[must_use]
    pub fn to_words(&self) -> Vec<u64> {
        let mut to = Writer(Zeroizing::new(Vec::new()));
        self.clock.write(&mut to);
        let shown = self.sources.iter().take(MOST_SOURCES);
        to.u16(u16::try_from(shown.len()).unwrap_or(u16::MAX));
        shown.for_each(|source| source.write(&mut to));
        words_of(&to)
    }

    /// What the words of a page say; `None` before it was first written.
    ///
    /// # Errors
    /// Words that [`Report::to_words`] would not have written.
    pub fn from_words(words: &[u64]) -> Result<Option<Self>, MessageError> {
        let Some(octets) = octets_of(words)? else { return Ok(None) };
        let mut from = Reader(&octets);
        let clock = ClockReport::parse(&mut from)?;
        let count = usize::from(from.u16()?);
        if count > MOST_SOURCES {
            return Err(MessageError::Value { what: "number of sources" });
        }
        let sources = (0..count).map(|_| SourceLine::parse(&mut from)).collect::<Result<_, _>>()?;
        if !from.0.is_empty() {
            return Err(MessageError::Length { len: from.0.len() });
        }
        Ok(Some(Self { clock, sources }))
    }
}

impl Default for ClockReport {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            at: Mono(0),
            state: ClockState::Unsynchronised,
            leap: Leap::Unsynchronised,
            stratum: 16,
            reference: 0,
            reference_id: ReferenceId::NONE,
            offset: None,
            offset_sigma: None,
            frequency: Frequency::ZERO,
            skew: Frequency::ZERO,
            wander: Frequency::ZERO,
            root_delay: Span::ZERO,
            root_dispersion: None,
            earliest: None,
            latest: None,
            last_correction: Span::ZERO,
            last_update: None,
            next_question: None,
            interval: Duration::ZERO,
            updates: 0,
            agreeing: 0,
            refusals: 0,
            refused: Text::default(),
        }
    }
}

impl ClockReport {
    fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        Ok(Self {
            at: Mono(from.u64()?),
            state: match from.u8()? {
                0 => ClockState::Unsynchronised,
                1 => ClockState::Synchronised,
                2 => ClockState::Holdover,
                _ => return Err(MessageError::Value { what: "state of the clock" }),
            },
            leap: Leap::from_octet(from.u8()? << 6),
            stratum: from.u8()?,
            reference: from.u32()?,
            reference_id: ReferenceId(from.array()?),
            offset: maybe_span(from)?,
            offset_sigma: maybe_span(from)?,
            frequency: from.frequency()?,
            skew: from.frequency()?,
            wander: from.frequency()?,
            root_delay: from.span()?,
            root_dispersion: maybe_span(from)?,
            earliest: maybe_span(from)?,
            latest: maybe_span(from)?,
            last_correction: from.span()?,
            last_update: instant(from)?,
            next_question: instant(from)?,
            interval: Duration::from_nanos(from.u64()?),
            updates: from.u32()?,
            agreeing: from.u32()?,
            refusals: from.u32()?,
            refused: from.text()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.put(&self.at.0.to_be_bytes());
        let state = match self.state {
            ClockState::Unsynchronised => 0,
            ClockState::Synchronised => 1,
            ClockState::Holdover => 2,
        };
        to.put(&[state, self.leap.number(), self.stratum]);
        to.u32(self.reference);
        to.put(&self.reference_id.0);
        write_maybe_span(self.offset, to);
        write_maybe_span(self.offset_sigma, to);
        to.frequency(self.frequency);
        to.frequency(self.skew);
        to.frequency(self.wander);
        to.span(self.root_delay);
        for bound in [self.root_dispersion, self.earliest, self.latest] {
            write_maybe_span(bound, to);
        }
        to.span(self.last_correction);
        write_instant(self.last_update, to);
        write_instant(self.next_question, to);
        write_length(self.interval, to);
        to.u32(self.updates);
        to.u32(self.agreeing);
        to.u32(self.refusals);
        to.text(&self.refused);
    }
}

impl SourceLine {
    fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        Ok(Self {
            number: from.u32()?,
            place: from.u32()?,
            name: from.text()?,
            address: from.text()?,
            state: from.text()?,
            why: from.text()?,
            note: from.text()?,
            is_nts: from.flag()?,
            aead: from.u32()?,
            cookies: from.u32()?,
            failures: from.u32()?,
            authenticated: from.flag()?,
            interleaved: from.flag()?,
            stratum: from.u8()?,
            reach: from.u8()?,
            last_answer: instant(from)?,
            next_question: instant(from)?,
            interval: Duration::from_nanos(from.u64()?),
            offset: from.span()?,
            offset_now: from.span()?,
            offset_sigma: from.span()?,
            distance: from.span()?,
            delay: from.span()?,
            jitter: from.span()?,
            asked: from.u64()?,
            measured: from.u64()?,
            unanswered: from.u64()?,
            kisses: from.u64()?,
            refused: from.u64()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.u32(self.number);
        to.u32(self.place);
        to.text(&short(&self.name));
        to.text(&short(&self.address));
        to.text(&short(&self.state));
        to.text(&short(&self.why));
        to.text(&short(&self.note));
        to.put(&[u8::from(self.is_nts)]);
        to.u32(self.aead);
        to.u32(self.cookies);
        to.u32(self.failures);
        to.put(&[
            u8::from(self.authenticated),
            u8::from(self.interleaved),
            self.stratum,
            self.reach,
        ]);
        write_instant(self.last_answer, to);
        write_instant(self.next_question, to);
        write_length(self.interval, to);
        let Self { offset, offset_now, offset_sigma, distance, delay, jitter, .. } = self;
        for span in [offset, offset_now, offset_sigma, distance, delay, jitter] {
            to.span(*span);
        }
        for count in [self.asked, self.measured, self.unanswered, self.kisses, self.refused] {
            to.put(&count.to_be_bytes());
        }
    }
}

/// The monotonic clock's start stands for "never".
fn instant(from: &mut Reader<'_>) -> Result<Option<Mono>, MessageError> {
    from.u64().map(|nanos| (nanos != 0).then_some(Mono(nanos)))
}

fn write_instant(instant: Option<Mono>, to: &mut Writer) {
    to.put(&instant.map_or(0, |instant| instant.0).to_be_bytes());
}

fn maybe_span(from: &mut Reader<'_>) -> Result<Option<Span>, MessageError> {
    let (is_known, span) = (from.flag()?, from.span()?);
    Ok(is_known.then_some(span))
}

fn write_maybe_span(span: Option<Span>, to: &mut Writer) {
    to.put(&[u8::from(span.is_some())]);
    to.span(span.unwrap_or(Span::ZERO));
}

fn write_length(length: Duration, to: &mut Writer) {
    to.put(&u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
}

/// Texts of a source have 256 octets at most, as the longest name has.
fn short(text: &Text) -> Text {
    let text = text.as_str();
    Text::new(text.get(..text.floor_char_boundary(256)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(state: &str) -> SourceLine {
        let seconds = Span::from_seconds;
        SourceLine {
            number: 3,
            place: 1,
            name: Text::new("time.example.net"),
            address: Text::new("[2001:db8::1]:123"),
            state: Text::new(state),
            why: Text::new("it is so"),
            note: Text::new("a reason"),
            is_nts: true,
            aead: 30,
            cookies: 8,
            failures: 2,
            authenticated: true,
            interleaved: false,
            stratum: 2,
            reach: 0o377,
            last_answer: Some(Mono(5)),
            next_question: None,
            interval: Duration::from_secs(64),
            offset: seconds(-1),
            offset_now: seconds(5),
            offset_sigma: seconds(6),
            distance: seconds(2),
            delay: seconds(3),
            jitter: seconds(4),
            asked: 5,
            measured: 4,
            unanswered: 1,
            kisses: 6,
            refused: 7,
        }
    }

    #[test]
    fn a_report_survives_the_page() {
        let report = Report {
            clock: ClockReport {
                refused: Text::new("no"),
                refusals: 1,
                last_update: Some(Mono(9)),
                offset: Some(Span::from_seconds(-2)),
                latest: Some(Span::from_seconds(3)),
                ..ClockReport::default()
            },
            sources: ["", "followed", "waiting"].into_iter().map(line).collect(),
        };
        assert_eq!(Report::from_words(&report.to_words()), Ok(Some(report)));
        assert_eq!(Report::from_words(&[0; 16]), Ok(None), "not written yet");
        assert!(
            Report::from_words(&[9, 0, 0]).is_err() && Report::from_words(&[u64::MAX]).is_err()
        );
    }

    #[test]
    fn the_longest_report_fits_the_page() {
        let long = Text::new(&"x".repeat(5000));
        let source = SourceLine {
            name: long.clone(),
            address: long.clone(),
            note: long.clone(),
            why: long.clone(),
            ..line(&"y".repeat(5000))
        };
        let clock = ClockReport { refused: long, ..ClockReport::default() };
        let report = Report { clock, sources: vec![source; MOST_SOURCES + 1] };
        let words = report.to_words();
        assert!(words.len() <= REPORT_WORDS, "{}", words.len());
        let read = Report::from_words(&words).expect("well formed").expect("written");
        assert_eq!(read.sources.len(), MOST_SOURCES);
    }

    proptest! {
        #[test]
        fn any_words_are_a_report_or_refused(words in proptest::collection::vec(any::<u64>(), 0..64), len in 0..512_u64) {
            let mut words = words;
            if let Some(first) = words.first_mut() {
                *first = len;
            }
            let _ = Report::from_words(&words);
        }
    }
}
