//! `cargo xtask bench server`: processor time per answer.

use super::Wish;
use super::asking::{Mode, Outcome, drive};
use super::contestant::{self, Arena, Contestant, Peer};
use super::figure::{Best, Figure};
use super::rig::Rig;

/// Every way of asking.
const MODES: [Mode; 7] = [
    Mode::PLAIN,
    Mode::NTS1,
    Mode::NTS8,
    Mode::GCM_SIV1,
    Mode::GCM_SIV8,
    Mode::LOW,
    Mode::INTERLEAVED,
];

/// Samples of one server in one way, round by round; not a number where a round does not count.
#[derive(Clone, Default)]
struct Samples {
    ns: Vec<f64>,
    rate: Vec<f64>,
    p99: Vec<f64>,
}

impl Samples {
    fn push(&mut self, outcome: &Outcome, counts: bool) {
        let kept = |value: f64| if counts { value } else { f64::NAN };
        self.ns.push(kept(outcome.ns_per_answer));
        self.rate.push(kept(outcome.answered_per_s));
        self.p99.push(kept(outcome.delay.map_or(f64::NAN, |delay| delay.p99_ns)));
    }
}

/// Drives noonmarkd, echo and `peers` in turn, in every way.
///
/// # Errors
/// What could not be started, or which answers were wrong.
pub fn measure(wish: Wish, peers: &[Peer]) -> Result<Vec<Figure>, String> {
    let arena = Arena::new(Rig::new(wish)?, peers)?;
    let mut servers = vec![arena.ours()?];
    for peer in peers {
        servers.push(arena.peer(*peer)?);
    }
    servers.push(arena.echo()?);
    let mut samples = vec![vec![Samples::default(); servers.len()]; MODES.len()];
    for round in 1..=wish.rounds {
        for (mode, samples) in MODES.iter().zip(&mut samples) {
            for (contestant, samples) in servers.iter().zip(samples) {
                let name = contestant.server.name;
                if !mode.suits(name) {
                    continue;
                }
                let outcome = drive(contestant, mode)?;
                outcome.show(round, wish.rounds, mode, name);
                let objection = outcome.objection(mode);
                samples.push(&outcome, objection.is_none());
                if let Some(objection) = objection {
                    eprintln!("    does not count: {objection}");
                }
            }
        }
    }
    Ok(figures(&servers, &samples))
}

/// Our cost and our rate over each of the others', and what our own ways cost beside each other.
fn figures(servers: &[Contestant<'_>], samples: &[Vec<Samples>]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (n, other) in servers.iter().enumerate().skip(1) {
        let other = other.server.name;
        for (mode, samples) in MODES.iter().zip(samples) {
            let (ours, others) = (&samples[0], &samples[n]);
            let name = format!("{}_over_{other}", mode.name);
            figures.extend(Figure::new(name, "ns per answer", Best::Least, &ours.ns, &others.ns));
            let name = format!("{}_p99_over_{other}", mode.name);
            figures.extend(Figure::new(name, "ns", Best::Least, &ours.p99, &others.p99));
        }
        for (mode, samples) in MODES.iter().zip(samples) {
            let (ours, others) = (&samples[0], &samples[n]);
            let name = format!("{}_rate_over_{other}", mode.name);
            // What is offered at a low rate is answered.
            let is_limited = mode.name != Mode::LOW.name;
            let figure = Figure::new(name, "answers/s", Best::Most, &ours.rate, &others.rate);
            figures.extend(figure.filter(|_| is_limited));
        }
    }
    let ours = |name: &str| {
        let place = MODES.iter().position(|mode| mode.name == name)?;
        Some(&samples.get(place)?.first()?.ns)
    };
    for (name, siv) in
        [(Mode::GCM_SIV1.name, Mode::NTS1.name), (Mode::GCM_SIV8.name, Mode::NTS8.name)]
    {
        if let (Some(gcm_siv), Some(siv)) = (ours(name), ours(siv)) {
            let name = format!("{name}_over_siv");
            figures.extend(Figure::new(name, "ns per answer", Best::Least, gcm_siv, siv));
        }
    }
    debug_assert_eq!(servers.first().map(|first| first.server.name), Some(contestant::OURS));
    figures
}
