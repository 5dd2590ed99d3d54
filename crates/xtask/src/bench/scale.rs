//! `cargo xtask bench scale`: what becomes of a hundred million clients when many of them need new keys at once.
//!
//! Nobody can run so many here, so they are counted: [`cohorts`] moves crowds that are alike through time as numbers, second by second.
//! That this is right is checked in the same run against [`individuals`], a million clients one by one with chance, asking a hundredth of the
//! service. Nothing is timed and nothing is sent; the same run gives the same figures on every machine.

mod cohorts;
mod individuals;
mod storm;

use self::storm::{Course, STORMS, Storm};
use super::Wish;
use super::figure::Figure;

/// Clients that are counted.
const CLIENTS: f64 = 1e8;
/// Clients that are followed one by one.
const INDIVIDUALS: u32 = 1_000_000;
/// Key establishments per second of all servers together: what some 12, 64 and 320 processors do (`docs/performance.md`).
const SERVICES: [f64; 3] = [50_000.0, 250_000.0, 1_250_000.0];

/// Counts every storm at every size of the service, and follows individuals through it `wish.rounds` times.
pub fn measure(wish: Wish) -> Vec<Figure> {
    let mut figures = Vec::new();
    for storm in &STORMS {
        for service in SERVICES {
            let counted = cohorts::run(storm, CLIENTS, service);
            let followed: Vec<Course> = (1..=wish.rounds)
                .map(|seed| {
                    let part = f64::from(INDIVIDUALS) / CLIENTS;
                    individuals::run(storm, INDIVIDUALS, service * part, seed.into())
                })
                .collect();
            eprintln!("{}", line(storm, service, &counted));
            figures.extend(compare(storm, service, &counted, &followed));
        }
    }
    figures
}

/// A line for who waits.
fn line(storm: &Storm, service: f64, course: &Course) -> String {
    let when = |share: f64| match course.served_by(share) {
        Some(second) => format!("{second:>6} s"),
        None => "  never ".into(),
    };
    format!(
        "{:<12} {service:>9.0}/s  at most {:>9.0} attempts/s  refused {:>5.2} for each client  half have keys after {}, 99 % after {}, 99.99 % after {}",
        storm.name,
        course.peak(),
        course.refused() / course.affected.max(1.0),
        when(0.5),
        when(0.99),
        when(0.9999),
    )
}

/// How long it takes until 99 of 100 have keys, and how many attempts there are at most in a second: counted and followed.
fn compare(storm: &Storm, service: f64, counted: &Course, followed: &[Course]) -> Vec<Figure> {
    let scale = CLIENTS / f64::from(INDIVIDUALS);
    let name = |what: &str| format!("scale_{}_{}_{what}", storm.name, service as u64);
    let seconds = |course: &Course| course.served_by(0.99).map_or(f64::INFINITY, |s| s as f64);
    let times: Vec<f64> = followed.iter().map(seconds).collect();
    // In a single second chance is large beside a hundredth of the service; over a minute it is not.
    let peaks: Vec<f64> = followed.iter().map(|course| course.busiest() * scale).collect();
    [
        figure(name("99_s"), seconds(counted), &times, "s until 99 % have keys; other: followed"),
        figure(
            name("peak_per_s"),
            counted.busiest(),
            &peaks,
            "attempts/s in the busiest minute; other: followed",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `value` is what was counted; `spread` is by how much of it the followed ones differ from it at most.
fn figure(figure: String, counted: f64, followed: &[f64], unit: &'static str) -> Option<Figure> {
    let other = super::figure::median(followed)?;
    let apart = |x: &f64| ((x - counted) / counted).abs();
    let spread = followed.iter().map(apart).fold(0.0, f64::max);
    Some(Figure {
        figure,
        value: counted,
        rounds: followed.len(),
        spread,
        ours: counted,
        other,
        unit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_what_individuals_do() {
        for storm in &STORMS {
            for service in SERVICES {
                // Thirty thousand clients follow the same course, with more chance in it.
                let part = 30_000.0 / CLIENTS;
                let counted = cohorts::run(storm, CLIENTS, service);
                let followed = individuals::run(storm, 30_000, service * part, 7);
                for share in [0.25, 0.5, 0.9] {
                    let (a, b) = (counted.served_by(share), followed.served_by(share));
                    let (Some(a), Some(b)) = (a, b) else { panic!("{} ends", storm.name) };
                    let apart = a.abs_diff(b) as f64;
                    assert!(
                        apart <= 3.0 + 0.06 * a as f64,
                        "{} {service}: {share} after {a} and {b} s",
                        storm.name
                    );
                }
                let shares =
                    [counted.refused() / counted.affected, followed.refused() / followed.affected];
                assert!(
                    (shares[0] - shares[1]).abs() <= 0.05 + 0.1 * shares[0],
                    "{} {service}: refused {shares:?}",
                    storm.name
                );
            }
        }
    }
}
