//! `ntp-tap`: tells how each NTP answer that comes in by an interface is marked, as it was on the wire.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use noonmark_rig::frame::{self, Family};
use noonmark_rig::tap::Receiver;
use serde_json::json;

/// Prints `ready`, then a JSON object per answer: family, code point (DSCP), congestion bits (ECN), octets of the frame. Until ended.
#[derive(Parser)]
struct Arguments {
    /// The interface to look at
    #[arg(long)]
    interface: String,
    /// UDP port that answers come from
    #[arg(long, default_value_t = 123)]
    port: u16,
}

fn main() -> ExitCode {
    let Err(problem) = look(&Arguments::parse());
    eprintln!("ntp-tap: {problem}");
    ExitCode::from(2)
}

fn look(arguments: &Arguments) -> Result<std::convert::Infallible, io::Error> {
    let open = |family| Ok((family, Receiver::open(&arguments.interface, arguments.port, family)?));
    let mut receivers = Family::ALL.map(open).into_iter().collect::<io::Result<Vec<_>>>()?;
    let mut out = io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    loop {
        let mut lines = Vec::new();
        for (family, receiver) in &mut receivers {
            receiver.drain(|frame| lines.extend(line(frame, *family)));
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn line(frame: &[u8], family: Family) -> Option<serde_json::Value> {
    let field = frame::ds_field(frame, family)?;
    let family = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    Some(json!({ "family": family, "dscp": field >> 2, "ecn": field & 3, "octets": frame.len() }))
}

/// Frames wait in the receiver's ring meanwhile.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
