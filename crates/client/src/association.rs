//! One server we ask: when, with what, and which answers count.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use noonmark_nts::{Aead, Agreement, Random, SessionKeys};
use noonmark_packet::{HEADER_LEN, Header, KissCode, Mode, Packet, Trailer, Version};
use noonmark_units::{Mono, Span, Timestamp};

use crate::interleaved::{Interleaved, Past};
use crate::protection::{Kiss, Protection, Question};
use crate::schedule::Schedule;
use crate::{Exchange, GiveUp, KeFailure, Plan, Polling, Refusal, Settings, Unusable};

/// One NTP server and our dealings with it, as a machine without sockets or clocks.
///
/// Feed it one input (`handle_*`), drain [`poll_output`](Self::poll_output), wait for a datagram or for
/// [`deadline`](Self::deadline), and so on. Time, octets and randomness come in; what to do comes out.
///
/// A protected association ([`Association::nts`]) never asks or believes without NTS.
pub struct Association {
    settings: Settings,
    random: Box<dyn Random + Send>,
    /// `None` for plain NTP.
    protection: Option<Protection>,
    /// `None` in basic mode.
    interleaved: Option<Interleaved>,
    outstanding: Option<Outstanding>,
    schedule: Schedule,
    /// Unproven denials in a row without an answer between them.
    denials: u32,
    over: bool,
    gave_up: Option<GiveUp>,
    outputs: VecDeque<Output>,
}

impl Association {
    /// Plain NTP: anybody on the path can make up the answers.
    #[must_use]
    pub fn plain(settings: Settings, random: Box<dyn Random + Send>, now: Mono) -> Self {
        Self::new(settings, random, None, now)
    }

    /// NTP with NTS: asks for key establishment first ([`Output::Rekey`]) and takes nothing unproven.
    #[must_use]
    pub fn nts(settings: Settings, random: Box<dyn Random + Send>, now: Mono) -> Self {
        Self::new(settings, random, Some(Protection::new(now)), now)
    }

    fn new(
        settings: Settings,
        random: Box<dyn Random + Send>,
        protection: Option<Protection>,
        now: Mono,
    ) -> Self {
        Self {
            settings,
            random,
            protection,
            interleaved: settings.interleaved.then(Interleaved::default),
            outstanding: None,
            schedule: Schedule::new(settings.plan, now),
            denials: 0,
            over: false,
            gave_up: None,
            outputs: VecDeque::new(),
        }
    }

    /// What to do next; drain it after every `handle_*`. `None` means settled until [`deadline`](Self::deadline).
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; [`Mono::NEVER`] if only an answer of key
    /// establishment can go on.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        if self.over {
            return Mono::NEVER;
        }
        match (&self.outstanding, &self.protection) {
            (Some(outstanding), _) => outstanding.closes_at,
            (None, Some(protection)) => self.schedule.next_question().max(protection.ready_at()),
            (None, None) => self.schedule.next_question(),
        }
    }

    /// Time has passed: closes a window, begins key establishment, asks the next question.
    pub fn handle_timeout(&mut self, now: Mono) {
        self.close_window(now);
        if self.over || self.outstanding.is_some() || now < self.schedule.next_question() {
            return;
        }
        if let Some(protection) = &mut self.protection
            && protection.begin_establishment(now)
        {
            self.outputs.push_back(Output::Rekey);
        }
        self.ask(now);
    }

    /// The datagram of the last [`Output::Transmit`] has left, at `sent` by our clock: T1.
    ///
    /// May be called again with a better stamp before the answer comes. Without it no answer is taken.
    pub fn handle_sent(&mut self, sent: Timestamp) {
        if let Some(outstanding) = &mut self.outstanding
            // A better stamp that was taken before our clock was stepped is none.
            && !(outstanding.stepped && outstanding.sent.is_some())
        {
            outstanding.sent = Some(sent);
        }
    }

    /// The datagram of the last [`Output::Transmit`] did not leave this machine: there is no way to the server's address. The question is
    /// closed at once, and what it would have spent is unspent.
    pub fn handle_not_sent(&mut self, now: Mono) {
        let Some(outstanding) = self.outstanding.take() else { return };
        if let (Some(protection), Some(question)) = (&mut self.protection, outstanding.question) {
            protection.not_sent(question);
        }
        self.outputs.push_back(Output::Unanswered);
        self.schedule.not_sent(now);
        self.end_if_complete();
    }

    /// Wants keys established anew, as soon as the backoff lets it: where to ask may have changed. Not again before that is done.
    pub fn renew_keys(&mut self, now: Mono) {
        if let Some(protection) = &mut self.protection
            && protection.renew()
        {
            self.schedule.begin_burst(1, Duration::ZERO, now);
        }
    }

    /// Takes another interval between questions, as far as the limits of a [`Plan::Polled`] and the server's wishes let it.
    pub fn set_interval(&mut self, interval: Duration, now: Mono) {
        if let Plan::Polled(_) = self.settings.plan {
            self.schedule.set_interval(interval, now);
        }
    }

    /// Takes other limits of a [`Plan::Polled`], and another mode, from the next question on.
    pub fn set_polling(&mut self, polling: Polling, interleaved: bool, now: Mono) {
        if let Plan::Polled(before) = &mut self.settings.plan
            && *before != polling
        {
            *before = polling;
            self.schedule.set_polling(polling, now);
        }
        if self.settings.interleaved != interleaved {
            self.settings.interleaved = interleaved;
            // The open question, if it was asked in the other mode, goes unanswered.
            self.interleaved = interleaved.then(Interleaved::default);
        }
    }

    /// Asks as soon as it may, and so many questions (1..=16) in all at this spacing, until they are answered, at most twice as
    /// many. For a [`Plan::Polled`] only, and not while the server has us slowed down.
    pub fn burst(&mut self, questions: u32, spacing: Duration, now: Mono) {
        self.schedule.begin_burst(questions, spacing, now);
    }

    /// Our clock was stepped by `by`: stamps taken before are moved along.
    pub fn handle_step(&mut self, by: Span) {
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.sent = outstanding.sent.map(|sent| sent + by);
            outstanding.stepped = true;
        }
        if let Some(interleaved) = &mut self.interleaved {
            interleaved.step(by);
        }
    }

    /// What was asked so far is worth nothing any more: the machine slept, or the way to the server is another one. The open
    /// question is given up without counting against the server, and key establishment that failed may be tried again soon.
    pub fn forget_question(&mut self, now: Mono) {
        self.outstanding = None;
        if let Some(protection) = &mut self.protection {
            protection.hasten_establishment(now);
        }
        if let Some(interleaved) = &mut self.interleaved {
            interleaved.forget();
        }
    }

    /// A datagram from the server's address came at `received` by our clock (T4).
    ///
    /// Whatever it holds, it has an effect only if it answers the question that is open.
    pub fn handle_datagram(&mut self, datagram: &[u8], received: Timestamp, now: Mono) {
        match self.judge(datagram, received, now) {
            Verdict::Time { exchange, past, repeats, cookies } => {
                self.settle(cookies, now);
                if let Some(interleaved) = &mut self.interleaved {
                    interleaved.answered(past);
                }
                self.denials = 0;
                self.schedule.answered(exchange.delay(), now);
                if !repeats {
                    self.outputs.push_back(Output::Measured(exchange));
                }
                self.end_if_complete();
            }
            Verdict::NoTime { refusal, cookies } => {
                self.settle(cookies, now);
                self.schedule.unanswered(now);
                self.outputs.push_back(Output::Refused(refusal));
                self.end_if_complete();
            }
            Verdict::Kiss(kiss) => self.obey(kiss, now),
            Verdict::Refused(refusal) => self.tell(Output::Refused(refusal)),
        }
    }

    /// Key establishment succeeded: everything from before is forgotten (RFC 8915 §5.7).
    pub fn handle_agreement(&mut self, agreement: Agreement, now: Mono) {
        let Some(protection) = &mut self.protection else { return };
        protection.install(agreement, now);
        // Its answer would come under the old keys, which are gone.
        if self.outstanding.take().is_some() {
            self.outputs.push_back(Output::Unanswered);
        }
        self.end_if_complete();
    }

    /// Key establishment failed; the next attempt comes after a wait that grows (RFC 8915 §4.2).
    pub fn handle_ke_failure(&mut self, failure: KeFailure, _now: Mono) {
        let Some(protection) = &mut self.protection else { return };
        protection.end_establishment();
        if failure.is_permanent() || self.settings.plan.is_counted() {
            self.give_up(GiveUp::KeyEstablishment(failure));
        }
    }

    /// Cookies left in the jar; `None` for plain NTP.
    #[must_use]
    pub fn cookies_left(&self) -> Option<usize> {
        self.protection.as_ref().map(Protection::cookies_left)
    }

    /// The algorithm agreed; `None` for plain NTP and before the first agreement.
    #[must_use]
    pub fn aead(&self) -> Option<Aead> {
        self.protection.as_ref().and_then(Protection::aead)
    }

    /// The last eight questions, the latest in the lowest bit: 1 where an answer with usable time came.
    #[must_use]
    pub fn reach(&self) -> u8 {
        self.schedule.reach()
    }

    /// Questions in a row, up to the last one closed, that brought no usable time.
    #[must_use]
    pub fn unanswered_in_a_row(&self) -> u32 {
        self.schedule.unanswered_in_a_row()
    }

    /// Questions since the last answer that did not leave this machine ([`handle_not_sent`](Self::handle_not_sent)).
    #[must_use]
    pub fn unsent(&self) -> u32 {
        self.schedule.unsent()
    }

    /// From one question to the next, outside bursts.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.schedule.interval()
    }

    /// When the next question is due.
    #[must_use]
    pub fn next_question(&self) -> Mono {
        self.schedule.next_question()
    }

    /// When the next question goes out or, where keys are missing, their establishment begins; `None` while that is under way, and at the
    /// end.
    #[must_use]
    pub fn next_step(&self) -> Option<Mono> {
        let ready_at = self.protection.as_ref().map_or(Mono(0), Protection::ready_at);
        (!self.over && ready_at != Mono::NEVER).then(|| self.schedule.next_question().max(ready_at))
    }

    /// Whether the last answer was an interleaved one (RFC 9769).
    #[must_use]
    pub fn is_interleaved(&self) -> bool {
        self.interleaved.as_ref().is_some_and(Interleaved::is_served)
    }

    /// Whether the plan is carried out or the association gave up. Nothing follows but what is left to drain.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Begins with keys and cookies of before, in place of key establishment; none of the cookies may ever have been used.
    pub fn restore(&mut self, agreement: Agreement, now: Mono) {
        if let Some(protection) = &mut self.protection {
            protection.install(agreement, now);
        }
    }

    /// Ends it for the keys and unspent cookies it leaves; `None` if there are none worth keeping.
    #[must_use]
    pub fn into_keys(self) -> Option<(SessionKeys, Vec<Vec<u8>>)> {
        self.protection?.into_parts()
    }

    /// Why it ended, if it did so before its plan was carried out.
    #[must_use]
    pub fn gave_up(&self) -> Option<GiveUp> {
        self.gave_up
    }

    /// Sends the next question, unless there is no cookie to send it with.
    fn ask(&mut self, now: Mono) {
        let mut stamp = [0; 8];
        self.random.fill(&mut stamp);
        // The stamp is random so that nobody can guess it or read our clock from it (RFC 8915 §9.1);
        // zero would mean that there is none.
        let transmit = Timestamp::from_octets(stamp).never_unset();
        let mut header = Header::client(transmit);
        header.poll = self.schedule.poll_exponent();
        if let Some(interleaved) = &mut self.interleaved {
            interleaved.ask(&mut header, &mut *self.random);
        }
        let receive = header.receive;
        let (datagram, question) = match &mut self.protection {
            None => {
                let mut datagram = [0; HEADER_LEN];
                header.write(&mut datagram);
                (datagram.to_vec(), None)
            }
            Some(protection) => match protection.ask(&header, &mut *self.random) {
                Some((datagram, question)) => (datagram, Some(question)),
                None => return,
            },
        };
        self.schedule.asked(now, &mut *self.random);
        self.outstanding = Some(Outstanding {
            transmit,
            receive,
            question,
            sent: None,
            stepped: false,
            closes_at: self.schedule.closes_at(now, self.settings.window),
            refused: false,
            slowed: false,
        });
        self.outputs.push_back(Output::Transmit(datagram));
    }

    /// Closes a window nobody answered in, and draws the conclusion from a refusal (NTSN) that stood unopposed.
    fn close_window(&mut self, now: Mono) {
        let Some(outstanding) =
            self.outstanding.take_if(|outstanding| now >= outstanding.closes_at)
        else {
            return;
        };
        self.outputs.push_back(Output::Unanswered);
        self.schedule.unanswered(now);
        if let Some(interleaved) = &mut self.interleaved {
            interleaved.unanswered();
        }
        if let (Plan::Polled(_), Some(protection), Some(question)) =
            (self.settings.plan, &mut self.protection, &outstanding.question)
        {
            protection.unanswered(question);
        }
        if outstanding.refused
            && let Some(protection) = &mut self.protection
        {
            // RFC 8915 §5.7 has us wait until now: the refusal is unproven, and a valid answer would have refuted it.
            if protection.try_alternative() {
                self.schedule.uncount();
            } else if self.settings.plan.is_counted() {
                return self.give_up(GiveUp::CookiesRefused);
            } else {
                let _ = protection.renew();
            }
        }
        self.end_if_complete();
    }

    /// Decides what a datagram is. Takes `&self`: a datagram that fails a check cannot change anything.
    fn judge(&self, datagram: &[u8], received: Timestamp, now: Mono) -> Verdict {
        match self.read(datagram, received, now) {
            Ok(verdict) => verdict,
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn read(&self, datagram: &[u8], received: Timestamp, now: Mono) -> Result<Verdict, Refusal> {
        let outstanding = self.outstanding.as_ref().ok_or(Refusal::Unsolicited)?;
        let packet = Packet::parse(datagram).map_err(Refusal::Malformed)?;
        // First of all, so that whoever does not see our packets can reach nothing below.
        let is_interleaved = match packet.origin() {
            origin if origin == outstanding.transmit => false,
            // RFC 9769 §2: an interleaved answer returns the receive stamp of our question, if it had one.
            origin if !origin.is_unset() && origin == outstanding.receive => true,
            _ => return Err(Refusal::WrongOrigin),
        };
        let sent = outstanding.sent.ok_or(Refusal::Unsolicited)?;
        if now > outstanding.closes_at {
            return Err(Refusal::Late);
        }
        if packet.mode() != Mode::Server {
            return Err(Refusal::WrongMode(packet.mode()));
        }
        if packet.version() != Version::V4 {
            return Err(Refusal::WrongVersion(packet.version()));
        }
        let kiss = packet.kiss();
        let cookies = match (&self.protection, &outstanding.question) {
            (Some(protection), Some(question)) => match kiss {
                Some(code) => {
                    return protection.verify_kiss(datagram, code, question).map(Verdict::Kiss);
                }
                None => Some(protection.verify(datagram, question)?),
            },
            _ => match (packet.contents().map_err(Refusal::Malformed)?.trailer, kiss) {
                (Trailer::CryptoNak, _) => return Err(Refusal::CryptoNak),
                (_, Some(code)) => return Ok(Verdict::Kiss(Kiss { code, authenticated: false })),
                (_, None) => None,
            },
        };
        let mut exchange = self.exchange(&packet, sent, received);
        let past = Past::of(&exchange, !is_interleaved);
        let mut repeats = false;
        if is_interleaved {
            // Without a past there is no receive stamp in the question either.
            let past = self.interleaved.as_ref().and_then(Interleaved::past);
            let past = past.ok_or(Refusal::WrongOrigin)?;
            repeats = past.is_measured();
            past.complete(&mut exchange);
        }
        let mut check = exchange.check(packet.receive());
        if let (Plan::Polled(_), Some(protection)) = (self.settings.plan, &self.protection)
            && protection.contradicts(packet.receive())
        {
            check = check.and(Err(Unusable::OutsideCertificate));
        }
        Ok(match (check, cookies) {
            // Nor do its cookies count: keys and time are wanted from somebody whose words agree.
            (Err(why @ Unusable::OutsideCertificate), Some(_)) => {
                Verdict::NoTime { refusal: Refusal::Unusable { why, exchange }, cookies: None }
            }
            (Ok(()), cookies) => Verdict::Time { exchange, past, repeats, cookies },
            (Err(why), Some(cookies)) => Verdict::NoTime {
                refusal: Refusal::Unusable { why, exchange },
                cookies: Some(cookies),
            },
            // Unproven, so perhaps not the server's: the question stays open for the real answer.
            (Err(why), None) => Verdict::Refused(Refusal::Unusable { why, exchange }),
        })
    }

    fn exchange(&self, packet: &Packet<'_>, sent: Timestamp, received: Timestamp) -> Exchange {
        Exchange {
            origin: sent,
            receive: packet.receive(),
            transmit: packet.transmit(),
            destination: received,
            leap: packet.leap(),
            stratum: packet.stratum(),
            poll: packet.poll(),
            precision: packet.precision(),
            root_delay: packet.root_delay(),
            root_dispersion: packet.root_dispersion(),
            reference_id: packet.reference_id(),
            reference_time: packet.reference_time(),
            local_precision: self.settings.local_precision,
            authenticated: self.protection.is_some(),
        }
    }

    /// The question is answered: one request takes one answer, and a proven one refills the jar.
    fn settle(&mut self, cookies: Option<Vec<Vec<u8>>>, now: Mono) {
        let question = self.outstanding.take().and_then(|outstanding| outstanding.question);
        if let (Some(protection), Some(question), Some(cookies)) =
            (&mut self.protection, question, cookies)
            && protection.proven(&question, cookies, now)
        {
            self.outputs.push_back(Output::LengthFilterSuspected);
        }
    }

    /// Does what a kiss code asks, as far as the one who sent it may ask it (RFC 5905 §7.4, RFC 8633 §5.4).
    fn obey(&mut self, kiss: Kiss, now: Mono) {
        self.tell(Output::Kiss { code: kiss.code, authenticated: kiss.authenticated });
        let Some(outstanding) = &mut self.outstanding else { return };
        match kiss.code {
            KissCode::NTSN => outstanding.refused = true,
            // Once for a question, so that repeating a forged one gains nothing.
            KissCode::RATE if !outstanding.slowed => {
                outstanding.slowed = true;
                self.schedule.slow_down(now);
            }
            KissCode::DENY | KissCode::RSTR if kiss.authenticated => {
                self.give_up(GiveUp::Denied(kiss.code));
            }
            // Anybody who sees our packets can say this: be quiet, but stay (RFC 8915 §8.3, NDSS 2016).
            KissCode::DENY | KissCode::RSTR if self.protection.is_none() && !outstanding.slowed => {
                outstanding.slowed = true;
                self.denials = self.denials.saturating_add(1);
                self.schedule.be_quiet(now);
                // Nothing but denials for long, and no time: whoever says it, there is nothing to be had here.
                if matches!(self.settings.plan, Plan::Polled(_))
                    && self.schedule.reach() == 0
                    && self.denials >= DENIALS_BELIEVED
                {
                    self.give_up(GiveUp::Denied(kiss.code));
                }
            }
            // X codes and all others have no meaning to us.
            _ => {}
        }
    }

    /// Puts out what a datagram alone can cause.
    fn tell(&mut self, output: Output) {
        // Whoever floods us must not fill our memory, should the caller be slow to drain.
        if self.outputs.len() < MAX_WAITING_OUTPUTS {
            self.outputs.push_back(output);
        }
    }

    fn give_up(&mut self, reason: GiveUp) {
        if !self.over {
            self.over = true;
            self.gave_up = Some(reason);
            self.outstanding = None;
            self.outputs.push_back(Output::GiveUp(reason));
        }
    }

    fn end_if_complete(&mut self) {
        if !self.over && self.outstanding.is_none() && self.schedule.is_complete() {
            self.over = true;
            self.outputs.push_back(Output::Done);
        }
    }
}

impl fmt::Debug for Association {
    /// Without keys and cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association")
            .field("plan", &self.settings.plan)
            .field("nts", &self.protection.is_some())
            .field("reach", &self.schedule.reach())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// What an [`Association`] wants done, or has found out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send these octets (48..=1232) from a fresh random port, then call [`Association::handle_sent`].
    Transmit(Vec<u8>),
    /// An answer passed every check.
    Measured(Exchange),
    /// Begin key establishment, then call [`Association::handle_agreement`] or
    /// [`Association::handle_ke_failure`]. Not said again before one of them was called.
    Rekey,
    /// A datagram was dropped; nothing changed. At most [`MAX_WAITING_OUTPUTS`] of these wait to be drained.
    Refused(Refusal),
    /// A kiss-o'-death answered our question. Unless authenticated, anybody who sees our packets can send it.
    Kiss {
        /// The four characters of the code.
        code: KissCode,
        /// Whether it proved to come from the server.
        authenticated: bool,
    },
    /// Long questions went unanswered where short ones do not: something on the way drops NTP by its length.
    LengthFilterSuspected,
    /// The window of a question closed without an answer that counts.
    Unanswered,
    /// The plan is carried out: as many questions as it says were asked and are closed.
    Done,
    /// The association ends for a reason.
    GiveUp(GiveUp),
}

/// How many outputs may wait before further [`Output::Refused`] and [`Output::Kiss`] are left out.
pub const MAX_WAITING_OUTPUTS: usize = 64;

/// The question that waits for its answer.
struct Outstanding {
    /// The random stamp we sent, which the answer has to return as its origin.
    transmit: Timestamp,
    /// The random receive stamp of a question in interleaved mode, else unset.
    receive: Timestamp,
    /// What the answer has to prove, on a protected association.
    question: Option<Question>,
    sent: Option<Timestamp>,
    /// Our clock was stepped since it was asked.
    stepped: bool,
    closes_at: Mono,
    /// An NTSN with our identifier came.
    refused: bool,
    /// A kiss has already made us slower.
    slowed: bool,
}

/// What a datagram turned out to be.
enum Verdict {
    /// `past` is what interleaved mode keeps of it; it `repeats` what an earlier answer told already.
    Time {
        exchange: Exchange,
        past: Past,
        repeats: bool,
        cookies: Option<Vec<Vec<u8>>>,
    },
    NoTime {
        refusal: Refusal,
        cookies: Option<Vec<Vec<u8>>>,
    },
    Kiss(Kiss),
    Refused(Refusal),
}

/// Unproven denials in a row that end an association nobody has answered otherwise.
const DENIALS_BELIEVED: u32 = 4;
