//! One connection from accept to close.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use noonmark_nts::{Aead, KeServer, MAX_COOKIES, Outcome, Violation};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{self, Instant};
use tracing::debug;

use crate::counter::Counter;
use crate::frontend::Shared;

/// A connection with its TLS session. One task owns it; it waits for the socket and for one deadline, nothing else.
pub(crate) struct Session {
    stream: TcpStream,
    address: IpAddr,
    server: KeServer,
    pub(crate) shared: Arc<Shared>,
    /// Cookies that a served client gets.
    cookies: u64,
    /// When the connection is closed, whatever happens.
    deadline: Instant,
}

/// Part of a session's time kept back for telling a slow client so, and for closing in good order.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a client that was answered may take to end its own direction. Within the session's time: it costs nobody else more than
/// a client that is slow from the start.
const LINGER: Duration = Duration::from_secs(2);

/// Octets a client may still send after it was answered, before it is cut off: more than any request we would read.
const LEFTOVER_LIMIT: usize = 1 << 18;

impl Session {
    pub(crate) fn new(
        stream: TcpStream,
        address: IpAddr,
        server: KeServer,
        shared: Arc<Shared>,
        cookies: usize,
        deadline: Instant,
    ) -> Self {
        let cookies = cookies.clamp(1, MAX_COOKIES) as u64;
        // The answer may end in a short segment, which would wait for the client's delayed acknowledgement. If the option is
        // refused, the answer is late but whole.
        let _ = stream.set_nodelay(true);
        Self { stream, address, server, shared, cookies, deadline }
    }

    /// Serves the client, closes the connection and says what became of it.
    pub(crate) async fn run(mut self) -> Counter {
        let patience = self.deadline.checked_sub(FAREWELL).unwrap_or(self.deadline);
        let mut in_time = true;
        let delivered = match time::timeout_at(patience, self.converse()).await {
            Ok(delivered) => delivered,
            Err(_) => {
                in_time = false;
                self.server.handle_timeout();
                let farewell = time::timeout_at(self.deadline, self.converse());
                farewell.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
        };
        match &delivered {
            Ok(()) => self.linger().await,
            Err(error) => debug!(address = %self.address, %error, "connection broke"),
        }
        self.fate(in_time, delivered.is_ok())
    }

    /// What became of the connection, which is over.
    fn fate(&self, in_time: bool, delivered: bool) -> Counter {
        let outcome = self.server.outcome();
        debug!(address = %self.address, outcome = outcome.map(Outcome::name), delivered, "session over");
        match outcome {
            None => Counter::WentAway,
            Some(Outcome::Abandoned) if in_time => Counter::WentAway,
            Some(Outcome::Abandoned) => Counter::TlsTimedOut,
            Some(Outcome::Tls(error)) if error.is_version() => Counter::TlsVersion,
            Some(Outcome::Tls(error)) if error.is_alpn() => Counter::TlsAlpn,
            Some(Outcome::Tls(_)) => Counter::TlsFailed,
            Some(_) if !delivered => Counter::Undelivered,
            Some(Outcome::Served { aead, compliant_export }) => {
                let counters = &self.shared.counters;
                counters.add(Counter::CookiesIssued, self.cookies);
                if *compliant_export {
                    counters.count(Counter::CompliantGcmSivExport);
                }
                match aead {
                    Aead::SivCmac256 => Counter::ServedAesSivCmac256,
                    Aead::SivCmac512 => Counter::ServedAesSivCmac512,
                    Aead::Aes128GcmSiv => Counter::ServedAes128GcmSiv,
                }
            }
            Some(Outcome::NoSharedProtocol) => Counter::NoSharedProtocol,
            Some(Outcome::NoSharedAead) => Counter::NoSharedAead,
            Some(Outcome::NoCookieKey) => Counter::ErrorInternal,
            Some(Outcome::Refused(Violation::UnknownCritical(_))) => Counter::ErrorUnknownCritical,
            Some(Outcome::Refused(Violation::Incomplete)) => Counter::ErrorIncomplete,
            Some(Outcome::Refused(_)) => Counter::ErrorBadRequest,
        }
    }

    /// Carries octets between socket and TLS until the session is over and all it had to say is with the kernel.
    async fn converse(&mut self) -> io::Result<()> {
        loop {
            self.send()?;
            let interest = match (self.server.wants_read(), self.server.wants_write()) {
                (true, true) => Interest::READABLE | Interest::WRITABLE,
                (true, false) => Interest::READABLE,
                (false, true) => Interest::WRITABLE,
                (false, false) => return Ok(()),
            };
            let ready = self.stream.ready(interest).await?;
            if ready.is_readable() && self.server.wants_read() {
                self.receive()?;
            }
        }
    }

    /// Gives the kernel as much as it takes.
    fn send(&mut self) -> io::Result<()> {
        while self.server.wants_write() {
            match self.server.write_tls(&mut Outgoing(&self.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what has arrived, and lets the server work on it.
    fn receive(&mut self) -> io::Result<()> {
        match self.server.read_tls(&mut Incoming(&self.stream)) {
            Ok(0) => self.server.peer_closed(),
            Ok(_) => self.shared.process(&mut self.server),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Ends our direction and waits for the client to end its own: closing with octets unread makes the kernel send a reset,
    /// which may overtake the answer and destroy it.
    async fn linger(&mut self) {
        let drained = async {
            self.stream.shutdown().await?;
            let mut octets = [0; 4096];
            let mut left = LEFTOVER_LIMIT;
            while left > 0 {
                self.stream.readable().await?;
                match self.stream.try_read(&mut octets) {
                    Ok(0) => break,
                    Ok(count) => left = left.saturating_sub(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok::<_, io::Error>(())
        };
        let end = self.deadline.min(Instant::now() + LINGER);
        // The answer is on its way; what the client does now changes nothing.
        let _ = time::timeout_at(end, drained).await;
    }
}

/// The socket as rustls wants to write to it.
struct Outgoing<'s>(&'s TcpStream);

impl io::Write for Outgoing<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The socket as rustls wants to read from it.
struct Incoming<'s>(&'s TcpStream);

impl io::Read for Incoming<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(octets)
    }
}
