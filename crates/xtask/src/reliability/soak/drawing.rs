use std::fmt::Write;

use crate::reliability::memory::Sample;

/// Memory over requests as SVG, a line for each process.
pub struct Drawing {
    requests: u64,
    lines: Vec<(String, Vec<(u64, u64)>)>,
}

impl Drawing {
    /// Of all samples of a run.
    pub fn of(samples: &[Sample], requests: u64) -> Self {
        let mut lines: Vec<(String, Vec<(u64, u64)>)> = Vec::new();
        for sample in samples {
            let point = (sample.requests, sample.memory);
            match lines.iter_mut().find(|(role, _)| *role == sample.role) {
                Some((_, points)) => points.push(point),
                None => lines.push((sample.role.clone(), vec![point])),
            }
        }
        // What a screen can show.
        for (_, points) in &mut lines {
            let every = points.len().div_ceil(COLUMNS).max(1);
            *points = points.iter().step_by(every).copied().collect();
        }
        Self { requests: requests.max(1), lines }
    }

    /// The SVG.
    pub fn write(&self) -> String {
        let points = self.lines.iter().flat_map(|(_, points)| points);
        let most = points.map(|(_, memory)| *memory).max().unwrap_or(1).div_ceil(MIB).max(1);
        let x = |requests: u64| {
            LEFT + (RIGHT - LEFT) * requests.min(self.requests) as f64 / self.requests as f64
        };
        let y = |memory: f64| BOTTOM - (BOTTOM - TOP) * memory / (most * MIB) as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">Memory of each process (anonymous, MiB) over requests</text>\n"
        );
        for line in 0..=most {
            let at = y((line * MIB) as f64);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{line}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        for quarter in 0..=4 {
            let requests = self.requests / 4 * quarter;
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{requests}</text>",
                x(requests),
                BOTTOM + 18.0
            );
        }
        for (number, ((role, points), colour)) in
            self.lines.iter().zip(COLOURS.iter().cycle()).enumerate()
        {
            let points = points.iter().fold(String::new(), |mut text, (requests, memory)| {
                let _ = write!(text, "{:.1},{:.1} ", x(*requests), y(*memory as f64));
                text
            });
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>\n\
                 <text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\">{role}</text>",
                points.trim_end(),
                LEFT + 8.0 + 110.0 * number as f64,
                BOTTOM + 38.0
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

const COLUMNS: usize = 400;
const MIB: u64 = 1 << 20;
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 728.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 290.0;
const COLOURS: [&str; 6] = ["#1060b0", "#b03a10", "#2c7a2c", "#803090", "#907010", "#404040"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_has_a_line() {
        let sample = |role: &str, n: u64| {
            let (role, memory) = (role.to_owned(), (n + 1) << 20);
            Sample { requests: n, role, memory, descriptors: 1 }
        };
        let samples = [sample("ntp", 0), sample("ke", 0), sample("ntp", 1), sample("ke", 1)];
        let svg = Drawing::of(&samples, 2).write();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">ntp</text>") && svg.ends_with("</svg>\n"));
    }
}
