//! `noonmark decode`: packets and records in full, and what is wrong with them.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args, ValueEnum};
use noonmark_prober::decode::{
    Context, Decoded, KeySet, Packet, Speaker, Wanted, capture, datagram, message, packets,
};
use noonmark_prober::evidence::from_hex;

use crate::Verdict;
use crate::output::{complain, deliver};
use crate::paint::Paint;

/// `noonmark decode`.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(group(ArgGroup::new("input").required(true).args(["pcap", "hex"])))]
pub struct DecodeArguments {
    /// Read a recording, pcap or pcapng
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Read one packet from hexadecimal digits; `-` takes them from standard input
    #[arg(long, value_name = "DIGITS")]
    pub hex: Option<String>,
    /// The digits are what this side of NTS key establishment says inside TLS, not a packet
    #[arg(long, value_name = "SIDE", conflicts_with = "pcap")]
    pub ke: Option<Side>,
    /// Decrypt with the keys in this file (docs/decode.md)
    #[arg(long, value_name = "FILE", conflicts_with = "ke")]
    pub keys: Option<PathBuf>,
    /// UDP port of NTP in the recording; may be repeated [default: 123]
    #[arg(long, value_name = "PORT", conflicts_with = "hex", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Vec<u16>,
    /// TCP port of key establishment in the recording
    #[arg(long, value_name = "PORT", default_value_t = 4460, value_parser = clap::value_parser!(u16).range(1..))]
    pub ke_port: u16,
    /// Print one JSON object for each packet, one per line (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

/// A side of NTS key establishment.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Side {
    /// The client: the octets are a request
    Request,
    /// The server: the octets are a response
    Response,
}

/// Reads what was given and prints it.
#[must_use]
pub fn run(arguments: &DecodeArguments) -> Verdict {
    let mut out =
        Out { json: arguments.json, paint: Paint::for_stream(&io::stdout()), ..Out::default() };
    let found = match read(arguments, &mut out) {
        Ok(()) if out.is_wrong => Verdict::Warning,
        Ok(()) => Verdict::Good,
        Err(problem) => {
            complain(problem);
            Verdict::Critical
        }
    };
    deliver(found, out.written)
}

fn read(arguments: &DecodeArguments, out: &mut Out) -> Result<(), String> {
    let keys = arguments.keys.as_deref().map(keys).transpose()?.unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let near_s = i64::try_from(now).unwrap_or(i64::MAX);
    if let Some(path) = &arguments.pcap {
        let ports = if arguments.port.is_empty() { &[123][..] } else { &arguments.port };
        return recording(
            path,
            &Wanted { ports, ke_port: arguments.ke_port, keys: &keys, near_s },
            out,
        );
    }
    let octets = digits(arguments.hex.as_deref().unwrap_or_default())?;
    let decoded = match arguments.ke {
        Some(Side::Request) => message(&octets, Speaker::Client),
        Some(Side::Response) => message(&octets, Speaker::Server),
        None => datagram(&octets, Context { keys: &keys, near_s }),
    };
    out.show(&Packet::alone(decoded));
    Ok(())
}

fn recording(path: &Path, wanted: &Wanted<'_>, out: &mut Out) -> Result<(), String> {
    let failed = |why: String| format!("{}: {why}", path.display());
    let octets = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let capture = capture::read(&octets).map_err(|error| failed(error.to_string()))?;
    let elsewhere = packets(&capture, wanted, |packet| out.show(&packet));
    if elsewhere > 0 {
        let ports: Vec<String> = wanted.ports.iter().map(u16::to_string).collect();
        complain(format_args!(
            "{elsewhere} UDP datagrams are not on port {}; --port names others",
            ports.join(", ")
        ));
    }
    match capture.cut {
        Some(cut) => Err(failed(format!("it ends early: {cut}"))),
        None => Ok(()),
    }
}

fn keys(path: &Path) -> Result<Vec<KeySet>, String> {
    let failed = |why: String| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    KeySet::read_all(&text).map_err(|error| failed(error.to_string()))
}

fn digits(text: &str) -> Result<Vec<u8>, String> {
    let mut given = text.to_owned();
    if text == "-" {
        given.clear();
        let read = io::stdin().lock().take(MOST_DIGITS).read_to_string(&mut given);
        read.map_err(|error| format!("standard input: {error}"))?;
    }
    from_hex(&given).ok_or_else(|| {
        "these are no octets: hexadecimal digits are wanted, two for each, white space, ':' and '-' between them as you like".to_owned()
    })
}

/// Where packets are shown as they are read.
struct Out {
    json: bool,
    paint: Paint,
    is_first: bool,
    /// Whether a packet does not keep what it must, or could not be read.
    is_wrong: bool,
    written: io::Result<()>,
}

impl Default for Out {
    fn default() -> Self {
        Self { json: false, paint: Paint::PLAIN, is_first: true, is_wrong: false, written: Ok(()) }
    }
}

impl Out {
    fn show(&mut self, packet: &Packet) {
        self.is_wrong |=
            packet.unread.is_some() || packet.decoded.as_ref().is_some_and(Decoded::is_wrong);
        if self.written.is_err() {
            return;
        }
        let text = if self.json {
            serde_json::to_string(packet).map(|text| text + "\n").map_err(io::Error::from)
        } else {
            Ok(for_people(packet, self.paint, self.is_first))
        };
        self.is_first = false;
        self.written = text.and_then(|text| io::stdout().lock().write_all(text.as_bytes()));
    }
}

fn for_people(packet: &Packet, paint: Paint, is_first: bool) -> String {
    let mut words = vec![packet.number.to_string()];
    words.extend(packet.time.clone());
    if let (Some(from), Some(to)) = (&packet.from, &packet.to) {
        words.push(format!("{from} > {to}"));
    }
    words.extend(packet.unread.as_ref().map(|why| format!("not read: {why}")));
    words.extend(packet.decoded.as_ref().map(|decoded| decoded.summary.clone()));
    if let Some(number) = packet.answers {
        let after =
            packet.after_s.map(|after| format!(" after {}", crate::quantity::length(after)));
        words.push(format!("answers {number}{}", after.unwrap_or_default()));
    }
    let mut text = if is_first { String::new() } else { "\n".to_owned() };
    text += &paint.heading(&words.join("  "));
    text.push('\n');
    for line in packet.decoded.iter().flat_map(Decoded::lines) {
        let line = if line.starts_with("     !") { paint.warning(&line) } else { line };
        text += &line;
        text.push('\n');
    }
    text
}

/// Of standard input: far more than a datagram or a message has.
const MOST_DIGITS: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_or_refused() {
        assert_eq!(digits("00 ff"), Ok(vec![0, 255]));
        assert!(digits("0").unwrap_err().contains("hexadecimal"));
        assert!(digits("zz").is_err());
    }

    #[test]
    fn a_packet_is_shown_under_a_heading() {
        let decoded = datagram(&[0x23; 48], Context::default());
        let packet = Packet { answers: Some(7), after_s: Some(0.0015), ..Packet::alone(decoded) };
        let text = for_people(&packet, Paint::PLAIN, false);
        assert!(
            text.starts_with("\n1  NTPv4 client, 48 octets  answers 7 after 1.5 ms\n"),
            "{text}"
        );
        assert!(text.lines().any(|line| line.contains("transmit timestamp")));
    }
}
