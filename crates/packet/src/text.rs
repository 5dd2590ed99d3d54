//! How a packet reads on one line.

use core::fmt::{self, Write};

use noonmark_units::{Line, Timestamp, UnixTime};

use crate::{Contents, FieldKind, Mode, Packet, Trailer};

/// One line as a person reads it, with units; what says nothing is left out.
///
/// A request: `NTPv4 client, poll 64 s, transmit 01234567.89abcdef; unique identifier 32, cookie 100`. An answer adds
/// stratum and reference, root delay and dispersion, precision, when it was sent, how long the server held the request,
/// and how long ago its clock was set. Numbers after the field names are octets of the body. Dates are given in the
/// NTP era around 2036: right from 1968 to 2104.
impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NTPv{} {}", self.version(), self.mode())?;
        match self.mode() {
            Mode::Control | Mode::Private => {
                return write!(f, ", {} octets", self.datagram().len());
            }
            Mode::Client | Mode::Reserved => fmt_request(self, f)?,
            _ => fmt_answer(self, f)?,
        }
        match self.contents() {
            Ok(contents) => fmt_contents(&contents, f),
            Err(error) => write!(f, "; malformed: {error}"),
        }
    }
}

fn fmt_request(packet: &Packet<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if packet.poll().0 != 0 {
        write!(f, ", poll {}", packet.poll())?;
    }
    if !packet.origin().is_unset() {
        write!(f, ", origin {}", packet.origin())?;
    }
    // In hexadecimal, because a careful client sends a random number instead of its time.
    write!(f, ", transmit {}", packet.transmit())
}

fn fmt_answer(packet: &Packet<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match packet.kiss() {
        Some(code) => write!(f, ", kiss {code}")?,
        None => {
            let reference = packet.reference_id().display(packet.stratum());
            write!(f, ", stratum {} from {reference}", packet.stratum())?;
        }
    }
    write!(f, ", {}, poll {}", packet.leap(), packet.poll())?;
    write!(f, ", root delay {} dispersion {}", packet.root_delay(), packet.root_dispersion())?;
    write!(f, ", precision {}, origin {}", packet.precision(), packet.origin())?;
    let sent = packet.transmit();
    if sent.is_unset() {
        return write!(f, ", no time");
    }
    write!(f, ", sent {}", sent.unix_near(ERA_PIVOT))?;
    fmt_before(f, "received", packet.receive(), sent)?;
    fmt_before(f, "clock set", packet.reference_time(), sent)
}

/// `what` and how long before `sent` it happened.
fn fmt_before(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    time: Timestamp,
    sent: Timestamp,
) -> fmt::Result {
    if time.is_unset() {
        return Ok(());
    }
    let later = time - sent;
    let mut length = Line::<32>::new();
    write!(length, "{later}")?;
    let length = length.as_str().trim_start_matches(['+', '-']);
    let side = if later.is_negative() { "before" } else { "after" };
    write!(f, ", {what} {length} {side}")
}

fn fmt_contents(contents: &Contents<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut separator = ";";
    let mut fields = contents.fields.peekable();
    while let Some(field) = fields.next() {
        let shape = (field.kind, field.body.len());
        let mut alike = 1;
        while fields.next_if(|next| (next.kind, next.body.len()) == shape).is_some() {
            alike += 1;
        }
        let (kind, len): (FieldKind, usize) = shape;
        write!(f, "{separator} {kind} {len}")?;
        if alike > 1 {
            write!(f, " ×{alike}")?;
        }
        separator = ",";
    }
    match contents.trailer {
        Trailer::None => Ok(()),
        Trailer::CryptoNak => write!(f, "{separator} crypto-NAK"),
        Trailer::Mac(mac) => {
            write!(f, "{separator} MAC {} by key {}", mac.digest.len(), mac.key_id)
        }
    }
}

/// The start of era 1.
const ERA_PIVOT: UnixTime = UnixTime { seconds: 2_085_978_496, nanos: 0 };
