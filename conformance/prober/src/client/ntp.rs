//! NTP as the scripts want it.

use std::net::UdpSocket;
use std::time::Instant;

use super::log::{Log, Question, Store};
use super::post::Post;
use super::turn::{Turn, now};
use crate::evidence::{Carrier, Direction};
use crate::octets::{Keys, Protected};

impl Post {
    /// Answers what comes to one socket until the script is over.
    pub(super) fn answer(&self, socket: &UdpSocket, store: &Store) {
        let at_named_port = std::ptr::eq(socket, &self.other);
        let Ok(here) = socket.local_addr() else { return };
        let mut octets = vec![0; 65_536];
        while !self.is_over() {
            let Ok((len, from)) = socket.recv_from(&mut octets) else { continue };
            let received = now();
            let octets = &octets[..len];
            let mut log = self.log();
            if log.questions.len() >= MOST_QUESTIONS {
                continue;
            }
            self.note(&mut log, (Direction::Received, Carrier::Ntp), here, from, "", octets);
            let mut question = Question {
                at: Instant::now(),
                from,
                octets: octets.to_vec(),
                at_named_port,
                cookie: None,
                open: None,
                is_answered: false,
            };
            question.cookie = question.cookie_octets().and_then(|cookie| store.get(&cookie));
            let keys = self.keys(&log, &question);
            question.open =
                keys.as_ref().and_then(|keys| Protected::open(octets, keys.cipher, &keys.c2s));
            if question.open.is_some() {
                let turn = Turn {
                    script: self.number,
                    number: log.questions.iter().filter(|before| before.open.is_some()).count(),
                    question: &question,
                    log: &log,
                    keys: keys.as_ref(),
                    received,
                    cookie_len: self.script.cookies.1,
                    store,
                };
                let answers = (self.script.answer)(&turn);
                for sent in answers {
                    question.is_answered |= sent.is_honest;
                    let by =
                        if sent.from_elsewhere != at_named_port { &self.other } else { &self.udp };
                    // What cannot be sent is not seen by the client either, as anything that is lost.
                    let _ = by.send_to(&sent.octets, from);
                    self.note(
                        &mut log,
                        (Direction::Sent, Carrier::Ntp),
                        here,
                        from,
                        sent.meaning,
                        &sent.octets,
                    );
                }
            }
            log.questions.push(question);
        }
    }

    fn keys(&self, log: &Log, question: &Question) -> Option<Keys> {
        let cookie = question.cookie.filter(|cookie| cookie.script == self.number)?;
        log.sessions.get(cookie.session)?.keys.clone()
    }
}

/// Packets one script listens to.
const MOST_QUESTIONS: usize = 5000;
