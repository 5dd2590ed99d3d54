//! What a query learned, in words and as JSON.

use noonmark_client::Exchange;
use noonmark_nts::Aead;
use noonmark_os::clock;
use noonmark_packet::Leap;
use noonmark_units::Span;
use serde::Serialize;

use super::findings::Findings;
use crate::Verdict;
use crate::command::QueryArguments;
use crate::paint::Paint;
use crate::sheet::Sheet;
use noonmark_config::CertificateText;

/// The JSON of `noonmark query`; its names and units are a promise (docs/json.md). Times are seconds unless they say otherwise.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The server as it was named.
    pub host: String,
    /// Where the questions went, address and port.
    pub server: Option<String>,
    /// How it ended, in a word: `good`, `warning`, `no-answer`, `refused-authentication`.
    pub result: &'static str,
    /// The exit status that goes with it.
    pub status: u8,
    /// What went wrong, if anything did.
    pub error: Option<String>,
    /// The sample with the least delay.
    pub best: Option<Sample>,
    /// Every answer that passed every check, in the order they came.
    pub samples: Vec<Sample>,
    /// An answer whose time is not to be used, and why.
    pub unusable: Option<UnusableAnswer>,
    /// Questions nobody answered.
    pub unanswered: u32,
    /// Questions for which something came, and nothing that could be used.
    pub dropped: u32,
    /// Datagrams that were dropped, by reason.
    pub refused: Vec<Refused>,
    /// Kiss-o'-death codes that came.
    pub kisses: Vec<Kiss>,
    /// Whether somebody ended it before every question was asked.
    pub interrupted: bool,
    /// What key establishment agreed; only with `--nts`.
    pub nts: Option<Nts>,
    #[serde(skip)]
    verdict: Verdict,
}

/// One answer.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// When it came, by our clock, RFC 3339.
    pub time: String,
    /// Positive when the server is ahead of us.
    pub offset: f64,
    /// The round trip without the time the server held the request.
    pub delay: f64,
    /// Bound on the server's error against its primary source, plus half the delay.
    pub root_distance: f64,
    /// What reading two clocks adds to the error.
    pub dispersion: f64,
    /// From the server to its primary source and back.
    pub root_delay: f64,
    /// The server's own bound on its error.
    pub root_dispersion: f64,
    /// 1 for a primary server.
    pub stratum: u8,
    /// The server's source: four characters at stratum 1, a dotted quad above.
    pub reference: String,
    /// `none`, `insert`, `delete` or `unsynchronised`.
    pub leap: &'static str,
    /// The server's precision as a power of two of seconds.
    pub precision: i8,
    /// Whether the answer proved its origin.
    pub authenticated: bool,
}

/// An answer whose time is not to be used.
#[derive(Clone, Debug, Serialize)]
pub struct UnusableAnswer {
    /// A short fixed name.
    pub reason: &'static str,
    /// The reason in words.
    pub detail: String,
    /// What it said.
    #[serde(flatten)]
    pub sample: Sample,
}

/// Datagrams dropped for one reason.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// A short fixed name.
    pub reason: &'static str,
    /// How many.
    pub count: u32,
    /// The last of them in words.
    pub detail: String,
}

/// A kiss-o'-death.
#[derive(Clone, Debug, Serialize)]
pub struct Kiss {
    /// Its four characters.
    pub code: String,
    /// Whether it proved its origin.
    pub authenticated: bool,
}

/// What key establishment agreed.
#[derive(Clone, Debug, Serialize)]
pub struct Nts {
    /// Where keys were established, address and port.
    pub ke_server: String,
    /// The NTP server to ask, as the key-establishment server named it; null if it named none: the same address.
    pub ntp_server: Option<String>,
    /// UDP port to ask at.
    pub ntp_port: u16,
    /// IANA's number of the AEAD.
    pub aead: u16,
    /// Its name.
    pub aead_name: String,
    /// Whether record 1024 was agreed.
    pub compliant_gcm_siv: bool,
    /// Cookies that came with the agreement.
    pub cookies: usize,
    /// Octets of each.
    pub cookie_length: usize,
    /// Cookies left when the query ended.
    pub cookies_left: Option<usize>,
    /// Seconds key establishment took, name resolution included.
    pub duration: f64,
    /// The server's certificate.
    pub certificate: Option<CertificateText>,
    /// Certificates in the chain it sent.
    pub chain_length: usize,
}

impl Report {
    pub(super) fn new(arguments: &QueryArguments, findings: &Findings) -> Self {
        let verdict = findings.verdict();
        Self {
            host: arguments.host.clone(),
            server: findings.server.map(|server| server.to_string()),
            result: match verdict {
                Verdict::Good => "good",
                Verdict::Warning => "warning",
                Verdict::Critical | Verdict::Usage => "no-answer",
                Verdict::Unknown => "refused-authentication",
            },
            status: verdict.status(),
            error: findings.error(&arguments.host),
            best: findings.best().map(Sample::new),
            samples: findings.samples.iter().map(Sample::new).collect(),
            unusable: findings.unusable.as_ref().map(|(why, exchange)| UnusableAnswer {
                reason: why.name(),
                detail: why.to_string(),
                sample: Sample::new(exchange),
            }),
            unanswered: findings.unanswered,
            dropped: findings.dropped,
            refused: findings
                .refused
                .iter()
                .map(|(reason, (count, detail))| Refused {
                    reason,
                    count: *count,
                    detail: detail.clone(),
                })
                .collect(),
            kisses: findings
                .kisses
                .iter()
                .map(|(code, authenticated)| Kiss {
                    code: code.to_string(),
                    authenticated: *authenticated,
                })
                .collect(),
            interrupted: findings.interrupted,
            nts: findings.established.as_ref().map(|established| Nts {
                ke_server: established.ke_server.to_string(),
                ntp_server: established.named.clone(),
                ntp_port: established.ntp_server.port(),
                aead: established.aead.id(),
                aead_name: established.aead.to_string(),
                compliant_gcm_siv: established.compliant_export,
                cookies: established.cookies,
                cookie_length: established.cookie_length,
                cookies_left: findings.cookies_left,
                duration: established.took.as_secs_f64(),
                certificate: findings.certificate.clone(),
                chain_length: established.certificates.len(),
            }),
            verdict,
        }
    }

    /// How it ended.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The report as a person reads it; without the error, which goes to another stream, and without the rows that were shown
    /// as they came.
    pub(super) fn for_people(&self, paint: Paint) -> String {
        let mut sheet = Sheet::new(paint);
        if let Some(server) = &self.server {
            sheet.line(
                "server",
                if server.starts_with(&self.host) {
                    server.clone()
                } else {
                    format!("{} ({server})", self.host)
                },
            );
        }
        if self.samples.len() > 1 {
            sheet.line(
                "shown below",
                format!("the best of {} answers, with the least delay", self.samples.len()),
            );
        }
        if let Some(sample) = &self.best {
            sample.describe(&mut sheet, paint);
        } else if let Some(answer) = &self.unusable {
            sheet.line("not to be used", paint.warning(&answer.detail));
            answer.sample.describe(&mut sheet, paint);
        }
        if self.interrupted {
            sheet.line("interrupted", "what came until then is shown");
        }
        if self.unanswered > 0 {
            sheet.line("without answer", paint.warning(&self.unanswered.to_string()));
        }
        if self.dropped > 0 {
            sheet.line("answers of no use", paint.warning(&self.dropped.to_string()));
        }
        for kiss in &self.kisses {
            let proof = if kiss.authenticated { "authenticated" } else { "not authenticated" };
            sheet.line("kiss code", paint.warning(&format!("{} ({proof})", kiss.code)));
        }
        for refused in &self.refused {
            sheet
                .line("dropped", paint.warning(&format!("{} × {}", refused.count, refused.detail)));
        }
        if let Some(nts) = &self.nts {
            nts.describe(&mut sheet);
        }
        sheet.render()
    }
}

impl Sample {
    /// The sample of an exchange; its time is told by our clock.
    #[must_use]
    pub fn new(exchange: &Exchange) -> Self {
        Self {
            time: exchange.destination.unix_near(clock::realtime()).to_string(),
            offset: exchange.offset().as_seconds_f64(),
            delay: exchange.delay().as_seconds_f64(),
            root_distance: exchange.root_distance().as_seconds_f64(),
            dispersion: exchange.dispersion().as_seconds_f64(),
            root_delay: exchange.root_delay.to_span().as_seconds_f64(),
            root_dispersion: exchange.root_dispersion.to_span().as_seconds_f64(),
            stratum: exchange.stratum,
            reference: exchange.reference_id.display(exchange.stratum).to_string(),
            leap: match exchange.leap {
                Leap::None => "none",
                Leap::InsertSecond => "insert",
                Leap::DeleteSecond => "delete",
                Leap::Unsynchronised => "unsynchronised",
            },
            precision: exchange.precision.0,
            authenticated: exchange.authenticated,
        }
    }

    fn describe(&self, sheet: &mut Sheet, paint: Paint) {
        sheet.line(OFFSET, signed(self.offset));
        sheet.line("delay", unsigned(self.delay));
        sheet.line("root distance", unsigned(self.root_distance));
        sheet.line("root delay", unsigned(self.root_delay));
        sheet.line("root dispersion", unsigned(self.root_dispersion));
        sheet.line("stratum", self.stratum.to_string());
        sheet.line("reference", self.reference.clone());
        sheet.line(
            "leap",
            match self.leap {
                "none" => "none announced",
                "insert" => "a second will be inserted",
                "delete" => "a second will be deleted",
                _ => "the server is not synchronised",
            },
        );
        sheet.line(
            "authenticated",
            if self.authenticated {
                paint.good("yes (NTS)")
            } else {
                paint.warning("no (plain NTP)")
            },
        );
    }
}

impl Nts {
    fn describe(&self, sheet: &mut Sheet) {
        sheet.heading("key establishment");
        sheet.line("at", format!("{} in {}", self.ke_server, unsigned(self.duration)));
        sheet.line(
            "NTP server",
            self.ntp_server.clone().unwrap_or_else(|| "the same address".to_owned()),
        );
        sheet.line("NTP port", self.ntp_port.to_string());
        sheet.line("AEAD", format!("{} ({})", self.aead_name, self.aead));
        if self.aead == Aead::Aes128GcmSiv.id() {
            sheet.line(
                "exporter",
                if self.compliant_gcm_siv {
                    "by RFC 8915 (record 1024)"
                } else {
                    "as chrony does without record 1024"
                },
            );
        }
        let left = self.cookies_left.map(|left| format!(", {left} left")).unwrap_or_default();
        sheet.line("cookies", format!("{} of {} octets{left}", self.cookies, self.cookie_length));
        let Some(certificate) = &self.certificate else { return };
        sheet.heading("certificate");
        sheet.line("names", certificate.names.join("\n"));
        if !certificate.subject.is_empty() {
            sheet.line("subject", certificate.subject.clone());
        }
        sheet.line("issuer", certificate.issuer.clone());
        sheet.line("valid from", certificate.not_before.clone());
        sheet.line("valid until", certificate.not_after.clone());
        sheet.line("SHA-256 of the key", certificate.spki_sha256.clone());
        sheet.line("certificates sent", self.chain_length.to_string());
    }
}

/// Seconds with their sign and a unit that fits.
pub(crate) fn signed(seconds: f64) -> String {
    Span::from_seconds_f64(seconds).to_string()
}

/// Seconds that have no sign, and a unit that fits.
pub(crate) fn unsigned(seconds: f64) -> String {
    signed(seconds).trim_start_matches('+').to_owned()
}

/// The sign is said where the number is read: chronyc prints the opposite of ntpq and of the kernel.
pub(crate) const OFFSET: &str = "offset (+ server ahead)";
