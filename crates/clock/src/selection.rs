//! Which sources are right: the intersection of what they say.

use core::fmt;
use std::collections::BTreeSet;

use crate::bounds::Bounds;
use crate::{SourceId, SourceOptions};

/// One source's say.
#[derive(Clone, Debug)]
pub(crate) struct Voice<'a> {
    pub(crate) id: SourceId,
    pub(crate) options: &'a SourceOptions,
    /// What it says, at the instant of the selection; `None` while it has said nothing.
    pub(crate) bounds: Option<Bounds>,
    /// It cannot be expected to say anything soon.
    pub(crate) unreachable: bool,
    /// It has not answered yet, but may at any moment.
    pub(crate) awaited: bool,
    pub(crate) authenticated: bool,
}

/// What is asked of a selection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) min_sources: usize,
    pub(crate) max_distance_s: f64,
    pub(crate) authentication: Authentication,
}

/// How proof of origin counts when sources are selected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Authentication {
    /// Not at all.
    Ignore,
    /// While sources with proof of origin are configured, they alone decide what is right; others may agree with them.
    #[default]
    Prefer,
    /// Sources without proof of origin are measured and shown, never followed.
    Require,
}

/// What became of a source in the selection, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SourceState {
    /// Its measurements are followed.
    Followed,
    /// It agrees with those that are followed, but others are preferred to it.
    Spare,
    /// It has not answered yet.
    Waiting,
    /// It has not answered for so long that its word counts no more.
    Unreachable,
    /// The operator wants it measured only.
    NotSelectable,
    /// It has no proof of origin, and the operator wants none without.
    Unauthenticated,
    /// Its time may be wrong by more than is allowed.
    Distant,
    /// Its time contradicts what the majority says.
    Falseticker,
    /// No majority of the sources agrees on anything; its time contradicts what the clock's history says, which others do not.
    AgainstHistory,
    /// Its last answers are far from what the clock's history foresees, and most of the others' are not.
    Doubtful,
    /// It says something, but no majority agrees on anything.
    NoMajority {
        /// How many agree at most.
        agree: usize,
        /// How many were heard.
        heard: usize,
    },
    /// It is right, but fewer sources agree than the operator demands, or one that is required is missing.
    NotEnough,
}

impl SourceState {
    /// One word for tables and programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Followed => "followed",
            Self::Spare => "spare",
            Self::Waiting => "waiting",
            Self::Unreachable => "unreachable",
            Self::NotSelectable => "noselect",
            Self::Unauthenticated => "unauthenticated",
            Self::Distant => "distant",
            Self::Falseticker | Self::AgainstHistory => "falseticker",
            Self::Doubtful => "doubtful",
            Self::NoMajority { .. } => "no-majority",
            Self::NotEnough => "not-enough",
        }
    }
}

impl fmt::Display for SourceState {
    /// A sentence a person can read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Followed => f.write_str("its measurements are followed"),
            Self::Spare => f.write_str("agrees with the sources followed, which are preferred"),
            Self::Waiting => f.write_str("has not answered yet"),
            Self::Unreachable => f.write_str("has not answered for eight questions"),
            Self::NotSelectable => f.write_str("measured only, by the configuration"),
            Self::Unauthenticated => {
                f.write_str("has no proof of origin, which the configuration requires")
            }
            Self::Distant => f.write_str("its time may be wrong by more than is allowed"),
            Self::Falseticker => f.write_str("its time contradicts what the majority says"),
            Self::AgainstHistory => f.write_str(
                "no majority says who is right; its time contradicts what the clock knew before",
            ),
            Self::Doubtful => f.write_str(
                "its time departs from what the other sources and the clock's history say",
            ),
            Self::NoMajority { agree, heard } => {
                write!(f, "no majority: at most {agree} of {heard} sources agree")
            }
            Self::NotEnough => f.write_str(
                "fewer sources agree than the configuration demands, or a required one is missing",
            ),
        }
    }
}

/// The outcome of a selection.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) states: Vec<(SourceId, SourceState)>,
    /// Where the truth lies if no more than a minority of those heard is wrong.
    pub(crate) bounds: Option<Bounds>,
    /// Whose agreement counted, in order.
    pub(crate) deciding: Vec<SourceId>,
}

/// Where the truth lies by these bounds, one of each source, if no more than a minority of `deciding` is wrong; `None` if no majority of them
/// agrees on anything.
pub(crate) fn majority_of(voices: &[Voice<'_>], deciding: &[SourceId]) -> Option<Bounds> {
    let houses = houses(&voices.iter().map(|voice| voice.options).collect::<Vec<_>>());
    let decides =
        |index: &usize| deciding.contains(&voices[*index].id) && voices[*index].bounds.is_some();
    let deciding: Vec<usize> = (0..voices.len()).filter(decides).collect();
    majority_bounds(voices, &houses, &deciding)
}

/// Finds what a majority agrees on (Marzullo's intersection) and who belongs to it.
///
/// Sources of one operator, behind one network or at one address are one voice. `own` is where our own clock, once it is well known,
/// believes the truth to be: it breaks a tie between the sources, and never outvotes them.
pub(crate) fn select(voices: &[Voice<'_>], rules: &Rules, own: Option<Bounds>) -> Selection {
    let mut states: Vec<(SourceId, SourceState)> =
        voices.iter().map(|voice| (voice.id, first_look(voice, rules))).collect();
    let candidate = |index: usize| matches!(states[index].1, SourceState::Spare);
    let candidates: Vec<usize> = (0..voices.len()).filter(|&index| candidate(index)).collect();
    let deciding = deciding(voices, &candidates, rules);
    let ids = deciding.iter().map(|&index| voices[index].id).collect();
    let trusting = voices
        .iter()
        .any(|voice| voice.options.trust && !voice.options.noselect && !voice.unreachable);
    let awaits = |voice: &&Voice<'_>| {
        voice.awaited && !voice.options.noselect && (voice.options.trust || !trusting)
    };
    let awaited = voices.iter().filter(awaits).count();
    let houses = houses(&voices.iter().map(|voice| voice.options).collect::<Vec<_>>());
    let heard = groups(&houses, &deciding);
    let best = deepest(voices, &houses, &deciding, None);
    let majority = |depth: usize, of: usize| 2 * depth > of;
    let mut found = best.filter(|(depth, _)| majority(*depth, heard + awaited));
    let outvoted =
        if found.is_some() { SourceState::Falseticker } else { SourceState::AgainstHistory };
    if found.is_none() && awaited == 0 && own.is_some() {
        found = deepest(voices, &houses, &deciding, own).filter(|(depth, region)| {
            majority(*depth, heard + 1) && own.is_some_and(|own| own.intersect(*region).is_some())
        });
    }
    let Some((_, region)) = found else {
        let agree = best.map_or(0, |(depth, _)| depth);
        let state = if awaited > 0 {
            SourceState::Waiting
        } else {
            SourceState::NoMajority { agree, heard }
        };
        for &index in &candidates {
            states[index].1 = state;
        }
        return Selection { states, bounds: None, deciding: ids };
    };
    let mut agreeing = Vec::new();
    for &index in &candidates {
        let agrees = voices[index].bounds.is_some_and(|bounds| bounds.intersect(region).is_some());
        if agrees {
            agreeing.push(index);
        } else {
            states[index].1 = outvoted;
        }
    }
    let required = voices.iter().any(|voice| voice.options.require);
    let required_agrees = agreeing.iter().any(|&index| voices[index].options.require);
    if groups(&houses, &agreeing) < rules.min_sources || (required && !required_agrees) {
        for &index in &agreeing {
            states[index].1 = SourceState::NotEnough;
        }
        return Selection { states, bounds: None, deciding: ids };
    }
    let preferred = agreeing.iter().any(|&index| voices[index].options.prefer);
    for &index in &agreeing {
        if !preferred || voices[index].options.prefer {
            states[index].1 = SourceState::Followed;
        }
    }
    let bounds = majority_bounds(voices, &houses, &deciding).unwrap_or(region);
    Selection { states, bounds: Some(bounds), deciding: ids }
}

/// What can be said of a source without the others; [`SourceState::Spare`] if nothing speaks against it.
fn first_look(voice: &Voice<'_>, rules: &Rules) -> SourceState {
    match voice.bounds {
        _ if voice.options.noselect => SourceState::NotSelectable,
        _ if voice.unreachable => SourceState::Unreachable,
        None => SourceState::Waiting,
        Some(_) if rules.authentication == Authentication::Require && !voice.authenticated => {
            SourceState::Unauthenticated
        }
        Some(bounds) if bounds.half_s() > rules.max_distance_s => SourceState::Distant,
        Some(_) => SourceState::Spare,
    }
}

/// Those whose agreement counts: the trusted ones while there are any that can be reached, else the authenticated ones if these count for more, else all.
fn deciding(voices: &[Voice<'_>], candidates: &[usize], rules: &Rules) -> Vec<usize> {
    let only = |which: &dyn Fn(&Voice<'_>) -> bool| -> Vec<usize> {
        candidates.iter().copied().filter(|&index| which(&voices[index])).collect()
    };
    // As long as a trusted one can be heard, now or soon, nobody decides in its stead.
    if voices
        .iter()
        .any(|voice| voice.options.trust && !voice.options.noselect && !voice.unreachable)
    {
        return only(&|voice| voice.options.trust);
    }
    if rules.authentication == Authentication::Prefer {
        let authenticated = only(&|voice| voice.authenticated);
        if !authenticated.is_empty() {
            return authenticated;
        }
    }
    candidates.to_vec()
}

/// Which independent voice each of them belongs to: being related goes on from one to the next.
fn houses(options: &[&SourceOptions]) -> Vec<usize> {
    let mut houses: Vec<usize> = (0..options.len()).collect();
    for (at, one) in options.iter().enumerate() {
        for (before, other) in options[..at].iter().enumerate() {
            let (joining, joined) = (houses[at], houses[before]);
            if joining != joined && related(one, other) {
                houses.iter_mut().filter(|house| **house == joining).for_each(|h| *h = joined);
            }
        }
    }
    houses
}

/// How many independent voices these are.
fn groups(houses: &[usize], indices: &[usize]) -> usize {
    indices.iter().map(|&index| houses[index]).collect::<BTreeSet<usize>>().len()
}

fn related(a: &SourceOptions, b: &SourceOptions) -> bool {
    fn same<T: PartialEq>(x: Option<&T>, y: Option<&T>) -> bool {
        x.is_some() && x == y
    }
    same(a.operator.as_ref(), b.operator.as_ref())
        || same(a.network.as_ref(), b.network.as_ref())
        || same(a.address.as_ref(), b.address.as_ref())
}

/// How many independent voices those of `sources` are that are marked. Being related goes over the others, too.
pub(crate) fn independent<'a>(sources: impl Iterator<Item = (&'a SourceOptions, bool)>) -> usize {
    let (options, marks): (Vec<&SourceOptions>, Vec<bool>) = sources.unzip();
    let marked: Vec<usize> =
        marks.iter().enumerate().filter_map(|(index, is)| is.then_some(index)).collect();
    groups(&houses(&options), &marked)
}

/// The stretch the most voices agree on, and how many they are.
fn deepest(
    voices: &[Voice<'_>],
    houses: &[usize],
    indices: &[usize],
    own: Option<Bounds>,
) -> Option<(usize, Bounds)> {
    let depth_at = |x_s: f64| {
        holding(voices, houses, indices, x_s) + usize::from(own.is_some_and(|own| own.contain(x_s)))
    };
    let all = || indices.iter().filter_map(|&index| voices[index].bounds).chain(own);
    let at_s = all().next()?.at_s;
    // The deepest stretch begins at somebody's lower bound and ends at the next upper one.
    let (depth, low_s) = all()
        .map(|bounds| (depth_at(bounds.low_s), bounds.low_s))
        .max_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))?;
    let high_s = all()
        .map(|bounds| bounds.high_s)
        .filter(|high_s| *high_s >= low_s)
        .fold(f64::INFINITY, f64::min);
    Some((depth, Bounds { low_s, high_s, at_s }))
}

/// How many independent voices have `x_s` within their bounds.
fn holding(voices: &[Voice<'_>], houses: &[usize], indices: &[usize], x_s: f64) -> usize {
    let inside = |index: &usize| voices[*index].bounds.is_some_and(|bounds| bounds.contain(x_s));
    let inside: Vec<usize> = indices.iter().copied().filter(inside).collect();
    groups(houses, &inside)
}

/// The least stretch that holds the truth whichever minority is wrong: from the first to the last point that a majority of the independent
/// voices contains.
fn majority_bounds(voices: &[Voice<'_>], houses: &[usize], deciding: &[usize]) -> Option<Bounds> {
    let all: Vec<Bounds> = deciding.iter().filter_map(|&index| voices[index].bounds).collect();
    let needed = groups(houses, deciding) / 2 + 1;
    let depth_at = |x_s: f64| holding(voices, houses, deciding, x_s);
    let ends = || all.iter().flat_map(|bounds| [bounds.low_s, bounds.high_s]);
    let covered = ends().filter(|x_s| depth_at(*x_s) >= needed);
    let (low_s, high_s) = covered
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low_s, high_s), x_s| {
            (low_s.min(x_s), high_s.max(x_s))
        });
    (low_s <= high_s).then_some(Bounds { low_s, high_s, at_s: all.first()?.at_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules =
        Rules { min_sources: 1, max_distance_s: 3.0, authentication: Authentication::Prefer };

    fn around(middle_s: f64, half_s: f64) -> Bounds {
        Bounds::around(middle_s, half_s, 0.0)
    }

    /// A source in words: `0±5 prefer` says 0 s ± 5 ms, `- awaited` has said nothing.
    struct Told {
        options: SourceOptions,
        bounds: Option<Bounds>,
        words: String,
    }

    impl Told {
        fn new(words: &str) -> Self {
            let mut options = SourceOptions::default();
            let mut bounds = None;
            for (place, word) in words.split_whitespace().enumerate() {
                match word.split_once(['±', '=']) {
                    Some((middle, half)) if place == 0 => {
                        let [middle, half] =
                            [middle, half].map(|ms| ms.parse::<f64>().unwrap() / 1e3);
                        bounds = Some(around(middle, half));
                    }
                    Some(("operator", name)) => options.operator = Some(name.to_owned()),
                    Some(("network", name)) => options.network = Some(name.to_owned()),
                    Some(("at", address)) => options.address = Some(address.parse().unwrap()),
                    _ => match word {
                        "prefer" => options.prefer = true,
                        "trust" => options.trust = true,
                        "require" => options.require = true,
                        "noselect" => options.noselect = true,
                        "-" | "authentic" | "awaited" | "unreachable" => {}
                        other => panic!("{other}"),
                    },
                }
            }
            Self { options, bounds, words: words.to_owned() }
        }

        fn voice(&self, id: u32) -> Voice<'_> {
            let is = |word: &str| self.words.split_whitespace().any(|other| other == word);
            Voice {
                id: SourceId(id),
                options: &self.options,
                bounds: self.bounds,
                unreachable: is("unreachable"),
                awaited: is("awaited"),
                authenticated: is("authentic"),
            }
        }
    }

    fn selected(told: &[&str], rules: &Rules, own: Option<Bounds>) -> Selection {
        let told: Vec<Told> = told.iter().map(|words| Told::new(words)).collect();
        let voices: Vec<Voice<'_>> =
            told.iter().zip(0..).map(|(told, id)| told.voice(id)).collect();
        select(&voices, rules, own)
    }

    fn check_by(rules: &Rules, own: Option<Bounds>, told: &[&str], expected: &[&str]) {
        let selection = selected(told, rules, own);
        let found: Vec<&str> = selection.states.iter().map(|(_, state)| state.word()).collect();
        assert_eq!(found, expected, "{told:?}");
        let followed = expected.contains(&"followed");
        assert_eq!(selection.bounds.is_some(), followed, "{told:?}: {selection:?}");
    }

    fn check(told: &[&str], expected: &[&str]) {
        check_by(&RULES, None, told, expected);
    }

    const YES: &str = "followed";
    const FALSE: &str = "falseticker";
    const NONE: &str = "no-majority";

    #[test]
    fn the_majority_is_followed() {
        check(&[], &[]);
        check(&["0±5"], &[YES]);
        check(&["0±5", "4±5"], &[YES, YES]);
        check(&["0±5", "4±5", "8±5"], &[YES; 3]);
        check(&["0±5", "2±5", "900±5"], &[YES, YES, FALSE]);
        check(&["0±5", "900±5", "2±5", "-800±5", "1±5"], &[YES, FALSE, YES, FALSE, YES]);
        check(&["0±5", "900±5", "2±5", "900±5", "1±5"], &[YES, FALSE, YES, FALSE, YES]);
        // One that says little contradicts nobody.
        check(&["0±5", "300±500", "1±5"], &[YES, YES, YES]);
    }

    #[test]
    fn without_a_majority_nobody_is_followed() {
        check(&["0±5", "900±5"], &[NONE, NONE]);
        check(&["0±5", "1±5", "900±5", "901±5"], &[NONE; 4]);
        check(&["0±5", "100±5", "200±5"], &[NONE; 3]);
        let selection = selected(&["0±5", "1±5", "900±5", "901±5"], &RULES, None);
        assert_eq!(selection.states[0].1, SourceState::NoMajority { agree: 2, heard: 4 });
    }

    #[test]
    fn our_own_clock_breaks_a_tie_and_outvotes_nobody() {
        let own = Some(around(0.0, 0.003));
        let check = |told: &[&str], expected: &[&str]| check_by(&RULES, own, told, expected);
        check(&["0±5", "900±5"], &[YES, FALSE]);
        check(&["0±5", "1±5", "900±5", "901±5"], &[YES, YES, FALSE, FALSE]);
        check(&["500±5", "900±5"], &[NONE, NONE]);
        check(&["900±5"], &[YES]);
        check(&["900±5", "901±5", "0±5"], &[YES, YES, FALSE]);
        // Who loses says by what.
        let state_of = |told: &[&str], place: usize| selected(told, &RULES, own).states[place].1;
        assert_eq!(state_of(&["0±5", "900±5"], 1), SourceState::AgainstHistory);
        assert_eq!(state_of(&["0±5", "1±5", "900±5", "901±5"], 2), SourceState::AgainstHistory);
        assert_eq!(state_of(&["900±5", "901±5", "0±5"], 2), SourceState::Falseticker);
    }

    #[test]
    fn some_cannot_be_followed_whatever_they_say() {
        check(&["0±5 noselect", "0±5"], &["noselect", YES]);
        check(&["0±5 unreachable", "0±5"], &["unreachable", YES]);
        check(&["0±5 unreachable"], &["unreachable"]);
        check(&["-", "0±5"], &["waiting", YES]);
        check(&["0±3100", "0±5"], &["distant", YES]);
        check(&["0±3100"], &["distant"]);
        // They have no vote either.
        check(
            &["0±5 noselect", "1±5 noselect", "0±5 unreachable", "900±5"],
            &["noselect", "noselect", "unreachable", YES],
        );
    }

    #[test]
    fn trusted_ones_alone_decide() {
        check(&["900±5 trust", "0±5", "1±5"], &[YES, FALSE, FALSE]);
        check(&["900±5 trust", "901±5", "1±5"], &[YES, YES, FALSE]);
        check(&["900±5 trust", "0±5 trust", "1±5"], &[NONE; 3]);
        check(&["900±5 trust unreachable", "0±5", "1±5"], &["unreachable", YES, YES]);
    }

    #[test]
    fn preferred_ones_are_followed_alone_but_do_not_decide() {
        check(&["0±5 prefer", "1±5", "2±5"], &[YES, "spare", "spare"]);
        check(&["0±5 prefer", "1±5 prefer", "2±5"], &[YES, YES, "spare"]);
        check(&["900±5 prefer", "1±5", "2±5"], &[FALSE, YES, YES]);
    }

    #[test]
    fn nothing_is_followed_without_what_is_required() {
        const LITTLE: &str = "not-enough";
        check(&["0±5 require", "1±5"], &[YES, YES]);
        check(&["- require", "1±5"], &["waiting", LITTLE]);
        check(&["900±5 require", "1±5", "2±5"], &[FALSE, LITTLE, LITTLE]);
        check(&["900±5 require", "1±5 require", "2±5"], &[FALSE, YES, YES]);
        let two = Rules { min_sources: 2, ..RULES };
        check_by(&two, None, &["0±5"], &[LITTLE]);
        check_by(&two, None, &["0±5", "1±5"], &[YES, YES]);
        check_by(&two, None, &["0±5", "1±5", "900±5"], &[YES, YES, FALSE]);
        let three = Rules { min_sources: 3, ..RULES };
        check_by(&three, None, &["0±5", "1±5", "900±5"], &[LITTLE, LITTLE, FALSE]);
    }

    #[test]
    fn sources_of_one_house_are_one_voice() {
        check(
            &["900±5 operator=a", "900±5 operator=a", "900±5 operator=a", "0±5", "1±5"],
            &[FALSE, FALSE, FALSE, YES, YES],
        );
        check(
            &["900±5 network=a", "900±5 network=a", "900±5 network=a", "0±5", "1±5"],
            &[FALSE, FALSE, FALSE, YES, YES],
        );
        check(&["900±5 operator=a", "900±5 operator=a", "0±5"], &[NONE; 3]);
        check(&["900±5 operator=a", "900±5 operator=b", "0±5"], &[YES, YES, FALSE]);
        // A network and an operator of the same name have nothing to do with each other.
        check(&["900±5 operator=a", "900±5 network=a", "0±5"], &[YES, YES, FALSE]);
        let two = Rules { min_sources: 2, ..RULES };
        let told = ["0±5 operator=a", "1±5 operator=a"];
        check_by(&two, None, &told, &["not-enough"; 2]);
    }

    #[test]
    fn those_that_agree_are_counted_by_houses() {
        let check = |told: &[(&str, bool)], expected: usize| {
            let all: Vec<(Told, bool)> =
                told.iter().map(|(words, is)| (Told::new(words), *is)).collect();
            let found = independent(all.iter().map(|(told, is)| (&told.options, *is)));
            assert_eq!(found, expected, "{told:?}");
        };
        check(&[], 0);
        check(&[("-", true), ("-", true), ("-", false)], 2);
        check(&[("- operator=a", true), ("- operator=a", true), ("- operator=b", true)], 2);
        check(&[("- network=a", true), ("- network=a", true)], 1);
        check(&[("- at=192.0.2.1:123", true), ("- at=192.0.2.1:123", true)], 1);
        // Another port is another server.
        check(&[("- at=192.0.2.1:123", true), ("- at=192.0.2.1:124", true)], 2);
        let told =
            [("- operator=a", true), ("- operator=a network=y", false), ("- network=y", true)];
        check(&told, 1);
    }

    #[test]
    fn being_related_goes_on_over_a_third() {
        // The first and the third share nothing, but both share something with the second.
        let told = [
            "-900±5 operator=a network=x",
            "900±5 operator=a network=y",
            "-900±5 operator=b network=y",
            "0±5",
            "1±5",
        ];
        check(&told, &[FALSE, FALSE, FALSE, YES, YES]);
    }

    #[test]
    fn proof_of_origin_counts_as_the_policy_says() {
        let told = ["900±5 authentic", "0±5", "1±5"];
        let by = |authentication| Rules { authentication, ..RULES };
        check_by(&by(Authentication::Ignore), None, &told, &[FALSE, YES, YES]);
        check_by(&by(Authentication::Prefer), None, &told, &[YES, FALSE, FALSE]);
        let required = by(Authentication::Require);
        let without = "unauthenticated";
        check_by(&required, None, &told, &[YES, without, without]);
        check_by(&required, None, &["0±5", "1±5"], &[without; 2]);
        check_by(&by(Authentication::Prefer), None, &["0±5", "1±5"], &[YES; 2]);
        check_by(&by(Authentication::Prefer), None, &["0±5 authentic", "1±5"], &[YES; 2]);
    }

    #[test]
    fn those_still_awaited_are_reckoned_with() {
        let wait = "waiting";
        check(&["0±5", "- awaited"], &[wait, wait]);
        check(&["0±5", "- awaited", "- awaited"], &[wait; 3]);
        check(&["0±5", "1±5", "- awaited"], &[YES, YES, wait]);
        check(&["0±5", "900±5", "- awaited"], &[wait; 3]);
        check(&["0±5", "- awaited noselect"], &[YES, "noselect"]);
        check(&["0±5", "-"], &[YES, wait]);
    }

    #[test]
    fn every_state_has_a_word_and_a_sentence_of_its_own() {
        let states = [
            SourceState::Followed,
            SourceState::Spare,
            SourceState::Waiting,
            SourceState::Unreachable,
            SourceState::NotSelectable,
            SourceState::Unauthenticated,
            SourceState::Distant,
            SourceState::Falseticker,
            SourceState::NoMajority { agree: 2, heard: 5 },
            SourceState::NotEnough,
        ];
        let words: std::collections::BTreeSet<&str> = states.iter().map(|s| s.word()).collect();
        let sentences: std::collections::BTreeSet<String> =
            states.iter().map(ToString::to_string).collect();
        assert_eq!((words.len(), sentences.len()), (states.len(), states.len()));
        assert!(sentences.iter().any(|sentence| sentence.contains("2 of 5")));
    }

    /// Who tells the truth holds it, however vaguely; who lies may say anything, alone or together.
    fn honest() -> impl Strategy<Value = Bounds> {
        (0.0..1.0f64, 1e-6..1.0f64).prop_map(|(at, width)| Bounds {
            low_s: -at * width,
            high_s: (1.0 - at) * width,
            at_s: 0.0,
        })
    }

    fn liar() -> impl Strategy<Value = Bounds> {
        let lie = (-1.0..1.0f64, 1e-6..1.0f64).prop_map(|(at, half)| around(at, half));
        prop_oneof![lie, Just(around(0.5, 0.1)), Just(around(0.5, 0.499))]
    }

    proptest! {
        #[test]
        fn the_truth_is_within_bounds_however_a_minority_lies(
            honest in prop::collection::vec(honest(), 1..8),
            liars in prop::collection::vec(liar(), 0..8),
        ) {
            let liars = liars.get(..liars.len().min(honest.len() - 1)).unwrap_or_default();
            let options = SourceOptions::default();
            let voice = |(id, bounds): (u32, &Bounds)| Voice {
                id: SourceId(id),
                options: &options,
                bounds: Some(*bounds),
                unreachable: false,
                awaited: false,
                authenticated: false,
            };
            let voices: Vec<Voice<'_>> = (0..).zip(liars.iter().chain(&honest)).map(voice).collect();
            let found = select(&voices, &RULES, None).bounds;
            prop_assert!(found.is_some_and(|bounds| bounds.contain(0.0)), "{found:?}");
        }

        /// One operator may run many sources and lie with all of them.
        #[test]
        fn the_truth_is_within_bounds_however_many_voices_one_house_has(
            honest in prop::collection::vec(honest(), 1..6),
            liars in prop::collection::vec((0..5u8, liar()), 0..12),
        ) {
            let houses: Vec<SourceOptions> = (0..5)
                .map(|house| SourceOptions {
                    operator: Some(format!("house {house}")),
                    ..SourceOptions::default()
                })
                .collect();
            let plain = SourceOptions::default();
            let most = honest.len() - 1;
            let lying = liars.iter().filter(|(house, _)| usize::from(*house) < most);
            let lying = lying.map(|(house, bounds)| (&houses[usize::from(*house)], bounds));
            let all = lying.chain(honest.iter().map(|bounds| (&plain, bounds)));
            let voices: Vec<Voice<'_>> = (0..)
                .zip(all)
                .map(|(id, (options, bounds))| Voice {
                    id: SourceId(id),
                    options,
                    bounds: Some(*bounds),
                    unreachable: false,
                    awaited: false,
                    authenticated: false,
                })
                .collect();
            let found = select(&voices, &RULES, None).bounds;
            prop_assert!(found.is_some_and(|bounds| bounds.contain(0.0)), "{found:?}");
        }
    }
}
