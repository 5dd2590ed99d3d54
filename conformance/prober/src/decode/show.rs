//! What was read, as aligned columns.

use super::{Decoded, Part, Remark};
use crate::evidence::hex;

/// A line for each leaf, and one for each 16 octets more that it has; parts that have parts are headings. Then the remarks.
pub(super) fn lines(decoded: &Decoded) -> Vec<String> {
    let mut rows = Vec::new();
    decoded.parts.iter().for_each(|part| add(part, 0, &mut rows));
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let octets = width(|row| row.octets.len());
    let name = width(|row| if row.meaning.is_empty() { 0 } else { row.name.chars().count() });
    let show = |row: &Row| {
        let line =
            format!("{:>6}  {:octets$}  {:name$}  {}", row.at, row.octets, row.name, row.meaning);
        line.trim_end().to_owned()
    };
    rows.iter().map(show).chain(decoded.remarks.iter().map(remark)).collect()
}

/// One remark in a line.
fn remark(remark: &Remark) -> String {
    let Remark { level, rfc, at, what } = remark;
    format!("     !  {:9}  {rfc}: {what} (octet {at})", level.word())
}

struct Row {
    at: String,
    octets: String,
    name: String,
    meaning: String,
}

fn add(part: &Part, depth: usize, rows: &mut Vec<Row>) {
    let name = format!("{}{}", "  ".repeat(depth), part.name);
    let sign = if part.decrypted { "+" } else { "" };
    let is_whole = part.parts.iter().all(|inner| inner.decrypted);
    let octets = if is_whole { &part.octets[..] } else { &[] };
    let mut chunks = octets.chunks(16);
    rows.push(Row {
        at: format!("{sign}{}", part.at),
        octets: chunks.next().map(grouped).unwrap_or_default(),
        name,
        meaning: part.meaning.clone(),
    });
    for (nth, chunk) in (1..).zip(chunks) {
        let at = format!("{sign}{}", part.at + 16 * nth);
        rows.push(Row { at, octets: grouped(chunk), name: String::new(), meaning: String::new() });
    }
    part.parts.iter().for_each(|inner| add(inner, depth + 1, rows));
}

fn grouped(octets: &[u8]) -> String {
    octets.chunks(4).map(hex).collect::<Vec<_>>().join(" ")
}
