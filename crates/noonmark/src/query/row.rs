//! The lines shown while several questions are asked, each as soon as its answer comes.

use std::io;

use noonmark_client::Event;
use noonmark_os::clock;

use super::report::{OFFSET, Sample, signed, unsigned};
use crate::command::QueryArguments;
use crate::output::write_text;

/// Shows rows under headings, or nothing where one answer is all that is wanted or a program reads.
pub(super) struct Rows {
    wanted: bool,
    begun: bool,
}

impl Rows {
    pub(super) fn new(arguments: &QueryArguments) -> Self {
        Self { wanted: arguments.count > 1 && !arguments.json, begun: false }
    }

    /// Shows what became of a question.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn show(&mut self, event: &Event) -> io::Result<()> {
        if !self.wanted {
            return Ok(());
        }
        let row = match event {
            Event::Measured(exchange) => of_sample(&Sample::new(exchange)),
            Event::Unanswered => format!("{}  no answer\n", clock::realtime()),
            Event::Dropped(refusal) => format!("{}  dropped: {refusal}\n", clock::realtime()),
            _ => return Ok(()),
        };
        let headings = if self.begun { String::new() } else { headings() };
        self.begun = true;
        write_text(&(headings + &row))
    }

    /// Sets what follows apart from the rows, if there are any.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn end(&self) -> io::Result<()> {
        if self.begun { write_text("\n") } else { Ok(()) }
    }
}

fn headings() -> String {
    cells(["time", OFFSET, "delay", "root distance", "authenticated"].map(str::to_owned))
}

fn of_sample(sample: &Sample) -> String {
    cells([
        sample.time.clone(),
        signed(sample.offset),
        unsigned(sample.delay),
        unsigned(sample.root_distance),
        if sample.authenticated { "yes" } else { "no" }.to_owned(),
    ])
}

/// Cells in columns of fixed width, as the next row is not known yet; every one but the first to the right.
fn cells([time, offset, delay, distance, authenticated]: [String; 5]) -> String {
    let [time_w, offset_w, delay_w, distance_w, authenticated_w] = WIDTHS;
    format!(
        "{time:<time_w$}  {offset:>offset_w$}  {delay:>delay_w$}  {distance:>distance_w$}  {authenticated:>authenticated_w$}\n"
    )
}

/// The time is RFC 3339 with nine digits of fraction.
const WIDTHS: [usize; 5] = [30, OFFSET.len(), 10, 13, 13];
