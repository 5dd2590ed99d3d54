//! Verdicts as scripts find them.

use std::collections::BTreeMap;

use crate::verdict::Verdict;

/// Verdicts of one script, or of all.
#[derive(Clone, Debug, Default)]
pub struct Say {
    found: BTreeMap<&'static str, Vec<Word>>,
    script: usize,
}

/// One verdict on a clause and what it rests on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// The script's number.
    pub script: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// The facts, as a sentence.
    pub says: String,
}

impl Say {
    /// From now on another script speaks.
    pub fn begin(&mut self, script: usize) {
        self.script = script;
    }

    /// A verdict.
    pub fn say(&mut self, id: &'static str, verdict: Verdict, says: impl Into<String>) {
        let word = Word { script: self.script, verdict, says: says.into() };
        self.found.entry(id).or_default().push(word);
    }

    /// The clause is kept.
    pub fn pass(&mut self, id: &'static str, says: impl Into<String>) {
        self.say(id, Verdict::Pass, says);
    }

    /// It is not.
    pub fn fail(&mut self, id: &'static str, says: impl Into<String>) {
        self.say(id, Verdict::Fail, says);
    }

    /// Kept or not.
    pub fn check(
        &mut self,
        id: &'static str,
        holds: bool,
        good: impl Into<String>,
        bad: impl Into<String>,
    ) {
        if holds { self.pass(id, good) } else { self.fail(id, bad) }
    }

    /// Nothing can be said.
    pub fn unclear(&mut self, id: &'static str, says: impl Into<String>) {
        self.say(id, Verdict::Inconclusive, says);
    }

    /// The clause does not bind this client.
    pub fn unbound(&mut self, id: &'static str, says: impl Into<String>) {
        self.say(id, Verdict::NotApplicable, says);
    }

    /// It is not kept in a way that is known and harmless.
    pub fn deviates(&mut self, id: &'static str, says: impl Into<String>) {
        self.say(id, Verdict::Deviates, says);
    }

    /// What all words on a clause come to: a failure outweighs what is unclear, that a deviation, that a pass, and that what does not bind.
    #[must_use]
    pub fn verdict(&self, id: &str) -> Option<(Verdict, Vec<&Word>)> {
        let words = self.found.get(id)?;
        let weight = |verdict: Verdict| match verdict {
            Verdict::Fail => 4,
            Verdict::Inconclusive => 3,
            Verdict::Deviates => 2,
            Verdict::Pass => 1,
            Verdict::NotApplicable => 0,
        };
        let verdict =
            words.iter().map(|word| word.verdict).max_by_key(|verdict| weight(*verdict))?;
        Some((verdict, words.iter().filter(|word| word.verdict == verdict).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_word_counts_and_what_does_not_bind_counts_least() {
        fn check(words: &[Verdict], expected: Option<Verdict>) {
            let mut say = Say::default();
            for word in words {
                say.say("KE-01", *word, "");
            }
            assert_eq!(say.verdict("KE-01").map(|(verdict, _)| verdict), expected);
        }
        use Verdict::{Deviates, Fail, Inconclusive, NotApplicable, Pass};
        check(&[], None);
        check(&[NotApplicable], Some(NotApplicable));
        check(&[Pass, NotApplicable], Some(Pass));
        check(&[Pass, Deviates], Some(Deviates));
        check(&[Deviates, Inconclusive, Pass], Some(Inconclusive));
        check(&[Fail, Inconclusive], Some(Fail));
    }
}
