//! Which sources are right: the intersection of what they say.

use core::fmt;

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
    /// Its measurements steer the clock.
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
            Self::Falseticker => "falseticker",
            Self::NoMajority { .. } => "no-majority",
            Self::NotEnough => "not-enough",
        }
    }
}

impl fmt::Display for SourceState {
    /// A sentence a person can read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Followed => f.write_str("its measurements steer the clock"),
            Self::Spare => f.write_str("agrees with the sources followed, which are preferred"),
            Self::Waiting => f.write_str("has not answered yet"),
            Self::Unreachable => f.write_str("has not answered for eight questions"),
            Self::NotSelectable => f.write_str("measured only, by the configuration"),
            Self::Unauthenticated => {
                f.write_str("has no proof of origin, which the configuration requires")
            }
            Self::Distant => f.write_str("its time may be wrong by more than is allowed"),
            Self::Falseticker => f.write_str("its time contradicts what the majority says"),
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
}

/// Finds what a majority agrees on (Marzullo's intersection) and who belongs to it.
///
/// Sources of one operator or behind one network are one voice. `own` is where our own clock, once it is well known, believes the truth
/// to be: it breaks a tie between the sources, and never outvotes them.
pub(crate) fn select(voices: &[Voice<'_>], rules: &Rules, own: Option<Bounds>) -> Selection {
    let mut states: Vec<(SourceId, SourceState)> =
        voices.iter().map(|voice| (voice.id, first_look(voice, rules))).collect();
    let candidate = |index: usize| matches!(states[index].1, SourceState::Spare);
    let candidates: Vec<usize> = (0..voices.len()).filter(|&index| candidate(index)).collect();
    let deciding = deciding(voices, &candidates, rules);
    let awaited = voices.iter().filter(|voice| voice.awaited && !voice.options.noselect).count();
    let heard = groups(voices, &deciding);
    let best = deepest(voices, &deciding, None);
    let majority = |depth: usize, of: usize| 2 * depth > of;
    let mut found = best.filter(|(depth, _)| majority(*depth, heard + awaited));
    if found.is_none() && awaited == 0 && own.is_some() {
        found = deepest(voices, &deciding, own).filter(|(depth, region)| {
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
        return Selection { states, bounds: None };
    };
    let mut agreeing = Vec::new();
    for &index in &candidates {
        let agrees = voices[index].bounds.is_some_and(|bounds| bounds.intersect(region).is_some());
        if agrees {
            agreeing.push(index);
        } else {
            states[index].1 = SourceState::Falseticker;
        }
    }
    let required = voices.iter().any(|voice| voice.options.require);
    let required_agrees = agreeing.iter().any(|&index| voices[index].options.require);
    if groups(voices, &agreeing) < rules.min_sources || (required && !required_agrees) {
        for &index in &agreeing {
            states[index].1 = SourceState::NotEnough;
        }
        return Selection { states, bounds: None };
    }
    let preferred = agreeing.iter().any(|&index| voices[index].options.prefer);
    for &index in &agreeing {
        if !preferred || voices[index].options.prefer {
            states[index].1 = SourceState::Followed;
        }
    }
    Selection { states, bounds: Some(majority_bounds(voices, &deciding, region)) }
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

/// Those whose agreement counts: the trusted ones if there are any, else the authenticated ones if these count for more, else all.
fn deciding(voices: &[Voice<'_>], candidates: &[usize], rules: &Rules) -> Vec<usize> {
    let only = |which: &dyn Fn(&Voice<'_>) -> bool| -> Vec<usize> {
        candidates.iter().copied().filter(|&index| which(&voices[index])).collect()
    };
    let trusted = only(&|voice| voice.options.trust);
    if !trusted.is_empty() {
        return trusted;
    }
    if rules.authentication == Authentication::Prefer {
        let authenticated = only(&|voice| voice.authenticated);
        if !authenticated.is_empty() {
            return authenticated;
        }
    }
    candidates.to_vec()
}

/// How many independent voices these are.
fn groups(voices: &[Voice<'_>], indices: &[usize]) -> usize {
    (0..indices.len())
        .filter(|&at| {
            !indices[..at].iter().any(|&before| related(&voices[indices[at]], &voices[before]))
        })
        .count()
}

fn related(a: &Voice<'_>, b: &Voice<'_>) -> bool {
    let same = |x: &Option<String>, y: &Option<String>| x.is_some() && x == y;
    same(&a.options.operator, &b.options.operator) || same(&a.options.network, &b.options.network)
}

/// The stretch the most voices agree on, and how many they are.
fn deepest(
    voices: &[Voice<'_>],
    indices: &[usize],
    own: Option<Bounds>,
) -> Option<(usize, Bounds)> {
    let depth_at = |x_s: f64| {
        let inside: Vec<usize> = indices
            .iter()
            .copied()
            .filter(|&index| voices[index].bounds.is_some_and(|bounds| bounds.contain(x_s)))
            .collect();
        groups(voices, &inside) + usize::from(own.is_some_and(|own| own.contain(x_s)))
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

/// The least stretch that holds the truth however the wrong minority is made up: everything at least a majority's number, less those who
/// may be wrong, contains.
fn majority_bounds(voices: &[Voice<'_>], deciding: &[usize], region: Bounds) -> Bounds {
    let all: Vec<Bounds> = deciding.iter().filter_map(|&index| voices[index].bounds).collect();
    let heard = deciding.len();
    let needed = all.len().min(heard / 2 + 1);
    let depth_at = |x_s: f64| all.iter().filter(|bounds| bounds.contain(x_s)).count();
    let ends = || all.iter().flat_map(|bounds| [bounds.low_s, bounds.high_s]);
    let covered = ends().filter(|x_s| depth_at(*x_s) >= needed);
    let (low_s, high_s) = covered
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low_s, high_s), x_s| {
            (low_s.min(x_s), high_s.max(x_s))
        });
    if low_s <= high_s { Bounds { low_s, high_s, at_s: region.at_s } } else { region }
}
