//! `ntp-first`: starts an NTP server and tells how long it took until it answered.
//!
//! `ntp-first --server ADDRESS:PORT -- PROGRAM [ARGUMENT]…`. Prints one JSON object, and ends the server again.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use noonmark_packet::{HEADER_LEN, Header, Mode, Packet};
use noonmark_units::Timestamp;
use serde_json::json;

/// Starts an NTP server and tells how long it took until it answered.
#[derive(Parser)]
struct Arguments {
    /// Where the server will answer
    #[arg(long)]
    server: SocketAddr,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    program: Vec<String>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(took) => {
            println!("{}", json!({ "first_answer_ns": took.as_nanos() as u64 }));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("ntp-first: {problem}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Duration, Box<dyn std::error::Error>> {
    let [program, rest @ ..] = arguments.program.as_slice() else { return Err("what?".into()) };
    let any = if arguments.server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(arguments.server)?;
    socket.set_read_timeout(Some(BETWEEN))?;
    if ask(&socket, 0)? {
        return Err(format!("somebody answers at {} already", arguments.server).into());
    }
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let took = wait(&socket, &mut child, begun);
    end(&mut child)?;
    took
}

/// Asks until there is an answer.
fn wait(
    socket: &UdpSocket,
    child: &mut Child,
    begun: Instant,
) -> Result<Duration, Box<dyn std::error::Error>> {
    for n in 1.. {
        if ask(socket, n)? {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > PATIENCE {
            break;
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("it ended with {status}").into());
        }
    }
    Err(format!("no answer within {} s", PATIENCE.as_secs()).into())
}

/// One request, and as long for its answer as [`BETWEEN`]; whether a server that is synchronised gave one.
fn ask(socket: &UdpSocket, n: u64) -> std::io::Result<bool> {
    let begun = Instant::now();
    let transmit = Timestamp::from_bits(MARK << 32 | n);
    // Nobody at the port is what an earlier request met; it costs a wait like silence.
    let refused = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    match socket.send(&Header::client(transmit).to_octets()) {
        Err(error) if !refused(&error) => return Err(error),
        _ => {}
    }
    let mut room = [0; HEADER_LEN];
    match socket.recv(&mut room) {
        Ok(len) => {
            let packet = Packet::parse(&room[..len]);
            // An answer to an earlier request is one, too.
            return Ok(packet.is_ok_and(|packet| {
                let is_ours = packet.origin().to_bits() >> 32 == MARK;
                packet.mode() == Mode::Server && room[1] != 0 && is_ours
            }));
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        Err(error) if refused(&error) => {
            std::thread::sleep(BETWEEN.saturating_sub(begun.elapsed()));
        }
        Err(error) => return Err(error),
    }
    Ok(false)
}

/// Ends it as an init system would; and if it does not, for good.
fn end(child: &mut Child) -> std::io::Result<()> {
    noonmark_os::process::terminate(child)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait().map(drop)
}

/// What the transmit time stamps of requests begin with.
const MARK: u64 = 0x6e6f_6f6e;
/// Between two requests, about.
const BETWEEN: Duration = Duration::from_micros(200);
/// No server takes longer to start, or to end.
const PATIENCE: Duration = Duration::from_secs(10);
