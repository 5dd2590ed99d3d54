//! Accepting connections and seating them.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use noonmark_nts::{CookieKeys, KeServer, Random, ServerPolicy, ServerTls};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{self, Instant, MissedTickBehavior};
use tracing::{debug, warn};

use crate::counter::{Counter, Counters};
use crate::pause::Pause;
use crate::seat::{Full, SeatLimits, Seats};
use crate::session::Session;

/// A key establishment server: hand it listeners, and from time to time new cookie keys, a new identity, new terms.
///
/// A handle: clones are the same server. Everything in it may be used from any thread; one thread is what it is made for.
#[derive(Clone)]
pub struct Frontend {
    shared: Arc<Shared>,
}

/// On what terms new sessions are served. Sessions under way keep the terms they began with.
#[derive(Clone)]
pub struct Terms {
    /// What requests are answered.
    pub policy: Arc<ServerPolicy>,
    /// Sessions at a time.
    pub seats: SeatLimits,
    /// A whole session, from accept to close.
    pub time_limit: Duration,
    /// Whether a client at this address is let in at all.
    pub admits: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// What sessions share.
pub(crate) struct Shared {
    terms: Mutex<Arc<Terms>>,
    tls: Mutex<ServerTls>,
    keys: Mutex<Option<Arc<CookieKeys>>>,
    random: Mutex<Box<dyn Random + Send>>,
    seats: Seats,
    pub(crate) counters: Counters,
}

impl Frontend {
    /// A server without listeners and without cookie keys. Until [`set_cookie_keys`](Self::set_cookie_keys), requests
    /// are answered with error 2, "internal server error" (RFC 8915 §4.1.3).
    pub fn new(tls: ServerTls, terms: Terms, random: Box<dyn Random + Send>) -> Self {
        let counters = Counters::new();
        counters.count(Counter::IdentitiesTaken);
        let shared = Shared {
            seats: Seats::new(terms.seats),
            terms: Mutex::new(Arc::new(terms)),
            tls: Mutex::new(tls),
            keys: Mutex::new(None),
            random: Mutex::new(random),
            counters,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The terms in force.
    pub fn terms(&self) -> Arc<Terms> {
        Arc::clone(&locked(&self.shared.terms))
    }

    /// Serves new sessions on `terms`. To change one of them, clone [`terms`](Self::terms) and change it there.
    pub fn set_terms(&self, terms: Terms) {
        self.shared.seats.set_limits(terms.seats);
        *locked(&self.shared.terms) = Arc::new(terms);
    }

    /// Shows new sessions the identity in `tls`. Sessions under way end with the one they began with.
    pub fn set_identity(&self, tls: ServerTls) {
        self.shared.counters.count(Counter::IdentitiesTaken);
        *locked(&self.shared.tls) = tls;
    }

    /// Seals the cookies of all requests from now on with `keys`; `None` takes the keys away.
    pub fn set_cookie_keys(&self, keys: Option<CookieKeys>) {
        if keys.is_some() {
            self.shared.counters.count(Counter::CookieKeysTaken);
        }
        *locked(&self.shared.keys) = keys.map(Arc::new);
    }

    /// What has been counted so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.shared.seats.taken()
    }

    /// Accepts connections from `listener` for as long as the future lives. Sessions are tasks of their own and outlive it.
    ///
    /// # Errors
    /// The listener cannot be used at all. That a connection cannot be accepted is counted and tried again.
    pub async fn accept_from(&self, listener: StdListener) -> io::Result<Infallible> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut pause = Pause::new();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    pause.reset();
                    self.seat(stream, peer.ip());
                }
                Err(error) => {
                    let (counter, wait) = pause.after(&error);
                    self.shared.counters.count(counter);
                    if let Some(wait) = wait {
                        // It is the machine's state, not one connection's.
                        if pause.is_to_be_told(std::time::Instant::now()) {
                            warn!(%error, "connections to key establishment cannot be accepted; trying again");
                        }
                        time::sleep(wait).await;
                    }
                }
            }
        }
    }

    /// Calls `publish` with the counters every second for as long as the future lives, and once at its beginning.
    pub async fn publish_each_second(&self, mut publish: impl FnMut(&Counters)) -> Infallible {
        let mut ticks = time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            publish(&self.shared.counters);
        }
    }

    /// Starts a session for an accepted connection, or closes it at once and counts why.
    fn seat(&self, stream: TcpStream, address: IpAddr) {
        let counters = &self.shared.counters;
        counters.count(Counter::Accepted);
        let terms = self.terms();
        let address = address.to_canonical();
        if !(terms.admits)(address) {
            return counters.count(Counter::ClosedAccess);
        }
        let seat = match self.shared.seats.take(address) {
            Ok(seat) => seat,
            Err(Full::Total) => return counters.count(Counter::ClosedFull),
            Err(Full::Prefix) => return counters.count(Counter::ClosedPrefixFull),
        };
        let tls = locked(&self.shared.tls).clone();
        let server = match KeServer::new(&tls, Arc::clone(&terms.policy), address) {
            Ok(server) => server,
            Err(error) => {
                debug!(%address, %error, "TLS does not begin");
                return counters.count(Counter::TlsFailed);
            }
        };
        let deadline = Instant::now() + terms.time_limit;
        let session = Session::new(
            stream,
            address,
            server,
            Arc::clone(&self.shared),
            terms.policy.cookies,
            deadline,
        );
        tokio::spawn(async move {
            let counters = &Arc::clone(&session.shared).counters;
            counters.count(session.run().await);
            drop(seat);
        });
    }
}

impl Shared {
    /// Lets `server` work on what it has read, with the cookie keys of this moment.
    pub(crate) fn process(&self, server: &mut KeServer) {
        let keys = locked(&self.keys).clone();
        let issuer = keys.as_ref().and_then(|keys| keys.issuer());
        server.process(issuer, &mut **locked(&self.random));
    }
}

/// Each of these is replaced as a whole or left alone, so a panic elsewhere cannot have left it half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
