//! Key establishment as the scripts want it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::ServerConnection;

use super::hello::{Hello, server_hello_of_tls12};
use super::log::{Session, Store};
use super::post::{Post, TICK};
use super::script::{Pieces, Tls};
use super::turn::KeTurn;
use crate::evidence::{Carrier, Direction};
use crate::octets::record::message_len;
use crate::octets::{Cipher, Keys};

impl Post {
    /// Serves one connection to its end.
    pub(super) fn establish(&self, tcp: TcpStream, peer: SocketAddr, store: &Store) {
        let number = {
            let mut log = self.log();
            if log.sessions.len() >= MOST_SESSIONS {
                return;
            }
            log.sessions.push(Session {
                at: Instant::now(),
                peer,
                hello: None,
                protocol: None,
                is_established: false,
                request: Vec::new(),
                after: Vec::new(),
                answered: None,
                close_notify: false,
                trouble: None,
                keys: None,
            });
            log.sessions.len() - 1
        };
        let mut wire = Wire { tcp, seen: Vec::new() };
        let trouble = match self.script.tls {
            Tls::Old => self.old(&mut wire, number),
            Tls::Good | Tls::NoProtocol => self.talk(&mut wire, number, store),
        };
        let mut log = self.log();
        let octets = std::mem::take(&mut wire.seen);
        self.note(&mut log, (Direction::Received, Carrier::Tls), self.ke_end(), peer, "", &octets);
        if let Some(session) = log.sessions.get_mut(number) {
            session.hello = Hello::read(&octets);
            session.trouble = trouble.err().map(|error| error.to_string());
        }
    }

    fn talk(&self, wire: &mut Wire, number: usize, store: &Store) -> io::Result<()> {
        wire.tcp.set_nonblocking(false)?;
        wire.tcp.set_read_timeout(Some(TICK))?;
        wire.tcp.set_nodelay(true)?;
        let mut tls = ServerConnection::new(self.tls.clone()).map_err(io::Error::other)?;
        let (mut said, mut is_answered) = (Vec::new(), false);
        let mut until = Instant::now() + (self.second * 10).max(LEAST);
        while Instant::now() < until && !self.is_over() {
            flush(&mut tls, wire)?;
            let closed = match tls.read_tls(wire) {
                Ok(0) => true,
                Ok(_) => false,
                Err(error) if is_waiting(&error) => continue,
                Err(error) => return Err(error),
            };
            let state = match tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The alert that says so.
                    let _ = flush(&mut tls, wire);
                    return Err(io::Error::other(error));
                }
            };
            let mut more = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut more)?;
            said.extend(more);
            self.heard(&tls, number, &said, state.peer_has_closed());
            if !is_answered && message_len(&said).is_some() {
                is_answered = true;
                self.respond(&mut tls, wire, number, store)?;
                until = Instant::now() + (self.second * 3).max(LEAST);
            }
            if closed || said.len() > MOST_SAID {
                break;
            }
            if is_answered && state.peer_has_closed() {
                break;
            }
        }
        flush(&mut tls, wire)
    }

    fn heard(&self, tls: &ServerConnection, number: usize, said: &[u8], has_closed: bool) {
        let mut log = self.log();
        let Some(session) = log.sessions.get_mut(number) else { return };
        session.is_established = !tls.is_handshaking();
        session.protocol = tls.alpn_protocol().map(<[u8]>::to_vec);
        session.close_notify |= has_closed;
        let (request, after) = said.split_at(message_len(said).unwrap_or(said.len()));
        if request.len() > session.request.len() {
            session.request = request.to_vec();
        }
        session.after = after.to_vec();
    }

    fn respond(
        &self,
        tls: &mut ServerConnection,
        wire: &mut Wire,
        number: usize,
        store: &Store,
    ) -> io::Result<()> {
        let (asked, before) = {
            let log = self.log();
            let before = log
                .sessions
                .iter()
                .take(number)
                .filter(|session| session.answered.is_some())
                .count();
            (log.sessions[number].clone(), before)
        };
        let ntp_port = self.ntp_end().port();
        let turn = KeTurn {
            script: self.number,
            session: number,
            before,
            asked: &asked,
            address: self.address,
            port: (ntp_port != 123).then_some(ntp_port),
            other_port: self.other.local_addr()?.port(),
            cookies: self.script.cookies,
            store,
            wanted: self.script.cipher,
        };
        let response = (self.script.respond)(&turn);
        let keys =
            turn.cipher().map(|cipher| export(tls, cipher, turn.is_compliant())).transpose()?;
        {
            let mut log = self.log();
            let ends = (self.ke_end(), asked.peer);
            self.note(
                &mut log,
                (Direction::Received, Carrier::Ke),
                ends.0,
                ends.1,
                "",
                &asked.request,
            );
            self.note(
                &mut log,
                (Direction::Sent, Carrier::Ke),
                ends.0,
                ends.1,
                self.script.does,
                &response,
            );
            if let Some(session) = log.sessions.get_mut(number) {
                (session.keys, session.answered) = (keys, Some(Instant::now()));
            }
        }
        let piece = if self.script.pieces == Pieces::Octets { 1 } else { 16_384 };
        for piece in response.chunks(piece) {
            tls.writer().write_all(piece)?;
            flush(tls, wire)?;
        }
        tls.send_close_notify();
        flush(tls, wire)
    }

    /// Chooses TLS 1.2 whatever was offered, and looks what the client says to that.
    fn old(&self, wire: &mut Wire, number: usize) -> io::Result<()> {
        wire.tcp.set_nonblocking(false)?;
        wire.tcp.set_read_timeout(Some(TICK))?;
        let until = Instant::now() + (self.second * 3).max(LEAST);
        let (mut octets, mut is_answered) = ([0; 4096], false);
        while Instant::now() < until && !self.is_over() {
            match wire.read(&mut octets) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if is_waiting(&error) => continue,
                Err(error) => return Err(error),
            }
            if !is_answered && Hello::read(&wire.seen).is_some() {
                is_answered = true;
                wire.tcp.write_all(&server_hello_of_tls12())?;
                if let Some(session) = self.log().sessions.get_mut(number) {
                    session.answered = Some(Instant::now());
                }
            }
        }
        Ok(())
    }
}

/// The keys of a session (RFC 8915 §5.1). Without record 1024 those of AEAD 30 come from the context of AEAD 15, as chrony has it.
fn export(tls: &ServerConnection, cipher: Cipher, is_compliant: bool) -> io::Result<Keys> {
    let id = if cipher == Cipher::GcmSiv && !is_compliant { 15 } else { cipher.number() };
    let [high, low] = id.to_be_bytes();
    let key = |direction: u8| {
        let context = [0, 0, high, low, direction];
        let key = vec![0; cipher.key_len()];
        tls.export_keying_material(key, LABEL, Some(&context)).map_err(io::Error::other)
    };
    Ok(Keys { cipher, c2s: key(0)?, s2c: key(1)? })
}

fn flush(tls: &mut ServerConnection, wire: &mut Wire) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut wire.tcp)?;
    }
    Ok(())
}

fn is_waiting(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// A connection whose first octets are kept.
struct Wire {
    tcp: TcpStream,
    seen: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let len = self.tcp.read(octets)?;
        let room = MOST_SEEN.saturating_sub(self.seen.len());
        self.seen.extend(&octets[..len.min(room)]);
        Ok(len)
    }
}

/// RFC 8915 §4.3.
const LABEL: &[u8] = b"EXPORTER-network-time-security";
/// Octets kept of a connection as it is on the wire.
const MOST_SEEN: usize = 8192;
/// More than any request has.
const MOST_SAID: usize = 131_072;
/// Connections one script serves.
const MOST_SESSIONS: usize = 500;
/// Handshakes take time that does not depend on how long a second is.
const LEAST: Duration = Duration::from_secs(2);
