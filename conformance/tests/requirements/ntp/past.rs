//! What a faulty server does wrong in interleaved mode: changes of single stamps in answers, with a memory of its own.

use std::collections::HashMap;

use super::fault::Fault;
use super::octets::Answer;

/// The stamps of a request, and the port it came from.
#[derive(Clone, Copy)]
pub struct Asked {
    pub origin: u64,
    pub receive: u64,
    pub transmit: u64,
    pub port: u16,
}

impl Asked {
    pub fn read(request: &[u8], port: u16) -> Option<Self> {
        let time_at = |at: usize| Some(u64::from_be_bytes(*request.get(at..48)?.first_chunk()?));
        Some(Self { origin: time_at(24)?, receive: time_at(32)?, transmit: time_at(40)?, port })
    }

    /// Whether it names an answer as only our receive stamps do.
    pub fn names_an_answer(self) -> bool {
        self.origin & 1 != 0
    }
}

/// What it remembers.
#[derive(Default)]
pub struct Past {
    /// Transmit stamps told, by the receive stamp that asked for them.
    told: HashMap<u64, u64>,
    /// Ports, by the receive stamps given to them.
    ports: HashMap<u64, u16>,
}

impl Past {
    /// What the server is given for the stamps of a request.
    pub fn before(&self, fault: Fault, asked: Asked) -> Asked {
        let is_other_port = self.ports.get(&asked.origin).is_some_and(|port| *port != asked.port);
        match fault {
            Fault::AnswersEqualStamps if asked.receive == asked.transmit => {
                Asked { receive: asked.receive ^ 1, ..asked }
            }
            Fault::KeyedByPort if is_other_port => Asked { origin: 0, ..asked },
            _ => asked,
        }
    }

    /// Origin, receive, transmit and reference time as the client gets them.
    pub fn after(&mut self, fault: Fault, asked: Asked, answer: &Answer) -> [u64; 4] {
        let (origin, receive, transmit) = (answer.origin(), answer.receive(), answer.transmit());
        let reference = answer.reference_time();
        let is_basic = origin == asked.transmit;
        self.ports.insert(receive, asked.port);
        if !is_basic {
            self.told.insert(asked.origin, transmit);
        }
        match (fault, self.told.get(&asked.origin)) {
            (Fault::EqualStamps, _) if transmit == receive.wrapping_add(1) => {
                [origin, receive, receive, reference]
            }
            (Fault::AnswersEqualStamps, _) if asked.receive == asked.transmit && !is_basic => {
                [asked.receive, receive, transmit, reference]
            }
            (Fault::ServesTwice, Some(told)) if is_basic => {
                [asked.receive, receive, *told, reference]
            }
            (Fault::InterleavesZero, _) if asked.origin == 0 && asked.receive != 0 => {
                [asked.receive, receive, transmit, reference]
            }
            (Fault::RepeatsStamps, _) if answer.precision() == -2 => {
                [origin, receive & !0x3fff_ffff | 1, transmit, reference]
            }
            (Fault::LeaksReceive, _) if asked.names_an_answer() => {
                [origin, receive, transmit, receive]
            }
            _ => [origin, receive, transmit, reference],
        }
    }
}
