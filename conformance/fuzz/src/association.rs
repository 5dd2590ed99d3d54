use std::net::SocketAddr;
use std::time::Duration;

use noonmark_client::{Action, Endpoint, KeFailure, SourceKind, SourceSpec, Sources};
use noonmark_clock::{Adjusted, Keeper, NotAdjusted, Reading, SourceId};
use noonmark_nts::{Aead, Agreement, SessionKeys, open_answer};
use noonmark_packet::{HEADER_LEN, Packet};
use noonmark_units::{Mono, Precision, Span, Timestamp, UnixTime};

use crate::{Fault, Input};

/// Target `association`: `octets` plan what happens to the sources of a client, in any order: time passes, names resolve, keys are agreed or
/// not, datagrams come, honest, damaged, late, twice or made up, the clock is stepped, ways change.
///
/// # Panics
/// If a question is longer than a datagram may be or goes out twice the same, if a source is spoken of that was never added, if more
/// waits to be done than is bounded, or if a deadline stays behind that has been handled.
pub fn association(octets: &[u8]) {
    association_through(octets, &|_, _| {});
}

/// [`association`] with `fault` applied to questions before they are looked at.
///
/// # Panics
/// As [`association`].
pub fn association_through(octets: &[u8], fault: Fault<'_>) {
    let mut plan = Input::new(octets);
    let mut world = World::new(plan.octet());
    world.settle(fault);
    for _ in 0..MOST_STEPS {
        if plan.is_empty() {
            break;
        }
        world.happen(&mut plan);
        world.settle(fault);
    }
}

struct World {
    sources: Sources,
    mono: u64,
    real: Timestamp,
    /// What the last questions were, whose, and where they went.
    asked: Vec<(SourceId, SocketAddr, Vec<u8>)>,
    rekeys: Vec<SourceId>,
    lookups: Vec<(Endpoint, noonmark_client::Family)>,
    refuses: bool,
}

impl World {
    fn new(bits: u8) -> Self {
        let endpoint = |host: &str| Endpoint::new(host, 123);
        let mut kinds = vec![SourceKind::Server(endpoint("192.0.2.1"))];
        if bits & 1 != 0 {
            kinds.push(SourceKind::Pool { name: endpoint("pool.example"), max_sources: 3 });
        }
        if bits & 2 != 0 {
            kinds.push(SourceKind::Nts(Endpoint::new("nts.example", 4460)));
        }
        let spec = |kind| SourceSpec {
            interleaved: bits & 4 != 0,
            burst: bits & 8 != 0,
            ..SourceSpec::new(kind)
        };
        let real = Timestamp::from_unix(UnixTime::new(1_800_000_000, 0));
        let now = Reading { mono: Mono(1_000_000_000), real };
        let keeper = Keeper::new(noonmark_clock::Settings::default(), None, now);
        let mut counter = u64::from(bits);
        // Never the same twice, and the same in each run.
        let random = move |out: &mut [u8]| {
            for chunk in out.chunks_mut(8) {
                counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (counter ^ counter >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
            }
        };
        let specs = kinds.into_iter().map(spec).collect();
        let sources = Sources::new(specs, keeper, Precision(-25), Box::new(random), now);
        let (asked, rekeys, lookups) = (Vec::new(), Vec::new(), Vec::new());
        Self { sources, mono: now.mono.0, real, asked, rekeys, lookups, refuses: bits & 16 != 0 }
    }

    fn now(&self) -> Reading {
        Reading { mono: Mono(self.mono), real: self.real }
    }

    fn pass(&mut self, time: Duration) {
        self.mono += u64::try_from(time.as_nanos()).unwrap_or(0);
        self.real = self.real + Span::from_duration(time);
    }

    fn happen(&mut self, plan: &mut Input<'_>) {
        match plan.octet() % 16 {
            0..=3 => {
                let left = self.sources.deadline().since(Mono(self.mono));
                self.pass(left.min(Duration::from_secs(200_000)));
                self.sources.handle_timeout(self.now());
                let deadline = self.sources.deadline();
                assert!(deadline > Mono(self.mono), "{deadline:?} stays behind");
            }
            4 => self.pass(Duration::from_millis(plan.number().into())),
            5..=8 => self.hear(plan),
            9 => {
                let Some((endpoint, family)) = self.lookups.pop() else { return };
                let count = plan.below(5) as u8;
                let found = (1..=count)
                    .map(|last| SocketAddr::from(([198, 51, 100, last], endpoint.port)))
                    .collect::<Vec<_>>();
                self.sources.handle_resolved(&endpoint, family, &found, self.now());
            }
            10 => {
                let Some(id) = self.rekeys.pop() else { return };
                let server = SocketAddr::from(([203, 0, 113, 1 + plan.octet() % 3], 123));
                self.sources.handle_agreement(id, agreement(plan), server, self.now());
            }
            11 => {
                let Some(id) = self.rekeys.pop() else { return };
                let failures = [
                    KeFailure::Unreachable,
                    KeFailure::Untrusted,
                    KeFailure::Refused { code: plan.number() },
                    KeFailure::Unacceptable,
                ];
                let failure = failures[plan.below(4)];
                self.sources.handle_ke_failure(id, failure, self.now());
            }
            12 => {
                let by = Span::from_bits(i64::from_be_bytes(plan.array()));
                self.real = self.real + by;
                self.sources.handle_step(by, self.now());
            }
            13 => {
                self.real = self.real + Span::from_seconds(plan.number().into());
                self.sources.handle_resume(self.now());
            }
            14 => {
                let bits = plan.octet();
                self.sources.handle_route_change(|_| bits & 1 != 0, self.now());
                let Some((id, ..)) = self.asked.last() else { return };
                let id = *id;
                self.sources.handle_no_route(id, |_| bits & 2 != 0, self.now());
            }
            _ => {
                let Some((id, ..)) = self.asked.get(plan.below(self.asked.len())) else { return };
                let (id, sent) = (*id, self.real + Span::from_nanos(plan.number().into()));
                self.sources.handle_sent(id, sent);
            }
        }
    }

    /// A datagram comes: made up, or the answer to a question of before, with or without some damage.
    fn hear(&mut self, plan: &mut Input<'_>) {
        let place = plan.below(self.asked.len());
        let Some((id, _, question)) = self.asked.get(place) else { return };
        let id = *id;
        let datagram = match plan.octet() {
            bits @ 0..=191 => {
                let mut answer = self.answer(question, bits, plan);
                for _ in 0..plan.below(3) {
                    let at = usize::from(plan.number()) % answer.len();
                    answer[at] ^= plan.octet();
                }
                answer
            }
            _ => {
                let len = usize::from(plan.octet());
                plan.at_most(len).to_vec()
            }
        };
        self.pass(Duration::from_micros(u64::from(plan.octet()) * 50));
        self.sources.handle_datagram(id, &datagram, self.real, self.now());
    }

    /// What a server without NTS says.
    fn answer(&self, question: &[u8], bits: u8, plan: &mut Input<'_>) -> Vec<u8> {
        let mut answer = question.get(..HEADER_LEN).unwrap_or_default().to_vec();
        answer.resize(HEADER_LEN, 0);
        let origin: Vec<u8> = answer[40..48].to_vec();
        let off = Span::from_nanos(i64::from(plan.number()) * 1000);
        let at = Timestamp::to_bits(self.real + off).to_be_bytes();
        answer[0] = (bits & 0xc0) | (answer[0] & 0x38) | 4;
        answer[1] = if bits & 7 == 7 { 0 } else { 1 + (bits & 7) };
        answer[3] = 0xe8;
        let id = if answer[1] == 0 {
            [*b"RATE", *b"DENY", *b"NTSN", *b"RSTR"][plan.below(4)]
        } else {
            [127, 127, 1, 0]
        };
        answer[12..16].copy_from_slice(&id);
        answer[16..24].copy_from_slice(&at);
        answer[24..32].copy_from_slice(&origin);
        answer[32..40].copy_from_slice(&at);
        answer[40..48].copy_from_slice(&at);
        answer
    }

    /// Does what is wanted, within bounds.
    fn settle(&mut self, fault: Fault<'_>) {
        for done in 0.. {
            assert!(done < MOST_ACTIONS, "there is no end of what is to be done");
            let Some(action) = self.sources.poll_output() else { break };
            match action {
                Action::Transmit { id, to, mut datagram } => {
                    fault("question", &mut datagram);
                    assert!((HEADER_LEN..=1232).contains(&datagram.len()));
                    let packet = Packet::parse(&datagram).expect("a header");
                    assert!(packet.contents().is_ok(), "badly framed");
                    assert!(
                        self.asked.iter().all(|(.., before)| *before != datagram),
                        "sent twice"
                    );
                    // Nobody has our keys but the server.
                    assert!(
                        open_answer(&mut datagram.clone(), &[0; 32], &session().c2s_key()).is_err()
                    );
                    self.sources.handle_sent(id, self.real);
                    self.asked.push((id, to, datagram));
                    if self.asked.len() > MOST_KEPT {
                        self.asked.remove(0);
                    }
                }
                Action::Resolve { endpoint, family } => self.lookups.push((endpoint, family)),
                Action::Rekey { id, .. } => self.rekeys.push(id),
                Action::Adjust(adjustment) => {
                    let outcome = if self.refuses {
                        Err(NotAdjusted::Forbidden("not now".to_owned()))
                    } else {
                        if let noonmark_clock::Adjustment::Step(by) = adjustment {
                            self.real = self.real + by;
                        }
                        Ok(Adjusted { adjustment, at: self.now() })
                    };
                    self.sources.handle_adjusted(&outcome, self.now());
                }
                Action::Told(event) => assert!(!format!("{event:?}").is_empty()),
            }
        }
        assert!(self.sources.statuses().len() <= 16);
    }
}

fn agreement(plan: &mut Input<'_>) -> Agreement {
    let cookies = (0..plan.below(9)).map(|nth| vec![nth as u8; 100]).collect();
    Agreement {
        keys: session(),
        alternative: None,
        cookies,
        server: None,
        port: 123,
        compliant_export: false,
        certificates: Vec::new(),
    }
}

fn session() -> SessionKeys {
    SessionKeys::new(Aead::SivCmac256, &[1; 32], &[2; 32]).expect("keys of the right length")
}

const MOST_STEPS: usize = 200;
const MOST_ACTIONS: usize = 2000;
const MOST_KEPT: usize = 32;
