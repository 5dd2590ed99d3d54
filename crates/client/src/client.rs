//! The I/O half: sockets and timers around one [`Association`].

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use noonmark_nts::{Aead, Agreement, Random};
use noonmark_os::clock;
use noonmark_os::random::{NoRandomness, RandomPool};
use noonmark_packet::KissCode;
use tracing::{debug, trace};

use crate::establishment::{Established, EstablishmentError, KeServer};
use crate::socket::{Outlet, QuestionSocket, Seen};
use crate::{Association, Exchange, GiveUp, Output, Refusal, Settings};

/// One server asked over the network, as its [`Association`] wants it. Runs in the task that calls [`next`](Self::next).
pub struct Client {
    association: Association,
    /// Where questions go; for NTS known once keys are established.
    server: Option<SocketAddr>,
    ke_server: Option<KeServer>,
    socket: Option<QuestionSocket>,
    establishment: Option<Establishment>,
    /// What was dropped last, of what came since the open question was asked.
    dropped: Option<Refusal>,
    events: VecDeque<Event>,
}

type Establishment =
    Pin<Box<dyn Future<Output = Result<(Agreement, Established), EstablishmentError>>>>;

impl Client {
    /// Asks `server` without proof of origin.
    ///
    /// # Errors
    /// [`NoRandomness`] if the kernel gives none.
    pub fn plain(server: SocketAddr, settings: Settings) -> Result<Self, NoRandomness> {
        let association = Association::plain(settings, random()?, clock::monotonic());
        Ok(Self::new(association, Some(server), None))
    }

    /// Establishes keys with `ke_server` and asks the NTP server it names.
    ///
    /// # Errors
    /// [`NoRandomness`] if the kernel gives none.
    pub fn nts(ke_server: KeServer, settings: Settings) -> Result<Self, NoRandomness> {
        let association = Association::nts(settings, random()?, clock::monotonic());
        Ok(Self::new(association, None, Some(ke_server)))
    }

    fn new(
        association: Association,
        server: Option<SocketAddr>,
        ke_server: Option<KeServer>,
    ) -> Self {
        Self {
            association,
            server,
            ke_server,
            socket: None,
            establishment: None,
            dropped: None,
            events: VecDeque::new(),
        }
    }

    /// What happened next; `None` when the plan is carried out and for ever after. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            self.carry_out();
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.association.is_over() {
                return None;
            }
            self.wait().await;
        }
    }

    /// The address questions go to, once it is known.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// Cookies left in the jar; `None` for plain NTP.
    #[must_use]
    pub fn cookies_left(&self) -> Option<usize> {
        self.association.cookies_left()
    }

    /// The AEAD agreed; `None` for plain NTP and before the first agreement.
    #[must_use]
    pub fn aead(&self) -> Option<Aead> {
        self.association.aead()
    }

    /// Does what the association wants done until it wants nothing more.
    fn carry_out(&mut self) {
        while let Some(output) = self.association.poll_output() {
            match output {
                Output::Transmit(datagram) => self.transmit(&datagram),
                Output::Rekey => self.establish(),
                Output::Measured(exchange) => self.events.push_back(Event::Measured(exchange)),
                Output::Refused(refusal) => self.drop_answer(refusal),
                Output::Kiss { code, authenticated } => {
                    self.events.push_back(Event::Kiss { code, authenticated });
                }
                Output::Unanswered => {
                    let dropped = self.dropped.take();
                    self.events.push_back(dropped.map_or(Event::Unanswered, Event::Dropped));
                }
                Output::GiveUp(reason) => self.events.push_back(Event::GaveUp(reason)),
                // A measurement has no time for shorter questions; only a lasting association tries them.
                Output::LengthFilterSuspected | Output::Done => {}
            }
        }
    }

    /// Tells of a datagram that was dropped, and remembers it for the question it came for.
    fn drop_answer(&mut self, refusal: Refusal) {
        self.events.push_back(Event::Refused(refusal));
        match refusal {
            // These came for no question, or for one that is closed.
            Refusal::Unsolicited | Refusal::Late => {}
            // A proven answer closes its question, whatever it says.
            Refusal::Unusable { exchange, .. } if exchange.authenticated => {
                self.events.push_back(Event::Dropped(refusal));
            }
            _ => self.dropped = Some(refusal),
        }
    }

    /// Waits for one input and hands it to the association.
    async fn wait(&mut self) {
        let timer = tokio::time::sleep(self.association.deadline().since(clock::monotonic()));
        tokio::select! {
            received = receive(&mut self.socket) => match received {
                Ok(Seen::Left(sent)) => self.association.handle_sent(sent),
                Ok(Seen::Came(datagram, stamp)) => self.association.handle_datagram(datagram, stamp, clock::monotonic()),
                Err(error) => self.events.push_back(Event::Unreachable(error)),
            },
            outcome = establish(&mut self.establishment) => {
                self.establishment = None;
                match outcome {
                    Ok((agreement, established)) => {
                        self.server = Some(established.ntp_server);
                        self.association.handle_agreement(agreement, clock::monotonic());
                        self.events.push_back(Event::Established(established));
                    }
                    Err(error) => {
                        self.association.handle_ke_failure(error.failure(), clock::monotonic());
                        self.events.push_back(Event::NotEstablished(error));
                    }
                }
            },
            () = timer => self.association.handle_timeout(clock::monotonic()),
        }
    }

    /// Begins key establishment; `wait` carries it on.
    fn establish(&mut self) {
        let Some(server) = self.ke_server.clone() else { return };
        debug!(host = server.host, port = server.port, "establishing keys");
        self.establishment = Some(Box::pin(server.establish()));
    }

    /// Sends a question from a socket of its own. The socket before it is closed only now, so that an answer that comes
    /// a little late does not meet a closed port.
    fn transmit(&mut self, datagram: &[u8]) {
        self.dropped = None;
        let Some(server) = self.server else { return };
        trace!(%server, octets = datagram.len(), "asking");
        match QuestionSocket::ask(&Outlet::default(), server, datagram) {
            Ok((socket, sent)) => {
                self.socket = Some(socket);
                self.association.handle_sent(sent);
            }
            Err(error) => self.events.push_back(Event::Unreachable(error)),
        }
    }
}

/// What a [`Client`] has to tell.
#[derive(Debug)]
pub enum Event {
    /// Keys were established.
    Established(Established),
    /// Key establishment failed.
    NotEstablished(EstablishmentError),
    /// A question was answered and the answer passed every check.
    Measured(Exchange),
    /// A datagram was dropped.
    Refused(Refusal),
    /// A kiss-o'-death answered the question; unless authenticated, anybody who sees our packets can send it.
    Kiss {
        /// The four characters of the code.
        code: KissCode,
        /// Whether it proved to come from the server.
        authenticated: bool,
    },
    /// Nothing that could be an answer came in time.
    Unanswered,
    /// Something came for a question, and nothing that could be used; why the last of it was dropped. [`Event::Refused`] has told of
    /// each.
    Dropped(Refusal),
    /// The network refused the question, or said that nobody is there. The answer is waited for all the same: what
    /// says so is not authenticated.
    Unreachable(io::Error),
    /// The association ended for a reason. Nothing follows.
    GaveUp(GiveUp),
}

async fn receive(socket: &mut Option<QuestionSocket>) -> io::Result<Seen<'_>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn establish(
    establishment: &mut Option<Establishment>,
) -> Result<(Agreement, Established), EstablishmentError> {
    match establishment {
        Some(establishment) => establishment.await,
        None => std::future::pending().await,
    }
}

/// The pool of this machine as the association wants it.
fn random() -> Result<Box<dyn Random + Send>, NoRandomness> {
    let mut pool = RandomPool::new()?;
    Ok(Box::new(move |octets: &mut [u8]| pool.fill(octets)))
}
