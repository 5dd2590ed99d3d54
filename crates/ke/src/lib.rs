//! The TCP frontend of NTS key establishment (RFC 8915 §4): it accepts, seats, times and closes connections around
//! [`noonmark_nts::KeServer`], which does the talking.
//!
//! Start with [`Frontend`]: make one from an identity and [`Terms`], give it cookie keys, and hand its listeners to
//! [`serve`], which runs it on one thread. Identity, terms and cookie keys are replaced at any time, from any thread, without
//! ending a session. What became of each connection is in [`Counters`].
//!
//! What a stranger can reach for is bounded: sessions in all and per client prefix ([`SeatLimits`]), each with one time limit
//! from accept to close, in memory fixed at the start. Beyond that a connection is closed at once and counted. A client that
//! has not sent its request when time runs out is told so (error 1) and cut off. No log line above `debug` is caused by one
//! connection.
//!
//! What it deliberately does not do: it binds no socket and opens no file, so that it runs in a process that may do neither;
//! it knows no access rules but asks a closure; it keeps nothing of a client once the session is over; it shares no lock with
//! the serving of time.
//!
//! Covers RFC 8915 §4 as far as the transport goes (time limit and incomplete requests of §4.1.3, closing), the rest of §3
//! and §4 being `noonmark-nts`.

#![forbid(unsafe_code)]

mod counter;
mod frontend;
mod pause;
mod seat;
mod session;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use tokio::runtime;
use tokio::task::JoinSet;

pub use counter::{Counter, Counters};
pub use frontend::{Frontend, Terms};
pub use seat::SeatLimits;

/// Serves on `listeners` with the calling thread alone, and calls `publish` with the counters every second. The listeners
/// are bound already; at least one.
///
/// # Errors
/// A listener that cannot be used, or no listener at all. Otherwise this never returns.
pub fn serve(
    frontend: &Frontend,
    listeners: Vec<TcpListener>,
    publish: impl FnMut(&Counters),
) -> io::Result<Infallible> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let frontend = frontend.clone();
            accepting.spawn(async move { frontend.accept_from(listener).await });
        }
        let failed = async {
            match accepting.join_next().await {
                Some(Ok(ended)) => ended,
                Some(Err(panic)) => Err(io::Error::other(panic)),
                None => Err(io::Error::new(io::ErrorKind::InvalidInput, "no listener")),
            }
        };
        tokio::select! {
            ended = failed => ended,
            never = frontend.publish_each_second(publish) => match never {},
        }
    })
}
