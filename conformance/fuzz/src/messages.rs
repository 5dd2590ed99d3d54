use noonmark_os::route::{answer, tells_of_change};
use noonmark_server::{CLOCK_WORDS, ClockState};
use noonmark_units::{Span, UnixTime};
use noonmarkd::message::{Certificate, Epochs, LONGEST, Message, Parts, Text};
use noonmarkd::pages::{BEQUEST_WORDS, Bequest, REPORT_WORDS, Report};
use noonmarkd::role::Role;

use crate::{Fault, Input};

/// Target `messages`: what a role reads of the others and of the kernel. The first octet says what the rest is: a message, the words of one
/// of the pages, a datagram of rtnetlink.
///
/// # Panics
/// If what is read does not write back the same, a role may send what is another's, or a way is read that the octets do not hold.
pub fn messages(octets: &[u8]) {
    messages_through(octets, &|_, _| {});
}

/// [`messages`] with `fault` applied to whatever is written back.
///
/// # Panics
/// As [`messages`].
pub fn messages_through(octets: &[u8], fault: Fault<'_>) {
    let mut input = Input::new(octets);
    match input.octet() % 5 {
        0 => a_message_writes_back_the_same(input.all(), fault),
        1 => a_report_writes_back_the_same(&words(input.all(), REPORT_WORDS), fault),
        2 => a_bequest_writes_back_the_same(&words(input.all(), BEQUEST_WORDS), fault),
        3 => a_state_of_the_clock_writes_back_the_same(&words(input.all(), CLOCK_WORDS), fault),
        _ => a_way_is_one_that_was_said(input.all(), fault),
    }
}

fn a_message_writes_back_the_same(octets: &[u8], fault: Fault<'_>) {
    let message = match Message::parse(octets) {
        Ok(message) => message,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(octets.len() <= LONGEST);
    let mut again = message.to_octets().to_vec();
    fault("message written back", &mut again);
    assert_eq!(again, octets, "{}", message.name());
    // What the launcher says to a role, no role says to the launcher, but for what it passes on.
    let senders = Role::ALL.into_iter().filter(|role| message.may_be_sent_by(*role)).count();
    let partners = Role::ALL.into_iter().filter(|role| message.may_be_sent_to_partner_by(*role));
    let partners = partners.count();
    let receivers = Role::ALL.into_iter().filter(|role| message.may_be_sent_to(*role)).count();
    assert!(senders == 0 || partners == 0, "{}", message.name());
    assert!(senders + partners + receivers > 0, "{} is for nobody", message.name());
    assert!(message.descriptors().end() <= &16);
    what_is_made_of_a_message_is_in_it(&message);
}

fn what_is_made_of_a_message_is_in_it(message: &Message) {
    match message {
        Message::Certificate(certificate) => {
            let Certificate { names, leaf, chain, spki_sha256 } = certificate;
            let names = names.iter().map(Text::as_str);
            assert_eq!(Certificate::new(names, *leaf, *chain, *spki_sha256), *certificate);
            let (_, period) = certificate.judge(UnixTime::new(1_800_000_000, 0));
            assert!(period == *leaf || period == *chain);
        }
        Message::CookieKeys(keys) => {
            let Epochs { oldest, .. } = keys.epochs();
            assert!(keys.keys.iter().all(|key| oldest <= key.epoch()));
        }
        Message::Confined { confined, .. } => {
            for parts in [confined.held, confined.lacking] {
                assert_eq!(parts.iter().fold(Parts::NONE, Parts::with), parts);
                assert_eq!(parts.is_empty(), parts.to_string().is_empty());
            }
        }
        Message::Standing(standing) => {
            let bound = standing.error_bound();
            assert!(standing.root_delay < Span::ZERO || standing.root_dispersion <= bound);
        }
        _ => {}
    }
}

fn a_report_writes_back_the_same(words: &[u64], fault: Fault<'_>) {
    let report = match Report::from_words(words) {
        Ok(Some(report)) => report,
        Ok(None) => return assert!(words.first().is_none_or(|length| *length == 0)),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    // Texts are made short when they are written, and what is read may say the same in several ways; the second time it is settled.
    let once = Report::from_words(&report.to_words()).expect("our own").expect("written");
    let mut again = octets_of(&once.to_words());
    fault("report written back", &mut again);
    let read = Report::from_words(&self::words(&again, REPORT_WORDS));
    assert_eq!(read, Ok(Some(once)));
}

fn a_bequest_writes_back_the_same(words: &[u64], fault: Fault<'_>) {
    let bequest = match Bequest::from_words(words) {
        Ok(Some(bequest)) => bequest,
        Ok(None) => return assert!(words.first().is_none_or(|length| *length == 0)),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut again = octets_of(&bequest.to_words());
    fault("bequest written back", &mut again);
    assert_eq!(Bequest::from_words(&self::words(&again, BEQUEST_WORDS)), Ok(Some(bequest)));
}

fn a_state_of_the_clock_writes_back_the_same(words: &[u64], fault: Fault<'_>) {
    let mut page = [0; CLOCK_WORDS];
    for (place, word) in page.iter_mut().zip(words) {
        *place = *word;
    }
    let state = ClockState::from_words(&page);
    let mut again = octets_of(&state.to_words());
    fault("state written back", &mut again);
    let mut read = [0; CLOCK_WORDS];
    for (place, word) in read.iter_mut().zip(self::words(&again, CLOCK_WORDS)) {
        *place = word;
    }
    assert_eq!(ClockState::from_words(&read).to_words(), state.to_words());
}

/// Every number and address of the way stands in the datagram.
fn a_way_is_one_that_was_said(datagram: &[u8], fault: Fault<'_>) {
    let _ = tells_of_change(datagram);
    let mut datagram = datagram.to_vec();
    let said = answer(&datagram, SEQUENCE);
    fault("datagram read again", &mut datagram);
    assert_eq!(answer(&datagram, SEQUENCE), said);
    let holds = |octets: &[u8]| datagram.windows(octets.len()).any(|part| part == octets);
    let Some(noonmark_os::route::Answer::Way(way)) = said else { return };
    assert!(way.interface == 0 || holds(&way.interface.to_ne_bytes()));
    for address in [way.gateway, way.source].into_iter().flatten() {
        match address {
            std::net::IpAddr::V4(address) => assert!(holds(&address.octets())),
            std::net::IpAddr::V6(address) => assert!(holds(&address.octets())),
        }
    }
}

/// Up to `most` words of eight octets; what is left over is filled up with zeros.
fn words(octets: &[u8], most: usize) -> Vec<u64> {
    let mut input = Input::new(octets);
    let mut words = Vec::new();
    while !input.is_empty() && words.len() < most {
        words.push(u64::from_be_bytes(input.array()));
    }
    words
}

fn octets_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The number of the question that is answered, in the machine's own order as it is read.
const SEQUENCE: u32 = 7;
