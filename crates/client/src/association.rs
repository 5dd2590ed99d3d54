//! One server we ask: when, with what, and which answers count.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use noonmark_nts::{Aead, Agreement, Random};
use noonmark_packet::{HEADER_LEN, Header, KissCode, Mode, Packet, Trailer, Version};
use noonmark_units::{Mono, Timestamp};

use crate::protection::{Kiss, Protection, Question};
use crate::{Exchange, GiveUp, KeFailure, Refusal, Settings};

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
    outstanding: Option<Outstanding>,
    /// From one question to the next: the plan's, or longer once the server asked for less.
    spacing: Duration,
    next_question: Mono,
    asked: u32,
    over: bool,
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
            outstanding: None,
            spacing: settings.plan.spacing(),
            next_question: now,
            asked: 0,
            over: false,
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
            (None, Some(protection)) => self.next_question.max(protection.ready_at()),
            (None, None) => self.next_question,
        }
    }

    /// Time has passed: closes a window, begins key establishment, asks the next question.
    pub fn handle_timeout(&mut self, now: Mono) {
        self.close_window(now);
        if self.over || self.outstanding.is_some() || now < self.next_question {
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
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.sent = Some(sent);
        }
    }

    /// A datagram from the server's address came at `received` by our clock (T4).
    ///
    /// Whatever it holds, it has an effect only if it answers the question that is open.
    pub fn handle_datagram(&mut self, datagram: &[u8], received: Timestamp, now: Mono) {
        match self.judge(datagram, received, now) {
            Verdict::Time { exchange, cookies } => {
                self.settle(cookies, now);
                self.outputs.push_back(Output::Measured(exchange));
                self.end_if_complete();
            }
            Verdict::NoTime { refusal, cookies } => {
                self.settle(cookies, now);
                self.outputs.push_back(Output::Refused(refusal));
                self.end_if_complete();
            }
            Verdict::Kiss(kiss) => self.obey(kiss, now),
            Verdict::Refused(refusal) => self.tell(Output::Refused(refusal)),
        }
    }

    /// Key establishment succeeded: everything from before is forgotten (RFC 8915 §5.7).
    pub fn handle_agreement(&mut self, agreement: Agreement, _now: Mono) {
        let Some(protection) = &mut self.protection else { return };
        protection.install(agreement);
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

    /// Whether the plan is carried out or the association gave up. Nothing follows but what is left to drain.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Sends the next question, unless there is no cookie to send it with.
    fn ask(&mut self, now: Mono) {
        let mut stamp = [0; 8];
        self.random.fill(&mut stamp);
        // The stamp is random so that nobody can guess it or read our clock from it (RFC 8915 §9.1);
        // zero would mean that there is none.
        let transmit = Timestamp::from_octets(stamp).never_unset();
        let header = Header::client(transmit);
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
        let closes_at = now + self.settings.window;
        self.outstanding = Some(Outstanding {
            transmit,
            question,
            sent: None,
            closes_at,
            refused: false,
            slowed: false,
        });
        self.next_question = now + self.spacing;
        self.asked = self.asked.saturating_add(1);
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
        if outstanding.refused
            && let Some(protection) = &mut self.protection
        {
            // RFC 8915 §5.7 has us wait until now: the refusal is unproven, and a valid answer would have refuted it.
            if protection.try_alternative() {
                self.asked = self.asked.saturating_sub(1);
            } else if self.settings.plan.is_counted() {
                return self.give_up(GiveUp::CookiesRefused);
            } else {
                protection.renew();
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
        if packet.origin() != outstanding.transmit {
            return Err(Refusal::WrongOrigin);
        }
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
        let exchange = self.exchange(&packet, sent, received);
        Ok(match (exchange.check(), cookies) {
            (Ok(()), cookies) => Verdict::Time { exchange, cookies },
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
        self.outstanding = None;
        if let (Some(protection), Some(cookies)) = (&mut self.protection, cookies) {
            protection.proven(cookies, now);
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
                self.slow_down(self.spacing * 2, now);
            }
            KissCode::DENY | KissCode::RSTR if kiss.authenticated => {
                self.give_up(GiveUp::Denied(kiss.code));
            }
            // Anybody who sees our packets can say this: be quiet, but stay (RFC 8915 §8.3, NDSS 2016).
            KissCode::DENY | KissCode::RSTR if self.protection.is_none() && !outstanding.slowed => {
                outstanding.slowed = true;
                self.slow_down(REFUSED_SPACING, now);
            }
            // X codes and all others have no meaning to us.
            _ => {}
        }
    }

    fn slow_down(&mut self, spacing: Duration, now: Mono) {
        // The poll exponent a RATE carries is not believed: 2^17 s in a forged one would silence us for days.
        self.spacing = spacing.min(LONGEST_SPACING).max(self.spacing);
        self.next_question = self.next_question.max(now + self.spacing);
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
            self.outstanding = None;
            self.outputs.push_back(Output::GiveUp(reason));
        }
    }

    fn end_if_complete(&mut self) {
        if !self.over && self.outstanding.is_none() && self.settings.plan.is_complete(self.asked) {
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
            .field("asked", &self.asked)
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
    /// What the answer has to prove, on a protected association.
    question: Option<Question>,
    sent: Option<Timestamp>,
    closes_at: Mono,
    /// An NTSN with our identifier came.
    refused: bool,
    /// A kiss has already made us slower.
    slowed: bool,
}

/// What a datagram turned out to be.
enum Verdict {
    Time { exchange: Exchange, cookies: Option<Vec<Vec<u8>>> },
    NoTime { refusal: Refusal, cookies: Option<Vec<Vec<u8>>> },
    Kiss(Kiss),
    Refused(Refusal),
}

/// RFC 8633 §5.4: no more than poll exponent 13, whatever RATE says.
const LONGEST_SPACING: Duration = Duration::from_secs(1 << 13);
/// After an unproven DENY or RSTR: the usual longest poll, exponent 10.
const REFUSED_SPACING: Duration = Duration::from_secs(1 << 10);
