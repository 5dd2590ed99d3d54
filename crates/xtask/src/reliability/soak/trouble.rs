use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When requests may be lost: while a role is killed, and while a flood fills the queues.
#[derive(Default)]
pub struct Trouble(Mutex<Vec<(Instant, Option<Instant>)>>);

/// It lasts until this is dropped.
pub struct Lasting<'a> {
    trouble: &'a Trouble,
    begun: Instant,
}

/// How long after its end it still shows.
const AFTERMATH: Duration = Duration::from_secs(2);

impl Trouble {
    /// From now on.
    pub fn begin(&self) -> Lasting<'_> {
        let begun = Instant::now();
        self.0.lock().expect("nobody panics with it").push((begun, None));
        Lasting { trouble: self, begun }
    }

    /// Whether there was any since `instant`.
    pub fn was_since(&self, instant: Instant) -> bool {
        let all = self.0.lock().expect("nobody panics with it");
        all.iter().any(|(_, end)| end.is_none_or(|end| end + AFTERMATH >= instant))
    }
}

impl Drop for Lasting<'_> {
    fn drop(&mut self) {
        let mut all = self.trouble.0.lock().expect("nobody panics with it");
        let own = all.iter_mut().find(|(begun, end)| *begun == self.begun && end.is_none());
        if let Some((_, end)) = own {
            *end = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_in_time_is_excused() {
        let (trouble, now) = (Trouble::default(), Instant::now());
        assert!(!trouble.was_since(now));
        let lasting = trouble.begin();
        assert!(trouble.was_since(now + AFTERMATH * 10), "it goes on");
        drop(lasting);
        assert!(trouble.was_since(now));
        assert!(!trouble.was_since(Instant::now() + AFTERMATH * 2));
    }
}
