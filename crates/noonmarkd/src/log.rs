//! Log lines: for people, for programs, for the journal.
//!
//! Text goes to standard error, `2026-11-22T12:00:00.123Z warn ntp: what happened key=value`. When standard error leads to
//! systemd's journal (`JOURNAL_STREAM`), the time is left out and the severity goes first as `<4>`, which the journal understands.
//! JSON is one object per line: `time`, `level`, `process`, `message`, then the event's own fields.
//! The journal itself gets an entry per event over its own protocol: `MESSAGE`, `PRIORITY`, `NOONMARK_PROCESS`, then the event's
//! own fields as `NOONMARK_` and the name. Where no journal listens, text goes to standard error instead.
//!
//! No process waits for whoever takes its lines: what there is no room for is lost, and text and JSON say how many lines were.
//!
//! No line carries a control character, so what a peer or a file said cannot forge another line or paint a terminal.

use std::fmt::{self, Write};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};

use noonmark_config::{Log, LogFormat, LogLevel};
use noonmark_os::{clock, poll};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, dynamic_filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging as configured, for a process that goes by `process`. The first call counts.
pub fn start(process: &'static str, log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = |line| {
        tracing_subscriber::fmt::layer()
            .event_format(line)
            .with_writer(Unhurried::default)
            // Where a line cannot be written, saying so cannot be either, and would end the process.
            .log_internal_errors(false)
            .with_filter(level)
    };
    let text = Line { process, shape: Shape::of_standard_error() };
    let registry = tracing_subscriber::registry();
    // A second call, as in a test, changes nothing.
    let _ = match log.format {
        LogFormat::Text => registry.with(lines(text)).try_init(),
        LogFormat::Json => registry.with(lines(Line { process, shape: Shape::Json })).try_init(),
        LogFormat::Journald => match open_journal() {
            Ok((journal, room)) => {
                let journal = journal
                    .with_priority_mappings(priorities())
                    .with_field_prefix(Some("NOONMARK".to_owned()))
                    .with_syslog_identifier("noonmarkd".to_owned())
                    .with_custom_fields([("NOONMARK_PROCESS", process)]);
                let room = dynamic_filter_fn(move |_, _| room.is_there());
                registry.with(journal.with_filter(level.and(room))).try_init()
            }
            Err(error) => {
                let started = registry.with(lines(text)).try_init();
                tracing::warn!(%error, "no journal here; logging to standard error instead");
                started
            }
        },
    };
}

/// The journal, and a look at how much it takes.
fn open_journal() -> io::Result<(tracing_journald::Layer, JournalRoom)> {
    let room = JournalRoom::open();
    if !room.is_there() {
        // Opening the layer says something, and would wait.
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "the journal takes nothing"));
    }
    Ok((tracing_journald::layer()?, room))
}

/// Lines that nobody took since the last one that somebody did.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Standard error for as much as it takes at once. Whoever reads the other end of a pipe may have stopped, and no process shall stop
/// for that: a line without room is lost, and the next one that has some says how many were.
#[derive(Default)]
struct Unhurried;

impl io::Write for Unhurried {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        let mut to = stderr.lock();
        // The layer hands over a line at a time, of which a pipe takes no more than this for sure.
        for part in line.chunks(poll::PIPE_ROOM) {
            if !poll::has_room(to.as_fd()) {
                LOST.fetch_add(1, Ordering::Relaxed);
                return Ok(line.len());
            }
            to.write_all(part)?;
        }
        LOST.store(0, Ordering::Relaxed);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A look at how much the journal takes at once: a socket connected to it, over which nothing is said.
struct JournalRoom(Option<UnixDatagram>);

impl JournalRoom {
    fn open() -> Self {
        let connected = UnixDatagram::unbound().and_then(|socket| {
            socket.connect(JOURNAL)?;
            Ok(socket)
        });
        Self(connected.ok())
    }

    /// Whether an entry would not have to wait. Without a look it is tried.
    fn is_there(&self) -> bool {
        self.0.as_ref().is_none_or(|socket| poll::has_room(socket.as_fd()))
    }
}

/// Where systemd's journal listens, of its documentation ("Native Journal Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";

/// How one event becomes one line.
struct Line {
    process: &'static str,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    /// Time, level, process.
    Text,
    /// `<n>` and process: the journal adds the rest.
    Journal,
    /// An object.
    Json,
}

impl Shape {
    fn of_standard_error() -> Self {
        if std::env::var_os("JOURNAL_STREAM").is_some() { Self::Journal } else { Self::Text }
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let lost = LOST.load(Ordering::Relaxed);
        if lost > 0 {
            fields.others.push(("lines_lost_before", lost.into()));
        }
        let level = *event.metadata().level();
        writeln!(to, "{}", self.write(level, fields, clock::realtime()))
    }
}

impl Line {
    fn write(&self, level: Level, fields: Fields, now: noonmark_units::UnixTime) -> String {
        let mut line = String::new();
        match self.shape {
            Shape::Json => {
                let mut object = Map::new();
                object.insert("time".to_owned(), now.to_string().into());
                object.insert("level".to_owned(), name(level).into());
                object.insert("process".to_owned(), self.process.into());
                object.insert("message".to_owned(), fields.message.into());
                object.extend(
                    fields
                        .others
                        .into_iter()
                        .filter(|(name, _)| !RESERVED.contains(name))
                        .map(|(name, value)| (name.to_owned(), value)),
                );
                return Value::Object(object).to_string();
            }
            // Writing to a string cannot fail.
            Shape::Text => drop(write!(line, "{now} {} {}: ", name(level), self.process)),
            Shape::Journal => drop(write!(line, "<{}>{}: ", severity(level), self.process)),
        }
        line.push_str(&fields.message);
        for (name, value) in &fields.others {
            match value {
                Value::String(text) if is_plain(text) => drop(write!(line, " {name}={text}")),
                value => drop(write!(line, " {name}={value}")),
            }
        }
        line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
    }
}

/// Names that every JSON line has.
const RESERVED: [&str; 4] = ["time", "level", "process", "message"];

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_graphic() && letter != '"' && letter != '=')
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The severities of syslog (RFC 5424 §6.2.1).
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The same, for the journal's own protocol.
fn priorities() -> PriorityMappings {
    PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    }
}

/// What an event says, in its order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Display values arrive here, too, wrapped so that Debug shows them as they are.
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_units::UnixTime;

    fn fields() -> Fields {
        let others = vec![
            ("role", "ntp".into()),
            ("reason", "two words\nand a \u{1b}[31mline".into()),
            ("pid", 4711.into()),
            ("level", "forged".into()),
        ];
        Fields { message: "role ended".to_owned(), others }
    }

    fn check(shape: Shape, expected: &str) {
        let line =
            Line { process: "launcher", shape }.write(Level::WARN, fields(), UnixTime::EPOCH);
        assert_eq!(line, expected);
        assert!(!line.contains(char::is_control));
    }

    #[test]
    fn journal_hears_the_same_severity_on_both_ways() {
        let PriorityMappings { error, warn, info, debug, trace } = priorities();
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        for (level, priority) in levels.into_iter().zip([error, warn, info, debug, trace]) {
            // The journal takes the digit as a character.
            assert_eq!(priority as u8, b'0' + severity(level), "{level}");
        }
    }

    #[test]
    fn a_line_is_one_line_in_every_shape() {
        let said = r#"launcher: role ended role=ntp reason="two words\nand a \u001b[31mline" pid=4711 level=forged"#;
        check(Shape::Text, &format!("1970-01-01T00:00:00.000000000Z warn {said}"));
        check(Shape::Journal, &format!("<4>{said}"));
        let json = Line { process: "launcher", shape: Shape::Json }.write(
            Level::WARN,
            fields(),
            UnixTime::EPOCH,
        );
        let value: Value = serde_json::from_str(&json).expect("an object");
        assert_eq!(value["level"], "warn");
        assert_eq!(value["pid"], 4711);
        assert_eq!(value["reason"], "two words\nand a \u{1b}[31mline");
        assert!(!json.contains(char::is_control));
    }
}
