//! How long a question may be to get through.

/// Networks drop NTP packets by their length, and a question with many placeholders is the first to go. So where long questions
/// are not answered shorter ones are tried, and where short ones are answered the length grows again, slowly.
#[derive(Debug)]
pub(crate) struct LengthLimit {
    placeholders: usize,
    /// So many have been answered since fewer were tried.
    known: usize,
    /// Unanswered questions in a row that had placeholders.
    missed: u32,
    /// Answered questions in a row that were as long as permitted.
    answered: u32,
    /// Whether only short questions are answered, as far as is known.
    is_suspected: bool,
}

impl LengthLimit {
    /// How many of `wanted` placeholders the next question has; `is_last` if no cookie is left for another one.
    pub(crate) fn permits(&self, wanted: usize, is_last: bool) -> usize {
        // The last cookie is not for trying.
        let limit = if is_last && self.is_suspected { self.known } else { self.placeholders };
        wanted.min(limit)
    }

    /// A question with so many placeholders was not answered.
    pub(crate) fn unanswered(&mut self, placeholders: usize) {
        self.answered = 0;
        if placeholders == 0 {
            return;
        }
        self.missed += 1;
        if self.missed >= MISSES || self.placeholders < MOST_PLACEHOLDERS {
            self.placeholders = placeholders / 2;
            self.known = self.known.min(self.placeholders);
        }
    }

    /// A question with so many placeholders was answered. Tells whether a filter is suspected from now on.
    pub(crate) fn answered(&mut self, placeholders: usize) -> bool {
        self.missed = 0;
        self.known = self.known.max(placeholders);
        let was_suspected = self.is_suspected;
        self.is_suspected = self.placeholders < MOST_PLACEHOLDERS;
        if placeholders == self.placeholders && self.is_suspected {
            self.answered += 1;
            if self.answered >= ANSWERS_TO_GROW {
                self.answered = 0;
                self.placeholders += 1;
            }
        }
        self.is_suspected && !was_suspected
    }
}

impl Default for LengthLimit {
    fn default() -> Self {
        Self {
            placeholders: MOST_PLACEHOLDERS,
            known: 0,
            missed: 0,
            answered: 0,
            is_suspected: false,
        }
    }
}

/// A jar holds one cookie more.
pub(crate) const MOST_PLACEHOLDERS: usize = 7;
/// Lost questions happen; so many in a row are a reason to try shorter ones, early enough that the last cookie of a jar goes into the
/// shortest.
const MISSES: u32 = 4;
const ANSWERS_TO_GROW: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_found_and_lived_with() {
        for filter in 0..=MOST_PLACEHOLDERS {
            let mut limit = LengthLimit::default();
            let (mut answered, mut suspicions) = (0, 0);
            for _ in 0..400 {
                let placeholders = limit.permits(MOST_PLACEHOLDERS, false);
                if placeholders <= filter {
                    answered += 1;
                    suspicions += u32::from(limit.answered(placeholders));
                } else {
                    limit.unanswered(placeholders);
                }
            }
            assert!(answered >= 340, "{answered} of 400 answered where {filter} get through");
            assert_eq!(suspicions, u32::from(filter < MOST_PLACEHOLDERS), "{filter}");
        }
    }

    #[test]
    fn a_loss_now_and_then_changes_nothing() {
        let mut limit = LengthLimit::default();
        for _ in 0..100 {
            limit.unanswered(1);
            assert!(!limit.answered(2));
            assert_eq!(limit.permits(MOST_PLACEHOLDERS, false), MOST_PLACEHOLDERS);
        }
    }

    #[test]
    fn the_length_returns_when_the_filter_goes() {
        let mut limit = LengthLimit::default();
        for _ in 0..8 {
            limit.unanswered(limit.permits(7, false));
        }
        assert_eq!(limit.permits(7, false), 0);
        for _ in 0..7 * 8 {
            limit.answered(limit.permits(7, false));
        }
        assert_eq!(limit.permits(7, false), 7);
    }
}
