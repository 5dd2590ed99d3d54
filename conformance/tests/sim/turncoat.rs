//! A server that is not always the same.

use noonmark_conformance::sim::{Host, Model, START, TimeServer};
use noonmark_units::Precision;

/// From which second on, and how far a server's clock is off from then on, s; `None` is silence.
pub type Stage = (f64, Option<f64>);

/// A server whose clock is set to something else at given times, or that says nothing more.
pub struct Turncoat {
    stages: &'static [Stage],
    server: TimeServer,
}

impl Turncoat {
    /// In the place of server `number`, which it is like before the first stage.
    pub fn new(model: &Model, number: usize, stages: &'static [Stage]) -> Self {
        Self { stages, server: TimeServer::new(&model.servers[number], START, Precision(-23)) }
    }
}

impl Host for Turncoat {
    fn answer(&mut self, request: &[u8], at_s: f64) -> Option<Vec<u8>> {
        match self.stages.iter().rev().find(|(from_s, _)| *from_s <= at_s) {
            None => {}
            Some((_, Some(offset_s))) => self.server.offset_s = *offset_s,
            Some((_, None)) => return None,
        }
        self.server.answer(request, at_s)
    }
}
