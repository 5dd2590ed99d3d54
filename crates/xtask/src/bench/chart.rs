//! Figures as a drawing: a bar for each quotient, and a mark where it may end at most.

use std::fmt::Write;
use std::path::PathBuf;

use super::figure::Figure;
use super::target;
use crate::workspace::Metadata;

/// Draws `figures` into a file of the target folder named by what was measured, and returns where.
///
/// # Errors
/// What the file system says.
pub fn write(subject: &str, figures: &[Figure]) -> Result<PathBuf, String> {
    let folder = Metadata::read()?.target_directory.join("bench");
    let path = folder.join(format!("{subject}.svg"));
    let write = || {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(&path, draw(subject, figures))
    };
    write().map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// The SVG. Bars that would leave the drawing end at its edge; the number beside each says how long it is.
fn draw(subject: &str, figures: &[Figure]) -> String {
    let longest = figures
        .iter()
        .flat_map(|figure| [Some(figure.value), target::most(&figure.figure)])
        .flatten()
        .filter(|value| value.is_finite())
        .fold(1.0, f64::max)
        .min(MOST);
    let x = |value: f64| LEFT + (RIGHT - LEFT) * (value / longest).clamp(0.0, 1.0);
    let height = TOP + ROW * figures.len() as f64 + 24.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"18\" font-size=\"14\">noonmarkd beside others: {subject}; shorter is better but for rates</text>\n"
    );
    let one = x(1.0);
    let _ = writeln!(svg, "<path d=\"M{one:.1} {TOP}V{:.0}\" stroke=\"#bbb\"/>", height - 24.0);
    for (row, figure) in figures.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let most = target::most(&figure.figure);
        let colour = match most {
            Some(most) if figure.value > most => MISSED,
            Some(_) => REACHED,
            None => UNJUDGED,
        };
        let text = top + 15.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{:.1}\" height=\"14\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{text:.0}\">{:.3}</text>",
            LEFT - 8.0,
            figure.figure,
            top + 4.0,
            x(figure.value) - LEFT,
            x(figure.value) + 6.0,
            figure.value,
        );
        if let Some(most) = most {
            let _ = writeln!(
                svg,
                "<path d=\"M{:.1} {:.0}v20\" stroke=\"#000\" stroke-width=\"2\"/>",
                x(most),
                top + 1.0
            );
        }
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#555\">thick mark: the most it may be; thin line: as much as the other</text>\n</svg>",
        height - 8.0
    );
    svg
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 270.0;
const RIGHT: f64 = 820.0;
const TOP: f64 = 30.0;
const ROW: f64 = 22.0;
/// Longer bars end here.
const MOST: f64 = 4.0;
const REACHED: &str = "#3a7d44";
const MISSED: &str = "#c1440e";
const UNJUDGED: &str = "#8a9ba8";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::Best;

    #[test]
    fn what_misses_its_bound_is_drawn_in_another_colour() {
        let check = |ours: f64, colour: &str| {
            let name = "plain_over_chrony".to_owned();
            let figure = Figure::new(name, "ns", Best::Least, &[ours], &[1.0]).unwrap();
            let svg = draw("server", &[figure]);
            assert!(svg.contains(colour) && svg.contains(&format!("{ours:.3}")), "{svg}");
            assert_eq!(svg.matches("<rect").count(), 2);
        };
        check(0.7, REACHED);
        check(0.9, MISSED);
        check(90.0, MISSED);
    }
}
