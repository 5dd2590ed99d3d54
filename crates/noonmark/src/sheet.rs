//! Aligned tables without frames: names and values, or columns with headings.

use comfy_table::{CellAlignment, Table, presets};

use crate::paint::Paint;

/// Names on the left, values on the right, in groups with a heading.
pub struct Sheet {
    paint: Paint,
    groups: Vec<(String, Vec<(String, String)>)>,
}

impl Sheet {
    /// An empty sheet.
    #[must_use]
    pub fn new(paint: Paint) -> Self {
        Self { paint, groups: Vec::new() }
    }

    /// Begins a group; an empty heading writes none.
    pub fn heading(&mut self, text: &str) {
        self.groups.push((text.to_owned(), Vec::new()));
    }

    /// Adds a line to the last group.
    pub fn line(&mut self, name: &str, value: impl Into<String>) {
        if self.groups.is_empty() {
            self.heading("");
        }
        if let Some((_, lines)) = self.groups.last_mut() {
            lines.push((name.to_owned(), value.into()));
        }
    }

    /// The sheet as text; every line ends with a newline, the names of all groups are equally wide.
    #[must_use]
    pub fn render(&self) -> String {
        let width = self
            .groups
            .iter()
            .flat_map(|(_, lines)| lines)
            .map(|(name, _)| name.chars().count())
            .max();
        let width = width.unwrap_or(0);
        let mut text = String::new();
        for (heading, lines) in self.groups.iter().filter(|(_, lines)| !lines.is_empty()) {
            if !text.is_empty() {
                text.push('\n');
            }
            if !heading.is_empty() {
                text.push_str(&self.paint.heading(heading));
                text.push('\n');
            }
            for (name, value) in lines {
                let indent = if heading.is_empty() { "" } else { "  " };
                let pad = " ".repeat(width + 2 - indent.len().min(2) - name.chars().count() + 2);
                let mut rest = value.lines();
                text.push_str(&format!("{indent}{name}{pad}{}\n", rest.next().unwrap_or_default()));
                for more in rest {
                    text.push_str(&format!("{}{more}\n", " ".repeat(width + 4)));
                }
            }
        }
        text
    }
}

/// Columns under headings; every column but the first is aligned to the right.
#[must_use]
pub fn columns<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if index == 0 {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        });
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_line_up_across_groups() {
        let mut sheet = Sheet::new(Paint::PLAIN);
        sheet.line("server", "a");
        sheet.line("offset (+ server ahead)", "+1 ms");
        sheet.heading("NTS");
        sheet.line("names", "b\nc");
        let text = sheet.render();
        let column = |word: &str| {
            let line = text.lines().find(|line| line.ends_with(word)).expect("the line");
            line.len() - word.len()
        };
        assert_eq!(column("+1 ms"), column("a"));
        assert_eq!(column("a"), column("b"));
        assert_eq!(column("b"), column("c"));
        assert!(text.contains("\n\nNTS\n"));
    }

    #[test]
    fn numbers_line_up_on_the_right() {
        let text = columns(
            ["time", "offset"],
            [["a".into(), "1 s".into()], ["bb".into(), "-10 s".into()]],
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1].len(), lines[2].len());
        assert!(lines[1].ends_with(" 1 s") && lines[2].ends_with("-10 s"));
    }
}
