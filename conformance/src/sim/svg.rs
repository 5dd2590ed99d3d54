use std::fmt::Write;

/// True offset over time as SVG: a line for each variant, on a scale of powers of ten with both signs folded up, and chronyd's RMS
/// dashed in the same colour.
pub struct Drawing {
    title: String,
    lines: Vec<Curve>,
}

struct Curve {
    name: String,
    /// Largest |offset| in each of equal parts of the run, s.
    peaks: Vec<f64>,
    seconds: usize,
    chronyd_rms: Option<f64>,
}

impl Drawing {
    /// A drawing without lines.
    #[must_use]
    pub fn new(title: String) -> Self {
        Self { title, lines: Vec::new() }
    }

    /// Adds a run, second by second.
    pub fn add(&mut self, name: &str, offsets: &[f64], chronyd_rms: Option<f64>) {
        let part = offsets.len().div_ceil(COLUMNS).max(1);
        let peaks = offsets
            .chunks(part)
            .map(|chunk| chunk.iter().fold(0.0f64, |most, offset| most.max(offset.abs())));
        self.lines.push(Curve {
            name: name.to_owned(),
            peaks: peaks.collect(),
            seconds: offsets.len(),
            chronyd_rms,
        });
    }

    /// The SVG.
    #[must_use]
    pub fn write(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| line.peaks.iter().chain(&line.chronyd_rms));
        let most = all().fold(1e-8f64, |most, x| most.max(*x)).log10().ceil() as i32;
        let rms = self.lines.iter().filter_map(|line| line.chronyd_rms);
        let least = rms.fold(most - 2, |least, x| least.min((x / 30.0).log10().floor() as i32));
        let y = |offset: f64| {
            let share = (offset.max(1e-12).log10() - f64::from(least)) / f64::from(most - least);
            BOTTOM - share.max(0.0) * (BOTTOM - TOP)
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{}</text>\n",
            escaped(&self.title)
        );
        for power in least..=most {
            let at = y(10f64.powi(power));
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                power_name(power)
            );
        }
        let seconds = self.lines.iter().map(|line| line.seconds).max().unwrap_or(0);
        for quarter in 0..=4 {
            let at = LEFT + (RIGHT - LEFT) * f64::from(quarter) / 4.0;
            let _ = writeln!(
                svg,
                "<text x=\"{at:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{} s</text>",
                BOTTOM + 18.0,
                seconds * quarter as usize / 4
            );
        }
        for (number, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let step = (RIGHT - LEFT) / line.peaks.len().max(1) as f64;
            let points =
                line.peaks.iter().enumerate().fold(String::new(), |mut points, (n, peak)| {
                    let _ =
                        write!(points, "{:.1},{:.1} ", LEFT + step * (n as f64 + 0.5), y(*peak));
                    points
                });
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>",
                points.trim_end()
            );
            let mut label = line.name.clone();
            if let Some(rms) = line.chronyd_rms {
                let at = y(rms);
                let _ = writeln!(
                    svg,
                    "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"{colour}\" stroke-dasharray=\"6 4\"/>"
                );
                label.push_str(" (dashed: RMS of chronyd)");
            }
            let _ = writeln!(
                svg,
                "<text x=\"{RIGHT}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                TOP + 14.0 + 16.0 * number as f64,
                escaped(&label)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn power_name(power: i32) -> String {
    let (unit, shift) = match power {
        0.. => ("s", 0),
        -3..0 => ("ms", 3),
        -6..-3 => ("µs", 6),
        _ => ("ns", 9),
    };
    format!("{} {unit}", 10f64.powi(power + shift))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Parts a run is divided into: what a reader's screen can show.
const COLUMNS: usize = 400;
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 744.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 284.0;
const COLOURS: [&str; 3] = ["#1060b0", "#b03a10", "#2c7a2c"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_a_line_for_each_variant_and_a_dashed_one_for_chronyd() {
        let mut drawing = Drawing::new("x: a < b".into());
        drawing.add("fixed6", &[0.1, 1e-3, -1e-5, 2e-5], Some(2e-5));
        drawing.add("user", &[0.1, 1e-3, -1e-5, 2e-5], None);
        let svg = drawing.write();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("stroke-dasharray").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.contains("100 ms") && svg.ends_with("</svg>\n"));
    }
}
