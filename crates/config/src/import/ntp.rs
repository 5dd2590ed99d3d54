//! `ntp.conf`, of ntpd 4.2.8 and of NTPsec: their words, by the grammar of `ntp_parser.y` in both.

mod access;
mod interface;
mod key_exchange;
mod source;
mod tuning;
mod words;

use std::path::{Path, PathBuf};

use access::Access;
use interface::Interfaces;
use key_exchange::KeyExchange;
use source::LocalClock;

use super::draft;
use super::ledger::{At, Outcome};
use super::number::{quoted, whole};
use super::source::SourceDraft;
use super::work::{NotRead, Work};
use crate::spelling;

/// What differs, whatever the file says.
pub(super) const DIFFERENCES: &[&str] = &[
    "The clock is stepped as soon as the sources agree that it is off by more than step-threshold; ntpd waits for 300 s first (stepout).",
    "An error beyond largest-step is left alone and the daemon stays up, saying why; ntpd ends (panic). The first step after the machine was started may be larger (boot-step), as with ntpd -g, which distributions use; later starts of the daemon make no exception.",
    "Options of ntpd's command line are not in the file: -x is step-threshold = \"600s\", -g is boot-step, -4 and -6 are family in each [[source]], -I is interfaces in [server].",
    "ntpq and ntpdc get no answer, and nothing can be changed over the network: `noonmark status`, `sources` and `tracking` show the state.",
    "Each pool has its own number of servers (max-sources, 4); ntpd shares maxclock (10) among all pools.",
    "Questions leave from a random port, not from port 123; a firewall that lets only port 123 through has to learn that.",
    "The bound of the clock's error grows by 1 ppm beyond what was measured (max-clock-error); ntpd's by 15 ppm.",
    "The clock's frequency is kept in the state folder. ntpd's drift file is left as it is and not read: it is learned anew within minutes.",
    "Access rules are about clients; ntpd's also keep out the answers of servers it asks.",
    "No statistics files are written.",
];

/// First words of ntp 4.2.8 and NTPsec, and those that older versions had.
const WORDS: &[&str] = &[
    "automax",
    "authdelay",
    "authenticate",
    "broadcast",
    "broadcastclient",
    "broadcastdelay",
    "calldelay",
    "clientlimit",
    "clientperiod",
    "controlkey",
    "crypto",
    "delrestrict",
    "device",
    "disable",
    "discard",
    "driftfile",
    "dscp",
    "enable",
    "end",
    "extra",
    "filegen",
    "fudge",
    "ident",
    "includefile",
    "interface",
    "keys",
    "keysdir",
    "leapfile",
    "leapsmearinterval",
    "limit",
    "logconfig",
    "logfile",
    "manycastclient",
    "manycastserver",
    "mdnstries",
    "mru",
    "multicastclient",
    "nic",
    "nonvolatile",
    "novolley",
    "nts",
    "ntpsigndsocket",
    "peer",
    "phone",
    "pidfile",
    "pollskewlist",
    "pool",
    "precision",
    "qos",
    "refclock",
    "requestkey",
    "reset",
    "restrict",
    "revoke",
    "rlimit",
    "saveconfigdir",
    "server",
    "setvar",
    "simulate",
    "statistics",
    "statsdir",
    "tick",
    "tinker",
    "tos",
    "trap",
    "trustedkey",
    "ttl",
    "unconfig",
    "unpeer",
    "unrestrict",
];

/// Whether a line of theirs may begin so.
pub(super) fn is_word(word: &str) -> bool {
    WORDS.contains(&word)
}

/// Reads all of it.
pub(super) fn read(work: &mut Work<'_>, path: &Path, text: &str) {
    let is_ntpsec = path.to_string_lossy().contains("ntpsec");
    let mut conf = Conf {
        work,
        is_ntpsec,
        sources: Vec::new(),
        local: LocalClock::default(),
        access: Access::default(),
        interfaces: Interfaces::default(),
        key_exchange: KeyExchange::default(),
        keys: Vec::new(),
        is_keyed: false,
        max_clock: None,
        smear: None,
        orphan_wait: None,
        observe: None,
        has_ended: false,
    };
    conf.file(path, text);
    // NTPsec reads the folder beside its file, in the order of the names.
    if path.file_name().is_some_and(|name| name == "ntp.conf") {
        let folder = path.with_file_name("ntp.d");
        for name in conf.work.names(&folder, ".conf").unwrap_or_default() {
            let fragment = folder.join(name);
            conf.has_ended = false;
            match conf.work.enter(&fragment) {
                Ok(text) => {
                    conf.file(&fragment, &text);
                    conf.work.leave();
                }
                Err(NotRead::Missing) => {}
                Err(NotRead::Because(why)) => {
                    let at = conf.work.ledger.add(&fragment.to_string_lossy(), 1, "");
                    conf.work.lost(at, format!("not read: {why}"));
                }
            }
        }
    }
    conf.finish();
}

/// An `ntp.conf` under way: what can only be judged at its end is kept until then.
struct Conf<'w, 'f> {
    work: &'w mut Work<'f>,
    /// Whether NTPsec wrote it, by its place or by its words.
    is_ntpsec: bool,
    sources: Vec<SourceDraft>,
    local: LocalClock,
    access: Access,
    interfaces: Interfaces,
    key_exchange: KeyExchange,
    /// Lines about symmetric keys.
    keys: Vec<At>,
    /// Whether a source has one.
    is_keyed: bool,
    max_clock: Option<(i64, At)>,
    smear: Option<(i64, At)>,
    orphan_wait: Option<(String, At)>,
    /// `disable ntp`.
    observe: Option<At>,
    /// `end` was read.
    has_ended: bool,
}

impl Conf<'_, '_> {
    fn file(&mut self, path: &Path, text: &str) {
        let file = path.to_string_lossy().into_owned();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        for (number, line) in text.lines().enumerate() {
            let words = words::of(line);
            if words.is_empty() {
                if !line.trim().is_empty() {
                    self.work.ledger.comment(&file, number + 1, line);
                }
                continue;
            }
            let at = self.work.ledger.add(&file, number + 1, &words::without_secrets(line, &words));
            if self.has_ended {
                self.work.note(at, Outcome::Ignored, "behind `end`, where ntpd stops reading");
            } else {
                self.statement(at, &words, &folder);
            }
        }
    }

    fn statement(&mut self, at: At, words: &[String], folder: &Path) {
        let rest = &words[1..];
        let first = rest.first().map(String::as_str);
        match (words[0].as_str(), first) {
            ("server" | "pool" | "peer", _) => self.source(at, words, folder),
            ("unpeer" | "unconfig", Some(host)) => self.unpeer(at, host),
            ("refclock", _) => self.refclock(at, rest),
            ("fudge", Some(_)) => self.fudge(at, rest),
            ("restrict", Some(_)) => self.restrict(at, rest),
            ("unrestrict" | "delrestrict", Some(_)) => self.unrestrict(at, rest),
            ("discard" | "limit", Some(_)) => self.limit(at, words),
            ("interface" | "nic", Some(_)) => self.interface(at, rest),
            ("nts", Some(_)) => self.nts(at, rest, folder),
            ("tinker", Some(_)) => self.tinker(at, rest),
            ("tos", Some(_)) => self.tos(at, rest),
            ("enable", Some(_)) => self.switches(at, rest, true),
            ("disable", Some(_)) => self.switches(at, rest, false),
            ("rlimit", Some(_)) => self.rlimit(at, rest),
            ("includefile", Some(name)) => self.include(at, &folder.join(name)),
            ("leapfile", Some(name)) => self.leap_file(at, name, rest.get(1), folder),
            ("leapsmearinterval", Some(seconds)) => match whole(seconds) {
                Some(0) => self.work.note(at, Outcome::Kept, "nothing is smeared"),
                Some(seconds) if seconds > 0 => {
                    let before = self.smear.replace((seconds, at)).map(|(_, before)| before);
                    self.taken_back(before, at);
                }
                _ => self.refused(at, seconds),
            },
            ("dscp", Some(number)) => match whole(number) {
                Some(code @ 0..=63) => {
                    let note = "for answers; questions go out without one";
                    self.work.set(at, ("server", "dscp"), code.to_string(), note);
                }
                _ => self.refused(at, number),
            },
            ("driftfile", _) => self.work.note(at, Outcome::Changed, DRIFT),
            ("keys" | "trustedkey", Some(_)) => self.keys.push(at),
            ("filegen", _) if rest.iter().any(|word| word == "none" || word == "disable") => {
                self.work.note(at, Outcome::Kept, "no such file is written");
            }
            ("end", _) => {
                self.has_ended = true;
                self.work.note(at, Outcome::Kept, "nothing behind it is read");
            }
            (word, _) => self.fixed(at, word),
        }
    }

    /// Words whose outcome does not depend on what stands behind them.
    fn fixed(&mut self, at: At, word: &str) {
        if let Some((_, outcome, note)) = FIXED.iter().find(|(words, _, _)| words.contains(&word)) {
            self.work.note(at, *outcome, *note);
        } else if is_word(word) {
            self.refused(at, "");
        } else if is_word(&word.to_ascii_lowercase()) && word.chars().any(char::is_uppercase) {
            let meant = word.to_ascii_lowercase();
            self.work.lost(
                at,
                format!("ntpd skips it: words are small there; write `{meant}` and import again"),
            );
        } else if super::chrony::is_word(&word.to_ascii_lowercase()) {
            self.work.lost(at, "ntpd skips it: the word is chronyd's");
        } else {
            let near = spelling::nearest(word, WORDS.iter().copied());
            let hint = near.map_or(String::new(), |near| format!("; `{near}` may be meant"));
            self.work.lost(at, format!("ntpd does not know the word and skips it{hint}"));
        }
    }

    /// A line before said something else of the same.
    fn taken_back(&mut self, before: Option<At>, by: At) {
        if let Some(before) = before {
            let note =
                format!("{} says otherwise, and the last one counts", self.work.ledger.place(by));
            self.work.note(before, Outcome::Ignored, note);
        }
    }

    /// A value that ntpd does not take, so that it skips the line.
    fn refused(&mut self, at: At, value: &str) {
        if value.is_empty() {
            return self.work.lost(at, "something is missing, and ntpd skips the line");
        }
        self.work.lost(at, format!("ntpd does not take {value:?} there and skips the line"));
    }

    fn include(&mut self, at: At, path: &Path) {
        match self.work.enter(path) {
            Ok(text) => {
                self.work.note(at, Outcome::Kept, "its lines follow");
                self.file(path, &text);
                self.work.leave();
            }
            Err(NotRead::Missing) => {
                self.work.note(
                    at,
                    Outcome::Ignored,
                    "there is no such file, and ntpd goes on without it",
                );
            }
            Err(NotRead::Because(why)) => self.work.lost(at, format!("not read: {why}")),
        }
    }

    fn leap_file(&mut self, at: At, name: &str, check: Option<&String>, folder: &Path) {
        let Some(path) = draft::path(folder, name) else { return self.refused(at, name) };
        let changed = match check.map(String::as_str) {
            Some("ignorehash") => "a list whose hash is wrong is not believed",
            _ => "",
        };
        self.work.set(at, ("clock", "leap-seconds"), path, changed);
    }

    fn unpeer(&mut self, at: At, host: &str) {
        let before = self.sources.len();
        self.sources.retain(|source| {
            let is_meant = source.host.eq_ignore_ascii_case(host);
            if is_meant {
                let by = self.work.ledger.place(at);
                self.work.ledger.note(source.at, Outcome::Ignored, format!("{by} takes it back"));
            }
            !is_meant
        });
        let note = if before == self.sources.len() { "no line before names it" } else { "" };
        self.work.note(at, Outcome::Kept, note);
    }

    fn finish(mut self) {
        self.share_pools();
        let sources = std::mem::take(&mut self.sources);
        for at in std::mem::take(&mut self.keys) {
            if self.is_keyed || self.access.wants_keys() {
                self.work.lost(at, KEYS);
            } else {
                let note = "no source uses a key; clients that send one get no proof in return";
                self.work.note(at, Outcome::Changed, note);
            }
        }
        super::source::add(self.work, sources);
        self.finish_local();
        self.finish_interfaces();
        self.finish_access();
        self.finish_key_exchange();
        self.finish_smear();
        self.finish_switches();
        let draft = &mut self.work.draft;
        draft.assume(
            ("server", "listen"),
            "[\"[::]:123\", \"0.0.0.0:123\"]",
            "ntpd answers on all addresses",
        );
        draft.assume(("server", "versions"), "[1, 2, 3, 4]", "ntpd answers all of them");
        let is_limited = draft.get("clock", "largest-step") != Some(NO_LIMIT);
        if !is_limited {
            draft.remove("clock", "largest-step");
        }
        if draft.has_table("source") {
            for (key, value, because) in CLOCK {
                if is_limited || key != "largest-step" {
                    draft.assume(("clock", key), value, because);
                }
            }
            if is_limited {
                let because =
                    "with -g, which distributions give it, ntpd's first step may have any size";
                draft.assume(("clock", "boot-step"), "\"36500d\"", because);
            }
        }
    }

    fn finish_smear(&mut self) {
        let Some((seconds, at)) = self.smear else { return };
        if !self.work.draft.has("clock", "leap-seconds") {
            let note = "smearing needs a list of leap seconds: set leap-seconds in [clock] and leap-smear in [server]";
            return self.work.lost(at, note);
        }
        let (length, _) = super::number::duration(seconds as f64, 1000.0, 86_400.0);
        let note =
            "its rate rises and falls as ntpd's does, and its middle is the end of the UTC day";
        self.work.set(at, ("server", "leap-smear"), quoted("quadratic"), note);
        self.work.set(at, ("server", "leap-smear-length"), length, "");
    }

    fn finish_switches(&mut self) {
        match self.orphan_wait.take() {
            Some((wait, at)) if self.work.draft.has("server", "local-orphan") => {
                self.work.set(at, ("server", "local-wait"), wait, "");
            }
            Some((_, at)) => {
                self.work.note(at, Outcome::Ignored, "orphanwait: there is no `tos orphan`");
            }
            None => {}
        }
        match self.observe {
            Some(at) if self.work.draft.has_table("source") => {
                let note = "the sources are asked, and the clock is not touched";
                self.work.set(at, ("clock", "clock"), quoted("observe"), note);
            }
            Some(at) => self.work.note(at, Outcome::Kept, "nobody is asked anyhow"),
            None => {}
        }
    }

    fn path(&self, folder: &Path, name: &str) -> Option<String> {
        draft::path(&PathBuf::from(folder), name)
    }
}

/// ntpd's clock, where the file says nothing (ntpd 4.2.8: CLOCK_MAX, CLOCK_PANIC, NTP_MAXFREQ, MAXDISTANCE).
const CLOCK: [(&str, &str, &str); 5] = [
    ("step-threshold", "\"128ms\"", "ntpd's default (tinker step)"),
    ("step-updates", "\"always\"", "ntpd steps at any time"),
    ("largest-step", "\"1000s\"", "ntpd's default (tinker panic)"),
    ("max-slew", "500", "ntpd slews no faster"),
    ("max-distance", "\"1500ms\"", "ntpd's default (tos maxdist)"),
];

/// What stands for a limit that `tinker panic 0` takes away, until the end.
const NO_LIMIT: &str = "none";

const DRIFT: &str = "the frequency is kept in noonmarkd's state folder and learned anew; this file is left as it is";
const KEYS: &str = "symmetric keys are not taken: use NTS, or ask without proof of origin";

type Fixed = (&'static [&'static str], Outcome, &'static str);

const FIXED: &[Fixed] = &[
    (
        &["broadcast", "manycastserver"],
        Outcome::Unsupported,
        "time is not broadcast: name this server in the clients' configuration",
    ),
    (
        &[
            "broadcastclient",
            "multicastclient",
            "manycastclient",
            "novolley",
            "broadcastdelay",
            "ttl",
        ],
        Outcome::Unsupported,
        "servers are not discovered: name them, each as a [[source]]",
    ),
    (
        &["crypto", "keysdir", "revoke", "automax", "ident"],
        Outcome::Unsupported,
        "Autokey is broken and not spoken: use NTS",
    ),
    (
        &["controlkey", "requestkey"],
        Outcome::Changed,
        "nothing can be changed over the network: edit the file and reload",
    ),
    (
        &["statsdir", "statistics", "filegen"],
        Outcome::Unsupported,
        "no statistics files are written: collect `noonmark tracking --json` and `noonmark sources --json`",
    ),
    (
        &["logfile"],
        Outcome::Changed,
        "log lines go to standard error or to the journal ([log] format), where the service manager keeps them",
    ),
    (&["logconfig"], Outcome::Changed, "[log] level says what is logged"),
    (
        &["pidfile"],
        Outcome::Ignored,
        "noonmarkd stays in the foreground; the service manager knows its id",
    ),
    (
        &["mru"],
        Outcome::Ignored,
        "clients are remembered for [rate-limit] alone, as many as table-size says",
    ),
    (&["nonvolatile", "saveconfigdir"], Outcome::Ignored, "nothing of the kind is written"),
    (&["mdnstries"], Outcome::Ignored, "the service is not announced by mDNS"),
    (
        &["setvar", "reset"],
        Outcome::Ignored,
        "there are no variables and counters that ntpq could read",
    ),
    (
        &["trap"],
        Outcome::Unsupported,
        "no traps are sent: watch `noonmark status`, whose exit status is made for monitors",
    ),
    (
        &["phone", "calldelay", "device"],
        Outcome::Unsupported,
        "there are no reference clocks: leave the receiver to another machine and name that as a [[source]]",
    ),
    (
        &["tick"],
        Outcome::Unsupported,
        "the kernel's tick is not set; the frequency is measured from where it is",
    ),
    (&["qos"], Outcome::Unsupported, "write dscp in [server], a number from 0 to 63"),
    (&["extra"], Outcome::Unsupported, "write the address with its port in [server] listen"),
    (
        &["ntpsigndsocket"],
        Outcome::Unsupported,
        "answers are not signed for Windows domains: keep another server for domain members",
    ),
    (&["pollskewlist"], Outcome::Ignored, "intervals are varied at random anyhow"),
    (&["simulate"], Outcome::Unsupported, "there is no simulator in the daemon"),
    (
        &["authenticate", "authdelay", "clientlimit", "clientperiod", "precision"],
        Outcome::Ignored,
        "a word of ntpd before 4.2, which it does not know any more",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{Files, Unread};

    struct Nothing;

    impl Files for Nothing {
        fn read(&self, _: &Path) -> Result<Vec<u8>, Unread> {
            Err(Unread::Missing)
        }

        fn names(&self, _: &Path) -> Result<Vec<String>, Unread> {
            Err(Unread::Missing)
        }
    }

    #[test]
    fn every_word_is_known_alone_and_with_something_behind_it() {
        for word in WORDS {
            for line in
                [format!("{word}\n"), format!("{word} 127.127.1.0 1\n"), format!("{word} a b c\n")]
            {
                let path = Path::new("/etc/ntp.conf");
                let mut work = Work::new(&Nothing, path);
                read(&mut work, path, &line);
                let lines = work.ledger.finish();
                let unknown = lines[0].note.contains("does not know the word")
                    || lines[0].note == "not understood";
                assert!(!unknown, "{line}: {}", lines[0].note);
            }
        }
    }
}
