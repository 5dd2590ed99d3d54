//! `ntp-echo`: what answering NTP costs when nothing is decided. Swaps the time stamps of each datagram, writes the
//! time and sends it back as long as it came, over the sockets and batches that `noonmarkd` uses. The limit that servers
//! are compared with.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use noonmark_os::udp::{Listener, Outgoing, Ring, Watch};
use noonmark_units::{Timestamp, UnixTime};

/// Sends every NTP request back as an answer of the same length.
#[derive(Parser)]
struct Arguments {
    /// Address and port to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Datagrams per system call
    #[arg(long, default_value_t = 64)]
    batch: usize,
}

fn main() -> ExitCode {
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("ntp-echo: {problem}");
            ExitCode::from(2)
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let listener = Listener { address: arguments.listen, interface: None, dscp: 0, shared: true };
    let socket = listener.open()?;
    let mut ring = Ring::new(arguments.batch);
    let mut watch = Watch::new([socket.as_fd()]);
    let mut buffers = vec![[0_u8; 1280]; arguments.batch];
    println!("ready");
    loop {
        watch.wait(None)?;
        let mut rooms: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        ring.receive(socket.as_fd(), &mut rooms)?;
        let mut answers = Vec::with_capacity(arguments.batch);
        for (to, (buffer, arrival)) in buffers.iter_mut().zip(ring.arrivals()).enumerate() {
            let received = arrival.stamp.unwrap_or_else(now);
            if let Some(datagram) = buffer.get_mut(..arrival.len)
                && answer(datagram, received)
            {
                answers.push(Outgoing { to, octets: IoSlice::new(datagram), stamped: false });
            }
        }
        ring.send(socket.as_fd(), &answers);
    }
}

/// Turns a request into an answer; false if it is too short to be one.
fn answer(datagram: &mut [u8], received: UnixTime) -> bool {
    let Some((header, _)) = datagram.split_first_chunk_mut::<48>() else { return false };
    header[0] = header[0] & 0x38 | 4; // leap 0, version as it came, mode 4
    header[1] = 1; // stratum
    header.copy_within(40..48, 24); // origin
    header[32..40].copy_from_slice(&Timestamp::from_unix(received).to_octets());
    header[40..48].copy_from_slice(&Timestamp::from_unix(now()).to_octets());
    true
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime { seconds: since.as_secs().cast_signed(), nanos: since.subsec_nanos() }
}
