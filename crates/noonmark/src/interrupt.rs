//! Being asked to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whoever wants us to end: Ctrl-C, a terminal that closes, a supervisor.
pub struct Interrupt {
    signals: [Signal; 3],
}

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP are waited for instead of ending the process.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for a signal. Cancelling it loses none.
    pub async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            _ = hangup.recv() => (),
        }
    }

    /// What `work` comes to, or `None` if a signal came first.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // First, because the same Ctrl-C may end the work as well.
            biased;
            () = self.wait() => None,
            outcome = work => Some(outcome),
        }
    }
}
