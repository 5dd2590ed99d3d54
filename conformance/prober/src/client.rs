//! Plays servers to a client under test, and judges what it does, clause by clause.
//!
//! A client decides when it asks, so nothing can be demanded of it; but it can be told of many servers. A [`Run`] listens on one address for
//! each of its [`scripts`], all at once: one is honest, one forges, one falls silent, one shows an expired certificate. The client is pointed
//! at all of them ([`lines`] prints what to write into its configuration), and a single run of it, with the reconnections it makes by itself, is
//! enough for all clauses. What a client took is seen by what it uses: every cookie is marked with the answer it came in, an answer that was
//! taken brings its cookie back, and one that was not leaves the stock one short.
//!
//! Each script has its time limit, in seconds from when the client first comes to its address. Silence counts only beside an honest
//! server that the same client asks at the same time.
//!
//! What is served is this machine's time, so that a client that follows it does no harm. Clients without NTS are not judged.

pub mod authority;
mod establish;
mod forgeries;
pub mod hello;
mod judge;
pub mod lines;
pub mod log;
mod ntp;
pub mod post;
mod respond;
pub mod say;
pub mod script;
pub mod scripts;
pub mod turn;
pub mod unprobed;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use crate::clause::{Clause, Look, Side, Way};
use crate::evidence::{Evidence, Passage, SessionKeys};
use crate::report::{Finding, Report, Unprobed};
use crate::table::CLAUSES;
use crate::verdict::Verdict;

use authority::Authority;
use log::{Log, Question, Store};
use post::Post;
use say::Say;
use script::Script;
use scripts::SCRIPTS;

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first address; each script has the one after that of the script before.
    pub listen: IpAddr,
    /// TCP port of key establishment.
    pub ke_port: u16,
    /// UDP port of NTP.
    pub ntp_port: u16,
    /// What names of servers end in, if the client is pointed at names: the first is `s1.` and this.
    pub domain: Option<String>,
    /// Only scripts that judge one of these clauses, and the honest one; all if empty.
    pub only: Vec<String>,
    /// How long the client is waited for at each address.
    pub patience: Duration,
    /// How many times longer than usual a script may take, for clients that ask seldom.
    pub slowness: f64,
    /// How long a second of an RFC is: 1 s, and less only for clients made to be judged quickly.
    pub second: Duration,
}

impl Settings {
    /// A run on these addresses, on the usual ports.
    #[must_use]
    pub fn new(listen: IpAddr) -> Self {
        Self {
            listen,
            ke_port: 4460,
            ntp_port: 123,
            domain: None,
            only: Vec::new(),
            patience: Duration::from_secs(60),
            slowness: 1.0,
            second: Duration::from_secs(1),
        }
    }

    /// The scripts that will be played.
    #[must_use]
    pub fn scripts(&self) -> Vec<&'static Script> {
        let wanted = |script: &&Script| {
            let named = |id: &&str| self.only.iter().any(|only| only.eq_ignore_ascii_case(id));
            // Without an honest server there is nothing to set silence beside.
            self.only.is_empty() || script.name == HONEST || script.clauses.iter().any(named)
        };
        SCRIPTS.iter().filter(wanted).collect()
    }

    /// The address of the script of this number, if there are that many behind the first.
    #[must_use]
    pub fn address(&self, number: usize) -> Option<IpAddr> {
        let number = u32::try_from(number).ok()?;
        Some(match self.listen {
            IpAddr::V4(first) => Ipv4Addr::from(u32::from(first).checked_add(number)?).into(),
            IpAddr::V6(first) => {
                Ipv6Addr::from(u128::from(first).checked_add(u128::from(number))?).into()
            }
        })
    }
}

/// A run that listens.
pub struct Run {
    settings: Settings,
    authority: Authority,
    posts: Vec<Post>,
    store: Store,
    began: SystemTime,
}

/// The outcome of a run, and what went over the wire for it.
#[derive(Debug)]
pub struct Outcome {
    /// The verdicts.
    pub report: Report,
    /// All datagrams and all that key establishment said, in the order of time.
    pub wire: Vec<Passage>,
    /// The keys of all sessions.
    pub keys: Vec<SessionKeys>,
}

/// What a run tells while it goes on.
pub enum News<'a> {
    /// The client came to a script's address.
    Began(&'a Script),
    /// A script has seen enough, or its time is over.
    Ended(&'a Script),
}

impl Run {
    /// Makes certificates and opens all listeners.
    ///
    /// # Errors
    /// What the system or the certificate library says, with the address it is about.
    pub fn open(settings: Settings) -> Result<Self, String> {
        let authority = Authority::new().map_err(|error| format!("certificates: {error}"))?;
        let posts = settings.scripts().into_iter().enumerate().map(|(number, script)| {
            let address = settings.address(number).ok_or_else(|| {
                format!("there is no address {number} behind {}", settings.listen)
            })?;
            let name = settings.domain.as_ref().map(|domain| format!("s{}.{domain}", number + 1));
            let ports = (settings.ke_port, settings.ntp_port);
            Post::open(number, script, (address, name), ports, settings.second, &authority)
        });
        let posts = posts.collect::<Result<Vec<Post>, String>>()?;
        Ok(Self { settings, authority, posts, store: Store::default(), began: SystemTime::now() })
    }

    /// The certificate of the authority that the client has to trust, PEM.
    #[must_use]
    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// Where the scripts are played.
    #[must_use]
    pub fn posts(&self) -> &[Post] {
        &self.posts
    }

    /// Plays the scripts of these posts until each is over, or `stop` says so.
    pub fn play(
        &self,
        posts: Range<usize>,
        stop: impl Fn() -> bool,
        mut tell: impl FnMut(News<'_>),
    ) {
        let posts = self.posts.get(posts).unwrap_or_default();
        std::thread::scope(|threads| {
            for post in posts {
                threads.spawn(|| post.play(&self.store));
            }
            self.watch(posts, &stop, &mut tell);
        });
    }

    /// Judges all that was seen. `target` names what is judged.
    #[must_use]
    pub fn judge(self, target: &str) -> Outcome {
        let logs: Vec<Log> = self.posts.iter().map(|post| post.log().clone()).collect();
        let say = self.verdicts(&logs);
        let began_s =
            self.began.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let took = self.began.elapsed().unwrap_or_default();
        let report = Report {
            format: 1,
            prober: env!("CARGO_PKG_VERSION").to_owned(),
            side: Side::Client,
            target: target.to_owned(),
            began_s,
            took_s: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            clauses: self.findings(&say, &logs),
            not_probed: if self.settings.only.is_empty() { not_probed() } else { Vec::new() },
        };
        let mut wire: Vec<Passage> =
            logs.iter().flat_map(|log| log.passages.iter().cloned()).collect();
        wire.sort_by_key(|passage| passage.at_us);
        Outcome { report, wire, keys: logs.iter().flat_map(keys).collect() }
    }

    /// Ends each script when it has seen enough or its time is over.
    fn watch(&self, posts: &[Post], stop: &impl Fn() -> bool, tell: &mut impl FnMut(News<'_>)) {
        let began = Instant::now();
        let mut seen = BTreeSet::new();
        while posts.iter().any(|post| !post.is_over()) {
            std::thread::sleep(self.settings.second.min(Duration::from_millis(100)));
            let honest = self.honest();
            let is_stopped = stop();
            for post in posts.iter().filter(|post| !post.is_over()) {
                let log = post.log().clone();
                let view = post.view(&log, honest);
                let has_come = log.began().is_some();
                if has_come && seen.insert(post.number) {
                    tell(News::Began(post.script));
                }
                let is_over = if has_come {
                    let limit = f64::from(post.script.limit_s) * self.settings.slowness;
                    (post.script.is_over)(&view) || view.age_s() > limit
                } else {
                    began.elapsed() > self.settings.patience
                };
                if is_over || is_stopped {
                    post.end();
                    tell(News::Ended(post.script));
                }
            }
        }
    }

    /// How long the client took from the honest script's response to its first question.
    fn honest(&self) -> Option<Duration> {
        let post = self.posts.iter().find(|post| post.script.name == HONEST)?;
        let log = post.log();
        let first = log.questions.iter().find(|question| question.open.is_some())?;
        Some(first.at.saturating_duration_since(log.answered()?))
    }

    fn verdicts(&self, logs: &[Log]) -> Say {
        let mut say = Say::default();
        let honest = self.honest();
        for (post, log) in self.posts.iter().zip(logs) {
            say.begin(post.number);
            (post.script.judge)(&post.view(log, honest), &mut say);
        }
        say.begin(0);
        together(logs, &mut say);
        say
    }

    fn findings(&self, say: &Say, logs: &[Log]) -> Vec<Finding> {
        let named = |id: &str| {
            self.settings.only.is_empty()
                || self.settings.only.iter().any(|only| only.eq_ignore_ascii_case(id))
        };
        let probed: BTreeSet<&str> =
            looks().iter().filter(|look| look.way == Way::Probed).map(|look| look.id).collect();
        let mut findings = Vec::new();
        for clause in CLAUSES.iter().filter(|clause| probed.contains(clause.id) && named(clause.id))
        {
            let (verdict, words) = match say.verdict(clause.id) {
                Some((verdict, words)) => (verdict, words),
                None => (Verdict::Inconclusive, Vec::new()),
            };
            let says: Vec<&str> = words.iter().map(|word| word.says.as_str()).collect();
            let says = if says.is_empty() {
                "nothing that was seen decides it".to_owned()
            } else {
                says.join("; ")
            };
            let scripts: BTreeSet<usize> = words.iter().map(|word| word.script).collect();
            let shown = scripts.iter().filter_map(|number| logs.get(*number)).take(MOST_SHOWN);
            let mut evidence = Evidence::says(says);
            for log in shown {
                evidence.passages.extend(log.passages.iter().take(MOST_PASSAGES).cloned());
                evidence.keys.extend(keys(log));
            }
            findings.push(Finding {
                id: clause.id.to_owned(),
                rfc: clause.rfc.to_owned(),
                level: clause.level,
                verdict,
                evidence,
            });
        }
        findings
    }
}

fn keys(log: &Log) -> Vec<SessionKeys> {
    log.sessions.iter().filter_map(|session| session.keys.as_ref()).map(SessionKeys::from).collect()
}

/// What is seen only by looking at all addresses together.
fn together(logs: &[Log], say: &mut Say) {
    let all: Vec<(usize, &Question)> = logs
        .iter()
        .enumerate()
        .flat_map(|(number, log)| log.questions.iter().map(move |question| (number, question)))
        .collect();
    if all.is_empty() {
        for id in ["NC-27", "NC-32", "PR-01", "PR-02"] {
            say.unclear(id, "no NTP packet came to any address");
        }
        return;
    }
    let count = all.len();
    let plain = all.iter().filter(|(_, question)| question.octets.len() < 76).count();
    say.check(
        "NC-27",
        plain == 0,
        format!(
            "all {count} questions have fields of NTS, those to servers without good keys included"
        ),
        format!("{plain} of {count} questions are plain NTP"),
    );
    let strays = all
        .iter()
        .filter(|(number, question)| question.cookie.is_some_and(|cookie| cookie.script != *number))
        .count();
    say.check(
        "NC-32",
        strays == 0,
        format!("no cookie of another server in {count} questions to {} servers", logs.len()),
        format!("{strays} of {count} questions have a cookie of another server"),
    );
    let mut users: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
    for (number, question) in &all {
        users.entry(question.from.port()).or_default().insert(*number);
    }
    let ports: Vec<u16> = users.keys().copied().collect();
    let associations = all.iter().map(|(number, _)| *number).collect::<BTreeSet<_>>().len();
    let widest = ports.last().zip(ports.first()).map_or(0, |(last, first)| last - first);
    let in_steps = ports.windows(2).filter(|pair| pair[1] - pair[0] == 1).count();
    let is_spread =
        ports.len() >= associations.min(10) && widest > 1000 && in_steps * 3 < ports.len().max(3);
    let says = format!(
        "{count} questions to {associations} servers from {} ports, {widest} apart at most",
        ports.len()
    );
    if associations < 4 {
        say.unclear("PR-01", format!("{says}: too few"));
        say.unclear("PR-02", format!("{says}: too few"));
        return;
    }
    say.check(
        "PR-01",
        is_spread && !ports.contains(&123),
        says.clone(),
        format!("{says}: not random"),
    );
    let shared = users.values().filter(|users| users.len() > 1).count();
    // Random ports meet by chance: 300 of 28 000 do so once or twice.
    let by_chance = 2 + count * count / 20_000;
    let says = format!("{shared} of {} ports were used for more than one server", ports.len());
    say.check("PR-02", shared <= by_chance, says.clone(), says);
}

/// What is done about each clause that binds clients, in the order of the table.
#[must_use]
pub fn looks() -> Vec<Look> {
    let probed = CLAUSES.iter().filter_map(|clause| {
        let scripts: Vec<&Script> =
            SCRIPTS.iter().filter(|script| script.clauses.contains(&clause.id)).collect();
        let (sent, expected) = match scripts.first() {
            Some(script) => (script.does, clause.text),
            None if TOGETHER.contains(&clause.id) => ("what all scripts send", clause.text),
            None => return None,
        };
        Some(Look { id: clause.id, way: Way::Probed, sent, expected })
    });
    probed.chain(unprobed::LOOKS.iter().copied()).collect()
}

fn not_probed() -> Vec<Unprobed> {
    let mut all: Vec<Unprobed> = unprobed::LOOKS
        .iter()
        .filter_map(|look| {
            let why = match look.way {
                Way::Inside(test) => format!("inside: {test}"),
                Way::Review(why) => format!("review: {why}"),
                Way::Probed | Way::Deep => return None,
            };
            let clause = Clause::find(look.id)?;
            Some(Unprobed {
                id: clause.id.to_owned(),
                rfc: clause.rfc.to_owned(),
                level: clause.level,
                why,
            })
        })
        .collect();
    all.sort_by_key(|unprobed| CLAUSES.iter().position(|clause| clause.id == unprobed.id));
    all
}

/// The script that silence elsewhere is set beside.
pub const HONEST: &str = "honest";
/// Clauses that are judged over all addresses.
const TOGETHER: [&str; 4] = ["NC-27", "NC-32", "PR-01", "PR-02"];
/// Scripts whose packets are shown with a finding.
const MOST_SHOWN: usize = 4;
/// Packets of each that are shown.
const MOST_PASSAGES: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clause_that_binds_clients_is_looked_at_in_one_way() {
        let looks = looks();
        let mut wrong = Vec::new();
        for clause in CLAUSES {
            let count = looks.iter().filter(|look| look.id == clause.id).count();
            if count != usize::from(clause.target.binds(Side::Client)) {
                wrong.push((clause.id, count));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(looks.iter().all(|look| Clause::find(look.id).is_some()));
    }

    #[test]
    fn every_script_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = SCRIPTS.iter().map(|script| script.name).collect();
        assert_eq!(names.len(), SCRIPTS.len());
        assert_eq!(SCRIPTS[0].name, HONEST);
    }

    #[test]
    fn addresses_follow_one_another_and_end() {
        let check = |first: &str, number: usize, expected: Option<&str>| {
            let settings = Settings::new(first.parse().expect("an address"));
            assert_eq!(
                settings.address(number),
                expected.map(|address| address.parse().expect("an address"))
            );
        };
        check("127.0.0.11", 0, Some("127.0.0.11"));
        check("127.0.0.250", 10, Some("127.0.1.4"));
        check("255.255.255.255", 1, None);
        check("2001:db8::ffff", 1, Some("2001:db8::1:0"));
    }

    #[test]
    fn some_scripts_are_chosen_by_their_clauses_beside_the_honest_one() {
        let settings = Settings {
            only: vec!["ke-52".to_owned()],
            ..Settings::new(Ipv4Addr::LOCALHOST.into())
        };
        let names: Vec<&str> = settings.scripts().iter().map(|script| script.name).collect();
        assert_eq!(names, ["honest", "no cookies"]);
    }
}
