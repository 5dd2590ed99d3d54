//! `cargo xtask bench stamps`: how true the transmit times in answers are.
//!
//! An answer's transmit time is written before it leaves; the wire says when it did. What is judged of that difference is its mean, which makes every
//! client's clock wrong by half of it, and its standard deviation, which makes it restless. Four ways of asking: plain and under NTS, at 20,000 requests
//! per second, where an answer goes alone, and at 80 % of what the server answers at most, where many go together.

use super::Wish;
use super::asking::{LOW_RATE, Mode, drive};
use super::contestant::{Arena, Contestant, Peer};
use super::figure::{Figure, median};
use super::rig::Rig;

/// Of what a server answers at most, so much is asked of it.
const PART: f64 = 0.8;

/// The ways of asking: what figures call them, how the server is driven to its limit, and whether that is then asked of it.
const WAYS: [(&str, Mode, bool); 4] = [
    ("plain_low", Mode::PLAIN, false),
    ("nts1_low", Mode::NTS1, false),
    ("plain_busy", Mode::PLAIN, true),
    ("nts1_busy", Mode::NTS1, true),
];

/// What was seen of one server in one way, round by round, in nanoseconds.
#[derive(Clone, Default)]
struct Samples {
    /// Positive where answers left after their time.
    mean: Vec<f64>,
    sd: Vec<f64>,
}

/// Drives noonmarkd and `peers` in turn, in every way.
///
/// # Errors
/// What could not be started, or which answers were wrong.
pub fn measure(wish: Wish, peers: &[Peer]) -> Result<Vec<Figure>, String> {
    let arena = Arena::new(Rig::new(wish)?, peers)?;
    let mut servers = vec![arena.ours()?];
    for peer in peers {
        servers.push(arena.peer(*peer)?);
    }
    let mut samples = vec![vec![Samples::default(); servers.len()]; WAYS.len()];
    for round in 1..=wish.rounds {
        for ((name, limit, is_busy), samples) in WAYS.iter().zip(&mut samples) {
            for (contestant, samples) in servers.iter().zip(samples) {
                let rate = match is_busy {
                    false => LOW_RATE,
                    true => PART * drive(contestant, limit)?.answered_per_s,
                };
                let mode = limit.timed(name, rate.round());
                let outcome = drive(contestant, &mode)?;
                outcome.show(round, wish.rounds, &mode, contestant.server.name);
                let late = outcome.late.ok_or("the generator told no times")?;
                samples.mean.push(late.mean_ns);
                samples.sd.push(late.sd_ns);
            }
        }
    }
    Ok(figures(&servers, &samples))
}

/// Each way beside each of the others, and of each peer the worst way.
fn figures(servers: &[Contestant<'_>], samples: &[Vec<Samples>]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (n, other) in servers.iter().enumerate().skip(1) {
        let other = other.server.name;
        for (what, of) in [
            ("mean", (|samples| &samples.mean) as fn(&Samples) -> &[f64]),
            ("sd", |samples| &samples.sd),
        ] {
            let each = |((way, ..), samples): (&(&str, Mode, bool), &Vec<Samples>)| {
                let name = format!("stamp_{what}_{way}_over_{other}");
                compare(name, of(&samples[0]), of(&samples[n]))
            };
            let ways: Vec<Figure> = WAYS.iter().zip(samples).filter_map(each).collect();
            let worst = ways.iter().max_by(|a, b| a.value.total_cmp(&b.value));
            let worst = worst
                .cloned()
                .map(|worst| Figure { figure: format!("stamp_{what}_over_{other}"), ..worst });
            figures.extend(worst.into_iter().chain(ways));
        }
    }
    figures
}

/// The quotient of the sizes of two medians, whichever sign they have.
fn compare(figure: String, ours: &[f64], other: &[f64]) -> Option<Figure> {
    let quotients: Vec<f64> = ours.iter().zip(other).map(|(a, b)| (a / b).abs()).collect();
    let most = quotients.iter().copied().reduce(f64::max)?;
    let least = quotients.iter().copied().reduce(f64::min)?;
    let (ours, other) = (median(ours)?, median(other)?);
    Some(Figure {
        figure,
        value: (ours / other).abs(),
        rounds: quotients.len(),
        spread: most - least,
        ours,
        other,
        unit: "ns",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_either_sign_are_compared_by_their_size() {
        let figure = compare("x".into(), &[-500.0, -400.0, -900.0], &[2000.0, 2000.0, 2000.0]);
        let figure = figure.unwrap();
        assert_eq!((figure.value, figure.ours, figure.other), (0.25, -500.0, 2000.0));
        assert_eq!((figure.rounds, figure.spread), (3, 0.25));
        assert!(compare("x".into(), &[], &[]).is_none());
    }
}
