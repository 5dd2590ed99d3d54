//! `chrony.conf`, of chrony 4.8 (and two words of what follows it).

mod clock;
mod monitoring;
mod server;
mod source;

use std::path::Path;

use server::Serving;

use super::draft;
use super::ledger::{At, Outcome};
use super::number::{real, whole};
use super::source::SourceDraft;
use super::work::{NotRead, Work};
use crate::spelling;

/// What differs, whatever the file says.
pub(super) const DIFFERENCES: &[&str] = &[
    "While NTS sources answer, they alone decide who is right (authentication = \"prefer\"); chronyd lets others in that agree with them (authselectmode mix).",
    "The kernel sets the machine's clock chip every 11 minutes while the clock is synchronised, with or without rtcsync; the chip's own drift is not tracked.",
    "A correction beyond largest-step is refused and the daemon stays up, saying why; chronyd ends (maxchange).",
    "chronyc gets no answer: `noonmark status`, `sources`, `tracking` and `wait-sync` show the state.",
    "Sources do not change at run time: nothing is added by DHCP, and none is offline; edit the file and reload.",
    "An oscillator is taken to be at most 500 ppm off (max-drift); what goes beyond counts as moving the clock. chronyd takes 500000 ppm (maxdrift).",
    "The clock's frequency is kept in the state folder. chronyd's drift file is left as it is and not read: it is learned anew within minutes.",
    "Options of chronyd's command line are not in the file: -x is clock = \"observe\", -4 and -6 are family in each [[source]], -s and -r have no counterpart.",
    "Authorities of ca take the place of the system's for that source; chronyd's ntstrustedcerts come on top of them.",
];

/// Directives of chrony 4.8, those it only remembers, and two that follow it.
const WORDS: &[&str] = &[
    "acquisitionport",
    "allow",
    "authselectmode",
    "bindacqaddress",
    "bindacqdevice",
    "bindaddress",
    "bindcmdaddress",
    "bindcmddevice",
    "binddevice",
    "broadcast",
    "clientloglimit",
    "clockprecision",
    "cmdallow",
    "cmddeny",
    "cmdport",
    "cmdratelimit",
    "combinelimit",
    "commandkey",
    "confdir",
    "corrtimeratio",
    "deny",
    "driftfile",
    "dscp",
    "dumpdir",
    "dumponexit",
    "fallbackdrift",
    "generatecommandkey",
    "hwclockfile",
    "hwtimestamp",
    "hwtstimeout",
    "include",
    "initstepslew",
    "keyfile",
    "leapseclist",
    "leapsecmode",
    "leapsectz",
    "linux_freq_scale",
    "linux_hz",
    "local",
    "lock_all",
    "log",
    "logbanner",
    "logchange",
    "logdir",
    "mailonchange",
    "makestep",
    "manual",
    "maxchange",
    "maxclockerror",
    "maxdistance",
    "maxdrift",
    "maxjitter",
    "maxntsconnections",
    "maxsamples",
    "maxslewrate",
    "maxstratum",
    "maxtxbuffers",
    "maxupdateskew",
    "minsamples",
    "minsources",
    "minstratum",
    "nocerttimecheck",
    "noclientlog",
    "nosystemcert",
    "ntpsigndsocket",
    "ntsaeads",
    "ntscachedir",
    "ntsdumpdir",
    "ntsntpserver",
    "ntsport",
    "ntsprocesses",
    "ntsratelimit",
    "ntsrefresh",
    "ntsrotate",
    "ntsservercert",
    "ntsserverkey",
    "ntstrustedcerts",
    "opencommands",
    "peer",
    "pidfile",
    "pool",
    "port",
    "ptpdomain",
    "ptpport",
    "ratelimit",
    "refclock",
    "refresh",
    "reselectdist",
    "rtcautotrim",
    "rtcdevice",
    "rtcfile",
    "rtconutc",
    "rtcsync",
    "sched_priority",
    "server",
    "smoothtime",
    "sourcedir",
    "stratumweight",
    "tempcomp",
    "user",
];

/// Those that stand alone.
const ALONE: [&str; 7] =
    ["lock_all", "manual", "noclientlog", "nosystemcert", "rtconutc", "rtcsync", "dumponexit"];

/// Whether a line of theirs may begin so; `word` in small letters.
pub(super) fn is_word(word: &str) -> bool {
    WORDS.contains(&word)
}

/// Reads all of it.
pub(super) fn read(work: &mut Work<'_>, path: &Path, text: &str) {
    let mut conf = Conf {
        work,
        sources: Vec::new(),
        certificate_sets: Vec::new(),
        is_keyed: false,
        keys: Vec::new(),
        serving: Serving::default(),
        smooth: None,
        no_system: None,
        has_authorities: false,
        confdirs: 0,
    };
    let is_fragment = path.extension().is_some_and(|extension| extension == "sources");
    conf.file(path, text, is_fragment);
    conf.finish();
}

/// A `chrony.conf` under way: what can only be judged at its end is kept until then.
struct Conf<'w, 'f> {
    work: &'w mut Work<'f>,
    /// Sources, and the set of certificates of those with NTS.
    sources: Vec<(SourceDraft, i64)>,
    /// `ntstrustedcerts`: set, file as TOML, line.
    certificate_sets: Vec<(i64, String, At)>,
    /// Whether a source has a symmetric key.
    is_keyed: bool,
    keys: Vec<At>,
    serving: Serving,
    /// Seconds that `smoothtime … leaponly` takes for a leap second.
    smooth: Option<(f64, At)>,
    /// `nosystemcert`.
    no_system: Option<At>,
    /// Whether `ntstrustedcerts` names any.
    has_authorities: bool,
    confdirs: usize,
}

impl Conf<'_, '_> {
    /// `is_fragment`: of a `sourcedir`, where only sources are known.
    fn file(&mut self, path: &Path, text: &str, is_fragment: bool) {
        let file = path.to_string_lossy().into_owned();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(first) = words.first() else { continue };
            if first.starts_with(['!', ';', '#', '%']) {
                self.work.ledger.comment(&file, number + 1, line);
                continue;
            }
            let at = self.work.ledger.add(&file, number + 1, line);
            let word = first.to_ascii_lowercase();
            if is_fragment && !["server", "pool", "peer"].contains(&word.as_str()) {
                self.work.note(
                    at,
                    Outcome::Ignored,
                    "a file of sources has nothing else, and chronyd skips it",
                );
                continue;
            }
            self.statement(at, &word, &words[1..], &folder);
        }
    }

    fn statement(&mut self, at: At, word: &str, rest: &[&str], folder: &Path) {
        if ALONE.contains(&word) && !rest.is_empty() {
            return self.refused(at, &rest.join(" "));
        }
        match word {
            "server" | "pool" | "peer" => self.source(at, word, rest),
            "include" => self.include(at, rest, folder),
            "confdir" => self.folders(at, rest, folder, ".conf"),
            "sourcedir" => self.folders(at, rest, folder, ".sources"),
            "keyfile" => self.keys.push(at),
            "ntstrustedcerts" => self.certificates(at, rest, folder),
            _ if self.server(at, word, rest, folder) => {}
            _ if self.clock(at, word, rest, folder) => {}
            _ if self.monitoring(at, word, rest) => {}
            _ => {
                let near = spelling::nearest(word, WORDS.iter().copied());
                let hint = near.map_or(String::new(), |near| format!("; `{near}` may be meant"));
                let whose = if super::ntp::is_word(word) { "; ntpd has it" } else { "" };
                self.work.lost(
                    at,
                    format!(
                        "chronyd does not know the word and does not start with it{hint}{whose}"
                    ),
                );
            }
        }
    }

    /// A line that chronyd would not start with.
    fn refused(&mut self, at: At, what: &str) {
        if what.is_empty() {
            return self.work.lost(at, "something is missing, and chronyd does not start with it");
        }
        if what.starts_with('#') {
            return self
                .work
                .lost(at, "chronyd does not start with it: a comment has a line of its own");
        }
        self.work.lost(at, format!("chronyd does not start with {what:?} there"));
    }

    /// The one number behind a word.
    fn number(&mut self, at: At, rest: &[&str]) -> Option<f64> {
        let number = match rest {
            [one] => real(one),
            _ => None,
        };
        if number.is_none() {
            self.refused(at, &rest.join(" "));
        }
        number
    }

    fn include(&mut self, at: At, rest: &[&str], folder: &Path) {
        let [pattern] = rest else { return self.refused(at, &rest.join(" ")) };
        let Some(paths) = self.work.matching(&folder.join(pattern)) else {
            return self.work.lost(
                at,
                "* and ? are taken in the last part of the path only: import those files by hand",
            );
        };
        if paths.is_empty() {
            return self.work.note(
                at,
                Outcome::Ignored,
                "there is no such file, and chronyd goes on without it",
            );
        }
        for path in paths {
            self.fragment(at, &path, false);
        }
    }

    fn fragment(&mut self, at: At, path: &Path, is_fragment: bool) {
        match self.work.enter(path) {
            Ok(text) => {
                self.work.note(at, Outcome::Kept, "its lines follow");
                self.file(path, &text, is_fragment);
                self.work.leave();
            }
            Err(NotRead::Missing) if is_fragment => {}
            Err(NotRead::Missing) => {
                self.work.lost(at, "there is no such file, and chronyd does not start without it");
            }
            Err(NotRead::Because(why)) => {
                self.work.lost(at, format!("{}: not read: {why}", path.display()));
            }
        }
    }

    /// `confdir` and `sourcedir`: of files with one name the first folder's counts.
    fn folders(&mut self, at: At, rest: &[&str], folder: &Path, ending: &str) {
        let is_sources = ending == ".sources";
        if rest.is_empty() || rest.len() > 10 {
            return self.refused(at, &rest.join(" "));
        }
        self.confdirs += 1;
        if self.confdirs > 32 {
            return self
                .work
                .lost(at, "more than 32 lines name folders: import those files by hand");
        }
        let mut found: Vec<(String, std::path::PathBuf)> = Vec::new();
        for name in rest {
            let place = folder.join(name);
            match self.work.names(&place, ending) {
                Ok(names) => {
                    for name in names {
                        let path = place.join(&name);
                        found.push((name, path));
                    }
                }
                Err(NotRead::Missing) => {}
                Err(NotRead::Because(why)) => {
                    self.work.lost(at, format!("{name}: not read: {why}"));
                }
            }
        }
        // Stable: the folder named first stays first.
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found.dedup_by(|later, first| later.0 == first.0);
        let is_empty = found.is_empty();
        let is_passing =
            rest.iter().any(|name| name.starts_with("/run") || name.starts_with("/var/run"));
        if is_sources && is_passing {
            let note = "sources that come and go (DHCP) are not followed: those that are there now are taken over for good; write others as [[source]]";
            self.work.lost(at, note);
        } else if is_sources {
            self.work.note(
                at,
                Outcome::Changed,
                "its sources are taken over as they are now; the folder is not read again",
            );
        } else if is_empty {
            self.work.note(at, Outcome::Kept, "there is nothing in it");
        }
        for (_, path) in found {
            self.fragment(at, &path, is_sources);
        }
    }

    fn certificates(&mut self, at: At, rest: &[&str], folder: &Path) {
        let (set, name) = match rest {
            [name] => (Some(0), *name),
            [set, name] => (whole(set), *name),
            _ => (None, ""),
        };
        match (set, draft::path(folder, name)) {
            (Some(set), Some(path)) => {
                self.has_authorities = true;
                self.certificate_sets.push((set, path, at));
            }
            _ => self.refused(at, &rest.join(" ")),
        }
    }

    fn finish(mut self) {
        for at in std::mem::take(&mut self.keys) {
            if self.is_keyed {
                self.work.lost(
                    at,
                    "symmetric keys are not taken: use NTS, or ask without proof of origin",
                );
            } else {
                let note = "no source uses a key; clients that send one get no proof in return";
                self.work.note(at, Outcome::Changed, note);
            }
        }
        self.finish_sources();
        self.finish_clock();
        self.finish_server();
        let because = "neither sources nor `allow`: chronyd does nothing with it; this serves this machine alone";
        self.work.draft.close_if_idle(because);
    }
}

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
            for line in [format!("{word}\n"), format!("{word} 1\n"), format!("{word} a b c\n")] {
                let path = Path::new("/etc/chrony.conf");
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
