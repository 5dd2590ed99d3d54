//! Interleaved mode of the server (IL-01 to IL-08, IL-14, IL-16).

use std::collections::HashSet;
use std::time::Duration;

use noonmark_conformance::check::{Check, Failure};
use noonmark_server::{Counter, PastAnswers, Policy};
use noonmark_units::{Precision, Span, Timestamp};

use super::lab::{CLIENT, NtpLab, Outcome, Session, ensure};
use super::memory::grows_by;
use super::octets::{Answer, Cipher, plain};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["IL-01"], name: "transmit_and_receive_of_an_answer_differ", run: differ },
    Check { ids: &["IL-02"], name: "only_who_names_its_own_answer_is_told", run: named },
    Check { ids: &["IL-03"], name: "what_is_told_is_when_the_answer_left", run: true_times },
    Check { ids: &["IL-04"], name: "an_answer_is_told_of_once", run: once },
    Check { ids: &["IL-05"], name: "who_names_nothing_gets_a_basic_answer", run: basic },
    Check { ids: &["IL-06"], name: "past_answers_take_up_bounded_memory", run: bounded },
    Check { ids: &["IL-07"], name: "a_client_may_change_its_port", run: ports },
    Check { ids: &["IL-08"], name: "a_clock_that_stands_still_tells_nothing_wrong", run: unique },
    Check { ids: &["IL-14"], name: "a_receive_stamp_stands_in_no_other_place", run: no_leak },
    Check { ids: &["IL-16"], name: "authentic_answers_may_be_interleaved", run: with_nts },
];

/// A server with room for the times of so many clients.
fn server(lab: &Lab, clients: usize) -> Result<NtpLab, Failure> {
    let past = PastAnswers::new(clients, [5, 6]).map_err(|error| error.to_string())?;
    Ok(NtpLab::with(lab, Policy { interleaved: Some(past), ..Policy::default() }))
}

/// A client that makes each request with stamps of its own.
struct Client<'a> {
    lab: &'a mut NtpLab,
    session: Option<Session>,
    peer: String,
    asked: u64,
}

/// One request and what became of it.
struct Exchange {
    receive: u64,
    transmit: u64,
    answer: Answer,
    /// When the answer left.
    left: Option<Timestamp>,
}

impl Exchange {
    fn is_interleaved(&self) -> bool {
        self.answer.origin() == self.receive
    }

    fn is_basic(&self) -> bool {
        self.answer.origin() == self.transmit && {
            let held = Timestamp::from_bits(self.answer.transmit())
                - Timestamp::from_bits(self.answer.receive());
            !held.is_negative()
        }
    }
}

impl<'a> Client<'a> {
    fn new(lab: &'a mut NtpLab) -> Self {
        Self { lab, session: None, peer: CLIENT.to_owned(), asked: 0 }
    }

    /// Asks about the answer that had this receive stamp.
    fn ask(&mut self, origin: u64) -> Result<Exchange, Failure> {
        self.asked += 1;
        // The first request of all has no receive stamp either, as clients do it.
        let receive = if origin == 0 { 0 } else { 0x5500_0000_0000_0000 | self.asked << 16 };
        self.ask_with(origin, receive, 0x7700_0000_0000_0000 | self.asked << 16)
    }

    fn ask_with(&mut self, origin: u64, receive: u64, transmit: u64) -> Result<Exchange, Failure> {
        let mut header = plain();
        for (at, stamp) in [(24, origin), (32, receive), (40, transmit)] {
            header[at..at + 8].copy_from_slice(&stamp.to_be_bytes());
        }
        let request = match &self.session {
            Some(session) => session.request_with(|draft| draft.header.clone_from(&header)),
            None => header,
        };
        let answer = self.lab.ask_as(&request, &self.peer).ok_or("silence")?;
        let left = self.lab.left.take();
        self.lab.pass(Duration::from_secs(1));
        Ok(Exchange { receive, transmit, answer, left })
    }

    /// Two basic exchanges; what the second had may be asked for.
    fn begin(&mut self) -> Result<Exchange, Failure> {
        let first = self.ask(0)?;
        let second = self.ask(first.answer.receive())?;
        ensure(second.is_basic(), || "the second answer is not basic".to_owned())?;
        Ok(second)
    }

    /// Asks about an answer and must be told.
    fn is_told(&mut self, past: &Exchange) -> Result<Exchange, Failure> {
        let next = self.ask(past.answer.receive())?;
        ensure(next.is_interleaved(), || format!("not interleaved, request {}", self.asked))?;
        Ok(next)
    }

    /// Asks with this origin and must get a basic answer.
    fn is_not_told(&mut self, origin: u64, why: &str) -> Result<Exchange, Failure> {
        let next = self.ask(origin)?;
        ensure(next.is_basic(), || format!("not basic: {why}"))?;
        Ok(next)
    }
}

fn differ(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    // A clock that stands still, and one that is set back while it is read.
    for (age, tick, precision) in [(0, 0, -2), (0, 0, -32), (-1_000_000, -500, -20), (0, -3, -30)] {
        lab.age = Span::from_nanos(age);
        lab.tick = Span::from_nanos(tick);
        lab.state.precision = Precision(precision);
        for _ in 0..lab.many(20, 2_000, 250_000) {
            let answer = lab.time_for(&plain())?;
            ensure(answer.transmit() != answer.receive(), || "equal stamps".to_owned())?;
        }
    }
    Ok(())
}

fn named(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    let mut client = Client::new(&mut lab);
    let own = client.begin()?;
    // Equal stamps could not say which of them is answered.
    for stamp in [0x55_0000, 0x5501_0000_0002_0000] {
        let next = client.ask_with(own.answer.receive(), stamp, stamp)?;
        let (sent, came) = (next.answer.transmit(), next.answer.receive());
        ensure(sent > came, || "two equal stamps are answered interleaved".to_owned())?;
    }
    client.peer = "192.0.2.8:50123".to_owned();
    client.is_not_told(own.answer.receive(), "the answer was another's")?;
    client.peer = CLIENT.to_owned();
    client.is_not_told(own.answer.transmit(), "named by its transmit stamp")?;
    client.is_told(&own).map(drop)
}

fn true_times(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    let mut client = Client::new(&mut lab);
    let mut past = client.begin()?;
    for _ in 0..client.lab.many(5, 100, 10_000) {
        let next = client.is_told(&past)?;
        let told = Timestamp::from_bits(next.answer.transmit());
        let left = past.left.ok_or("the departure was not awaited")?;
        let off = told - left;
        // To the unit, but for the last bit.
        ensure(off.to_bits().abs() <= 1, || format!("off by {off}"))?;
        past = next;
    }
    Ok(())
}

fn once(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    let mut client = Client::new(&mut lab);
    let mut past = client.begin()?;
    for _ in 0..client.lab.many(3, 50, 1000) {
        let next = client.is_told(&past)?;
        for _ in 0..3 {
            client.is_not_told(past.answer.receive(), "told already")?;
        }
        past = next;
    }
    Ok(())
}

fn basic(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    let mut client = Client::new(&mut lab);
    let past = client.begin()?;
    let never = (0..64).map(|bit| 1_u64 << bit).chain([u64::MAX]);
    for origin in never {
        client.is_not_told(origin, "a stamp nobody gave out")?;
    }
    for receive in [0x1_0000, 0x5501_0000_0000_0000, u64::MAX << 16] {
        let next = client.ask_with(0, receive, 0x77_0000)?;
        ensure(next.is_basic(), || "origin zero is not answered in basic mode".to_owned())?;
    }
    client.is_told(&past).map(drop)
}

fn bounded(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 256)?;
    let clients = lab.many(200, 20_000, 1_000_000);
    let mut client = Client::new(&mut lab);
    let flood = |client: &mut Client<'_>, clients: std::ops::Range<usize>| {
        let mut last = None;
        for number in clients {
            let [_, high, middle, low] = u32::try_from(number).expect("few").to_be_bytes();
            client.peer = format!("10.{high}.{middle}.{low}:123");
            last = Some(client.ask(1)?);
        }
        Ok::<_, Failure>(last)
    };
    let first = flood(&mut client, 0..1)?.ok_or("no exchange")?;
    flood(&mut client, 1..100)?;
    let mut last = None;
    grows_by(1 << 20, || {
        last = flood(&mut client, 100..100 + clients)?;
        Ok(())
    })?;
    client.is_told(&last.ok_or("no exchange")?)?;
    let is_full = clients > 10_000;
    client.peer = "10.0.0.0:123".to_owned();
    let next = client.ask(first.answer.receive())?;
    ensure(!is_full || next.is_basic(), || "the oldest is still remembered".to_owned())
}

fn ports(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    let mut client = Client::new(&mut lab);
    let mut past = client.begin()?;
    for port in 0..client.lab.many(5, 100, 1000) {
        client.peer = format!("192.0.2.7:{}", 40_000 + port);
        past = client.is_told(&past)?;
    }
    Ok(())
}

fn unique(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    // A clock that ticks four times a second tells requests apart by nothing but what is left to chance.
    (lab.tick, lab.age, lab.state.precision) = (Span::ZERO, Span::ZERO, Precision(-2));
    let time = lab.time;
    let mut seen = HashSet::new();
    let mut client = Client::new(&mut lab);
    for _ in 0..40 {
        client.lab.time = time;
        let stamp = client.ask(1)?.answer.receive();
        ensure(seen.insert(stamp), || format!("{stamp:016x} is given out again"))?;
    }
    // Where nothing is left to chance a stamp comes twice, and then it tells of neither answer.
    client.lab.state.precision = Precision(-32);
    let twice = [(); 2].map(|()| {
        client.lab.time = time;
        client.ask(1)
    });
    let [one, other] = twice;
    let (one, other) = (one?.answer.receive(), other?.answer.receive());
    ensure(one == other, || "two stamps of one instant differ".to_owned())?;
    client.is_not_told(one, "which of the two answers is meant?")?;
    client.is_not_told(one, "which of the two answers is meant?").map(drop)
}

fn no_leak(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    let mut client = Client::new(&mut lab);
    let mut past = client.begin()?;
    let mut stamps = HashSet::from([past.answer.receive()]);
    for _ in 0..client.lab.many(5, 200, 10_000) {
        let next = client.is_told(&past)?;
        stamps.insert(next.answer.receive());
        let others = [next.answer.reference_time(), next.answer.transmit(), next.answer.origin()];
        ensure(!others.iter().any(|stamp| stamps.contains(stamp)), || {
            "a receive stamp of ours stands where it can be seen".to_owned()
        })?;
        past = next;
    }
    Ok(())
}

fn with_nts(lab: &mut Lab) -> Outcome {
    let mut lab = server(lab, 64)?;
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let mut client = Client { session: Some(session.clone()), ..Client::new(&mut lab) };
        let mut past = client.begin()?;
        for _ in 0..4 {
            past = client.is_told(&past)?;
            session.open(&past.answer)?;
        }
    }
    ensure(lab.count(Counter::AnsweredInterleaved) == 12, || "not counted".to_owned())
}
