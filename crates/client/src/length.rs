//! How long a question may be to get through.

/// Networks drop NTP packets by their length, and a question with many placeholders is the first to go. So where long questions
/// are not answered shorter ones are tried, and where these are answered the length grows again.
///
/// That long questions go unanswered for a while is no sign of a filter: the server may have been off. It is one where short questions
/// are answered before and after, and none is missed in between, again and again.
#[derive(Debug)]
pub(crate) struct LengthLimit {
    placeholders: usize,
    /// So many have been answered since fewer were tried.
    known: usize,
    /// Unanswered questions in a row that had placeholders.
    missed: u32,
    /// Answered questions in a row that were as long as permitted.
    answered: u32,
    /// Whether the last question no longer than is known to be answered was answered.
    short_answered: bool,
    /// Longer questions missed since then.
    long_missed: u32,
    /// Longer questions missed between two short ones that were answered, since a longer one was answered.
    evidence: u32,
    is_suspected: bool,
}

impl LengthLimit {
    /// How many of `wanted` placeholders the next question has; `is_last` if no cookie is left for another one.
    pub(crate) fn permits(&self, wanted: usize, is_last: bool) -> usize {
        // The last cookie is not for trying.
        let is_in_doubt = self.placeholders < MOST_PLACEHOLDERS;
        let limit = if is_last && is_in_doubt { self.known } else { self.placeholders };
        wanted.min(limit)
    }

    /// A question with so many placeholders was not answered.
    pub(crate) fn unanswered(&mut self, placeholders: usize) {
        self.answered = 0;
        if placeholders > self.known {
            self.long_missed += u32::from(self.short_answered);
        } else {
            // Whatever keeps short ones from being answered may have kept long ones, too.
            self.short_answered = false;
            self.long_missed = 0;
        }
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
        if placeholders > self.known {
            self.known = placeholders;
            self.evidence = 0;
        } else if self.short_answered {
            self.evidence = self.evidence.saturating_add(self.long_missed);
        }
        self.short_answered = true;
        self.long_missed = 0;
        if placeholders == self.placeholders && self.placeholders < MOST_PLACEHOLDERS {
            self.answered += 1;
            if !self.is_suspected {
                self.placeholders = (2 * placeholders).clamp(1, MOST_PLACEHOLDERS);
            } else if self.answered >= ANSWERS_TO_GROW {
                self.answered = 0;
                self.placeholders += 1;
            }
        }
        let was_suspected = self.is_suspected;
        self.is_suspected = match was_suspected {
            true => self.known < MOST_PLACEHOLDERS,
            false => self.evidence >= ENOUGH_EVIDENCE,
        };
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
            short_answered: false,
            long_missed: 0,
            evidence: 0,
            is_suspected: false,
        }
    }
}

/// A jar holds one cookie more.
pub(crate) const MOST_PLACEHOLDERS: usize = 7;
/// Lost questions happen; so many in a row are a reason to try shorter ones, early enough that the last cookie of a jar goes into the
/// shortest.
const MISSES: u32 = 3;
/// One long question lost among short ones that are not may be chance. More trials a jar does not allow for.
const ENOUGH_EVIDENCE: u32 = 2;
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

    /// A server whose filter lets so many placeholders through answers, or not, for so many questions; tells how often a filter was
    /// suspected anew.
    fn ask(limit: &mut LengthLimit, filter: Option<usize>, questions: u32) -> u32 {
        let mut suspicions = 0;
        for _ in 0..questions {
            let placeholders = limit.permits(MOST_PLACEHOLDERS, false);
            match filter {
                Some(most) if placeholders <= most => {
                    suspicions += u32::from(limit.answered(placeholders));
                }
                _ => limit.unanswered(placeholders),
            }
        }
        suspicions
    }

    #[test]
    fn the_length_returns_when_the_filter_goes() {
        let mut limit = LengthLimit::default();
        assert_eq!(ask(&mut limit, Some(0), 20), 1);
        assert_eq!(ask(&mut limit, Some(7), 8 * 8), 0);
        assert_eq!(limit.permits(7, false), 7);
        assert_eq!(ask(&mut limit, Some(0), 20), 1, "told anew when it is back");
    }

    #[test]
    fn a_server_that_was_off_is_not_taken_for_a_filter() {
        for off in 1..40 {
            let mut limit = LengthLimit::default();
            for _ in 0..10 {
                assert_eq!(ask(&mut limit, Some(7), 5), 0);
                // The first question after good answers is a short one: the jar was full.
                limit.unanswered(0);
                assert_eq!(ask(&mut limit, None, off), 0);
                assert_eq!(ask(&mut limit, Some(7), 5), 0, "off for {off} questions");
                assert_eq!(limit.permits(MOST_PLACEHOLDERS, false), MOST_PLACEHOLDERS);
            }
        }
    }

    #[test]
    fn in_doubt_the_last_cookie_is_not_for_trying() {
        let mut limit = LengthLimit::default();
        assert_eq!(limit.permits(7, true), 7);
        ask(&mut limit, None, 4);
        assert_eq!((limit.permits(7, false), limit.permits(7, true)), (1, 0));
    }
}
