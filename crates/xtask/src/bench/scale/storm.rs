//! What happens to the clients, and what is seen of it.

/// Something after which many clients have no good cookies.
pub struct Storm {
    /// As figures name it.
    pub name: &'static str,
    /// Part of all clients it happens to.
    pub share: f64,
    /// Over how many seconds they find out beyond their own poll: clients that were away come back one by one.
    pub over_s: u32,
}

/// What the document speaks of.
pub const STORMS: [Storm; 3] = [
    // Every server of the service has lost its keys: whoever asks next is told so.
    Storm { name: "lost_keys", share: 1.0, over_s: 0 },
    // One site of five, whose keys no other has, is gone; its clients are at another's door with their next request.
    Storm { name: "lost_site", share: 0.2, over_s: 0 },
    // Three of ten were switched off for longer than keys are kept, and come back within an hour.
    Storm { name: "monday", share: 0.3, over_s: 3600 },
];

/// How often clients ask, in seconds, and which part of them: two of ten at the shortest interval of a server pool, most at the longest.
pub const POLLS: [(u32, f64); 3] = [(64, 0.2), (256, 0.2), (1024, 0.6)];

/// Seconds until attempt `n` + 1 after attempt `n` that was refused, from 0: RFC 8915 §4.2 as noonmark does it, 10 s and half as long again each time.
pub fn wait_s(attempt: usize) -> f64 {
    10.0 * 1.5_f64.powi(i32::try_from(attempt).unwrap_or(i32::MAX)).min(43_200.0)
}

/// Attempts that are told apart; a client that was refused as often as this is on its own.
pub const ATTEMPTS: usize = 24;
/// How long is looked.
pub const HORIZON_S: usize = 12 * 3600;

/// What was seen, second by second.
pub struct Course {
    /// Clients without good cookies at the beginning.
    pub affected: f64,
    /// Key establishments that were begun in each second.
    pub attempts: Vec<f64>,
    /// Those that were served.
    pub served: Vec<f64>,
}

impl Course {
    /// Of so many affected clients, nothing seen yet.
    pub fn of(affected: f64) -> Self {
        Self { affected, attempts: vec![0.0; HORIZON_S], served: vec![0.0; HORIZON_S] }
    }

    /// Most attempts in a second.
    pub fn peak(&self) -> f64 {
        self.attempts.iter().copied().fold(0.0, f64::max)
    }

    /// Most attempts per second over a minute.
    pub fn busiest(&self) -> f64 {
        let minutes = self.attempts.windows(60).map(|minute| minute.iter().sum::<f64>() / 60.0);
        minutes.fold(0.0, f64::max)
    }

    /// Attempts that were not served.
    pub fn refused(&self) -> f64 {
        self.attempts.iter().sum::<f64>() - self.served.iter().sum::<f64>()
    }

    /// The second by whose end that part of the clients had keys again; none if it did not come to that.
    pub fn served_by(&self, share: f64) -> Option<usize> {
        let mut sum = 0.0;
        // What is lost to rounding is far below one client.
        self.served.iter().position(|served| {
            sum += served;
            sum >= share * self.affected - 1e-3
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_asks_at_some_interval() {
        assert!((POLLS.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!([wait_s(0), wait_s(1), wait_s(2)], [10.0, 15.0, 22.5]);
        assert_eq!(wait_s(100), 432_000.0);
    }
}
