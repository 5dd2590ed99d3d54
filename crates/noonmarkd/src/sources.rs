//! The role that asks the sources of time: [`noonmark_client::Runner`] between the launcher, the warden and the network.
//!
//! It reads what servers answer and decides what is to be done to the clock, which the warden does or refuses. What it knows it shows
//! in a page ([`report`]).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use noonmark_client::{
    Keep, Outlet, Runner, RunnerSettings, SourceEvent, SourceStatus, Sources, Wanted,
};
use noonmark_clock::guard::Facts;
use noonmark_clock::leap::{self, Announcement};
use noonmark_clock::{
    Adjusted, Adjustment, ClockState, Keeper, Memory, NotAdjusted, SourceId, SourceReport,
    SourceState,
};
use noonmark_config::{Settings, Source};
use noonmark_nts::{Aead, KeRequest};
use noonmark_os::page::StatePage;
use noonmark_os::random::RandomPool;
use noonmark_os::sandbox::resolver;
use noonmark_os::{clock, pair, sealed};
use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Frequency, Span, UnixTime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::confinement::Kept;
use crate::exit::{Failure, Status};
use crate::link::{Incoming, Link, LinkError};
use crate::message::{Answer, Message, Purpose, Standing, Text, Welcome, Wish};
use crate::role::Role;
use crate::station::{Ending, Station};

pub(crate) mod authorities;
mod changes;
pub mod report;
pub mod specs;
pub(crate) mod view;

use authorities::Authorities;
use changes::Changes;
use report::REPORT_WORDS;
use specs::Trust;

/// Asks until told to stop.
///
/// # Errors
/// [`Ending::Stopped`], or why it cannot go on.
pub fn run(station: &mut Station) -> Result<(), Ending> {
    station.show_pulse(0)?;
    resolver::load_libraries();
    let files = resolver::Files::find();
    station.confine(&Kept { resolver: Some(&files), ..Kept::default() })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::while_doing(Status::System, "the runtime"))?;
    let result = runtime.block_on(work(station, files));
    // The system's resolver may still be busy with a name nobody waits for.
    runtime.shutdown_background();
    result
}

async fn work(station: &mut Station, files: resolver::Files) -> Result<(), Ending> {
    let mut authorities = Authorities::default();
    let first = loop {
        let incoming = station.wait()?;
        if let Some(partner) = heard(station, incoming, &mut authorities)? {
            break partner;
        }
    };
    let (welcome, keys, partner) = greeting(station, first, &mut authorities)?;
    let trust = authorities.trust(&station.settings)?;
    let mut asker = Asker::new(station, partner, &welcome, keys, trust)?;
    asker.authorities = authorities;
    asker.files = Some(files);
    station.tell(&Message::SourcesPage, &[asker.page.descriptor()])?;
    asker.show(station)?;
    station.ready()?;
    let ending = asker.serve(station).await;
    if matches!(ending, Err(Ending::Stopped)) {
        asker.leave();
    }
    ending
}

/// Takes what the launcher says before there is anything to ask with: another configuration, or the pair with the warden.
fn heard(
    station: &mut Station,
    incoming: Incoming,
    authorities: &mut Authorities,
) -> Result<Option<Link>, Ending> {
    match incoming {
        Incoming { message: Message::Partner, descriptors } => Ok(Some(partner(descriptors)?)),
        Incoming { message: Message::Configure { generation, .. }, descriptors } => {
            station.reconfigure(generation, descriptors.first())?;
            Ok(None)
        }
        Incoming { message: Message::Authorities, descriptors } => {
            *authorities = handed_over(&descriptors)?;
            Ok(None)
        }
        Incoming { message, .. } => Err(Ending::unexpected(&message)),
    }
}

/// Hears how the clock runs. The warden says so first of all; one that is gone has a successor, which the launcher tells of.
fn greeting(
    station: &mut Station,
    mut link: Link,
    authorities: &mut Authorities,
) -> Result<(Welcome, Option<OwnedFd>, Link), Ending> {
    let mut keys = None;
    loop {
        let heard = station.sleep(&[link.as_fd()], Duration::from_secs(1))?;
        while let Some(incoming) = station.poll()? {
            link = self::heard(station, incoming, authorities)?.unwrap_or(link);
        }
        if heard != [true] {
            continue;
        }
        match link.receive(false) {
            Ok(Some(Incoming { message: Message::ClientKeys, descriptors })) => {
                keys = descriptors.into_iter().next();
            }
            Ok(Some(Incoming { message: Message::Welcome(welcome), .. })) => {
                return Ok((welcome, keys, link));
            }
            Ok(Some(Incoming { message, .. })) => return Err(Ending::unexpected(&message)),
            Ok(None) => {}
            // Whatever is wrong with it: without a warden there is nothing to do but wait for the next.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn partner(descriptors: Vec<OwnedFd>) -> Result<Link, Failure> {
    let end = descriptors.into_iter().next();
    let end = end.ok_or_else(|| Failure::new(Status::Internal, "a partner without descriptor"))?;
    Ok(Link::new(pair::Endpoint::from_descriptor(end)))
}

fn handed_over(descriptors: &[OwnedFd]) -> Result<Authorities, Failure> {
    let file = descriptors.first();
    Authorities::open(
        file.ok_or_else(|| Failure::new(Status::Internal, "authorities without descriptor"))?,
    )
}

/// Everything that asks the sources of `settings`, with what is remembered from before.
///
/// # Errors
/// [`Status::Configuration`] for a file of authorities that cannot be used, [`Status::System`] for what the kernel refuses.
pub(crate) fn open(
    settings: &Settings,
    memory: Option<Memory>,
    floor: UnixTime,
    keys: Option<OwnedFd>,
    trust: Trust,
) -> Result<Runner, Failure> {
    let mut pool =
        RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
    let now = clock::reading();
    let keeper = Keeper::new(specs::keeper_settings(&settings.clock), memory, now);
    let random = Box::new(move |out: &mut [u8]| pool.fill(out));
    let mut sources = Sources::new(specs::specs(settings), keeper, clock::precision(), random, now);
    sources.set_orphan_stratum(specs::orphan_stratum(settings), now);
    if let Some(keys) = keys {
        match sealed::read(keys.as_fd(), LONGEST_KEYS) {
            Ok(octets) => {
                let restored = sources.restore_keys(&octets, now);
                tracing::info!(restored, "NTS keys and cookies of before");
            }
            Err(error) => tracing::warn!(%error, "NTS keys of before cannot be read"),
        }
    }
    let runner_settings = RunnerSettings {
        tls: trust.system,
        request: KeRequest::offering(&AEADS),
        time_limit: ESTABLISH_WITHIN,
        outlet: Outlet::default(),
    };
    let mut runner = Runner::new(sources, runner_settings)
        .map_err(Failure::while_doing(Status::System, "watching the clock"))?;
    runner.set_own_tls(trust.own);
    runner.set_certificate_floor(Some(floor));
    Ok(runner)
}

/// The sources, and what is under way with the warden.
struct Asker {
    runner: Runner,
    /// Whom key establishment trusts.
    authorities: Authorities,
    /// Where the resolver reads, as it was when this process gave up everything else.
    files: Option<resolver::Files>,
    partner: Option<Waiting<Link>>,
    page: StatePage,
    purpose: Purpose,
    /// The number of the last wish, and whether it was answered.
    wishes: u32,
    is_open: bool,
    refusals: u32,
    refused: Text,
    /// What was said of clock and sources in the log.
    changes: Changes,
    /// What answers call the last source followed, and our stratum behind it.
    followed: Option<(ReferenceId, u8)>,
    /// Why keys were not established, or names not found.
    notes: BTreeMap<SourceId, Text>,
    names: BTreeMap<String, Text>,
}

impl Asker {
    fn new(
        station: &Station,
        partner: Link,
        welcome: &Welcome,
        keys: Option<OwnedFd>,
        trust: Trust,
    ) -> Result<Self, Failure> {
        let system = |what| Failure::while_doing::<io::Error>(Status::System, what);
        let mut runner = open(&station.settings, welcome.memory, welcome.floor, keys, trust)?;
        runner.adjusted(&Ok(running(welcome)));
        Ok(Self {
            runner,
            authorities: Authorities::default(),
            files: None,
            partner: Some(Waiting::new(partner).map_err(system("the pair with the warden"))?),
            page: StatePage::new(c"noonmark-sources", REPORT_WORDS)
                .map_err(system("the page of the sources"))?,
            purpose: station.purpose,
            wishes: 0,
            is_open: false,
            refusals: 0,
            refused: Text::default(),
            changes: Changes::default(),
            followed: None,
            notes: BTreeMap::new(),
            names: BTreeMap::new(),
        })
    }

    /// Works until something ends it.
    async fn serve(&mut self, station: &mut Station) -> Result<(), Ending> {
        let launcher = station
            .link_descriptor()
            .and_then(Waiting::new)
            .map_err(Failure::while_doing(Status::System, "the pair with the launcher"))?;
        let mut tick = tokio::time::interval(SHOW_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let warden = Waiting::readable_of(self.partner.as_ref());
            tokio::select! {
                wanted = self.runner.next() => {
                    let wanted = wanted.map_err(Failure::while_doing(Status::System, "watching the clock"))?;
                    let moves_clock = matches!(wanted, Wanted::Adjust(_));
                    self.obey(wanted);
                    if moves_clock {
                        // Why it is to be moved is known to the world as soon as to the clock.
                        self.show(station)?;
                    }
                }
                heard = warden => {
                    heard.map_err(Failure::while_doing(Status::System, "the pair with the warden"))?;
                    self.hear_warden()?;
                }
                heard = launcher.readable() => {
                    heard.map_err(Failure::while_doing(Status::System, "the pair with the launcher"))?;
                    self.hear_launcher(station)?;
                }
                _ = tick.tick() => {
                    station.beat();
                    self.show(station)?;
                    self.look_at_resolver(station)?;
                }
            }
        }
    }

    /// Where names are looked up may have been replaced by a file that this process may not read: the next one may.
    fn look_at_resolver(&mut self, station: &Station) -> Result<(), Ending> {
        if self.files.as_ref().is_some_and(resolver::Files::have_moved) {
            // Once: it is told to stop, and leaves what it knows behind.
            self.files = None;
            tracing::info!("the resolver's files have been replaced; beginning anew with those");
            station.tell(&Message::Renew, &[])?;
        }
        Ok(())
    }

    fn hear_launcher(&mut self, station: &mut Station) -> Result<(), Ending> {
        while let Some(incoming) = station.poll()? {
            match incoming {
                Incoming { message: Message::Partner, descriptors } => {
                    // Nobody answers any more what the warden of before was asked.
                    self.settle(Err(NotAdjusted::Failed("the warden is gone".to_owned())));
                    let waiting = Waiting::new(partner(descriptors)?).map_err(
                        Failure::while_doing(Status::System, "the pair with the warden"),
                    )?;
                    self.partner = Some(waiting);
                }
                Incoming { message: Message::Configure { generation, .. }, descriptors } => {
                    let before = std::mem::take(&mut station.settings.sources);
                    station.reconfigure(generation, descriptors.first())?;
                    self.reconfigure(&before, station)?;
                }
                Incoming { message: Message::Authorities, descriptors } => {
                    self.authorities = handed_over(&descriptors)?;
                }
                Incoming { message, .. } => return Err(Ending::unexpected(&message)),
            }
        }
        Ok(())
    }

    /// Asks what the configuration names now. What is known of the sources that stay, and of the clock, is kept.
    fn reconfigure(&mut self, before: &[Source], station: &mut Station) -> Result<(), Ending> {
        let settings = &station.settings;
        let trust = self.authorities.trust(settings)?;
        self.runner.set_tls(trust.system);
        self.runner.set_own_tls(trust.own);
        self.runner.reconfigure(
            specs::specs(settings),
            &specs::distrusted(before, &settings.sources),
            specs::keeper_settings(&settings.clock),
            specs::orphan_stratum(settings),
        );
        tracing::info!(sources = settings.sources.len(), "asking by another configuration");
        self.show(station)?;
        station.ready()
    }

    fn hear_warden(&mut self) -> Result<(), Ending> {
        loop {
            let Some(partner) = &mut self.partner else { return Ok(()) };
            match partner.get_mut().receive(false) {
                Ok(Some(Incoming { message: Message::Answer(answer), .. })) => self.take(answer),
                Ok(Some(Incoming { message: Message::Welcome(welcome), .. })) => {
                    self.runner.adjusted(&Ok(running(&welcome)));
                }
                Ok(Some(Incoming { message: Message::Leap(planned), .. })) => {
                    self.runner.plan_leap(planned.leap, planned.handling);
                }
                // Of before; what is under way here is newer.
                Ok(Some(Incoming { message: Message::ClientKeys, .. })) => {}
                Ok(Some(Incoming { message, .. })) => return Err(Ending::unexpected(&message)),
                Ok(None) => return Ok(()),
                Err(error) => {
                    if !matches!(error, LinkError::Gone) {
                        tracing::error!(%error, "the warden cannot be understood");
                    }
                    self.partner = None;
                    self.settle(Err(NotAdjusted::Failed("the warden is gone".to_owned())));
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, answer: Answer) {
        if let Err(NotAdjusted::Forbidden(reason)) = &answer.outcome {
            self.refusals = self.refusals.saturating_add(1);
            self.refused = Text::new(reason);
        }
        if answer.number == self.wishes && self.is_open {
            self.settle(answer.outcome);
        } else if answer.number == 0 {
            // What the warden did by itself: the end of a slew, for instance.
            self.runner.adjusted(&answer.outcome);
        }
    }

    /// The wish that is open has come to this.
    fn settle(&mut self, outcome: Result<Adjusted, NotAdjusted>) {
        if std::mem::take(&mut self.is_open) {
            self.runner.adjusted(&outcome);
        }
    }

    fn obey(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Adjust(adjustment) => self.wish(adjustment),
            Wanted::Told(event) => self.note(&event),
            Wanted::Established(id, established) => {
                self.notes.remove(&id);
                let server = established.ntp_server;
                tracing::debug!(?id, %server, "keys established");
            }
            Wanted::NotEstablished(id, error) => {
                tracing::warn!(source = id.0, %error, "key establishment failed; it is tried again");
                self.notes.insert(id, Text::new(&error.to_string()));
            }
            Wanted::Unresolved(error) => {
                self.names.insert(error.name.clone(), Text::new(&error.to_string()));
            }
        }
    }

    fn wish(&mut self, adjustment: Adjustment) {
        let now = clock::reading();
        let keeper = self.runner.sources().keeper();
        let tracking = keeper.tracking(now);
        let deadline = Keep::deadline(keeper);
        let lasts = deadline.since(now.mono);
        let is_for_a_while = matches!(adjustment, Adjustment::Rate(_)) && lasts < LONGEST_HOLD;
        self.wishes = self.wishes.wrapping_add(1).max(1);
        let wish = Wish {
            number: self.wishes,
            adjustment,
            facts: Facts { agreeing: agreeing(keeper), updates: keeper.updates_since_step() },
            then: is_for_a_while.then_some((lasts + GRACE, tracking.frequency)),
        };
        self.is_open = true;
        if let Err(reason) = self.say(&Message::Wish(wish)) {
            self.settle(Err(NotAdjusted::Failed(reason)));
        }
    }

    fn say(&self, message: &Message) -> Result<(), String> {
        let partner = self.partner.as_ref().ok_or_else(|| "the warden is gone".to_owned())?;
        debug_assert!(message.may_be_sent_to_partner_by(Role::Sources), "{}", message.name());
        partner.get_ref().send(message, &[]).map_err(|error| format!("the warden: {error}"))
    }

    /// Logs what a person may want to know; nothing that one packet causes is at `info` or above.
    fn note(&mut self, event: &SourceEvent) {
        match event {
            SourceEvent::Added { id, name, address } => {
                self.names.remove(name);
                tracing::debug!(source = id.0, name, ?address, "source added");
            }
            SourceEvent::Removed { id, why } => {
                self.notes.remove(id);
                tracing::info!(source = id.0, %why, "source is not asked any more");
            }
            SourceEvent::Reachable(id) => {
                tracing::info!(source = id.0, address = self.address(*id), "source answers");
            }
            SourceEvent::Unreachable(id) => {
                tracing::warn!(
                    source = id.0,
                    address = self.address(*id),
                    "source does not answer"
                );
            }
            SourceEvent::Resolved { name } => {
                self.names.remove(name);
            }
            SourceEvent::Unresolved { name } => {
                tracing::warn!(name, "name has no address now; it is tried again");
            }
            SourceEvent::Loop(id) => {
                tracing::warn!(
                    source = id.0,
                    address = self.address(*id),
                    "source gets its time from us"
                );
            }
            SourceEvent::LengthFilterSuspected(id) => tracing::warn!(
                source = id.0,
                address = self.address(*id),
                "long questions go unanswered: something on the way drops NTP by its length"
            ),
            SourceEvent::Established { id, server } => {
                tracing::info!(source = id.0, %server, "NTS keys established");
            }
            SourceEvent::NotEstablished { .. }
            | SourceEvent::Refused { .. }
            | SourceEvent::Kiss { .. } => tracing::debug!(?event, "source"),
        }
    }

    fn address(&self, id: SourceId) -> String {
        self.runner.sources().address(id).map_or_else(String::new, |address| address.to_string())
    }

    /// Shows where everything stands, to observe in the page and to the warden by message.
    fn show(&mut self, station: &Station) -> Result<(), Ending> {
        let now = clock::reading();
        let sources = self.runner.sources();
        let (tracking, reports) = (sources.keeper().tracking(now), sources.keeper().sources(now));
        let statuses = sources.statuses();
        let answered = |id: SourceId| {
            statuses.iter().find(|one| one.id == Some(id)).map_or(0, |one| one.tally.measured)
        };
        self.changes.look(now.mono, tracking.state, tracking.interval, &reports, answered);
        let mut tracking = tracking;
        let address = tracking.reference.and_then(|id| sources.address(id));
        match (address, tracking.state) {
            (Some(address), _) => {
                let id = noonmark_client::reference_id_of(address.ip());
                self.followed = Some((id, tracking.stratum));
            }
            // What was followed last is still what the clock goes by.
            (None, ClockState::Holdover) => {}
            (None, _) => self.followed = None,
        }
        let (reference_id, stratum) = self.followed.unwrap_or((ReferenceId::NONE, 16));
        tracking.stratum = stratum;
        tracking.leap = leap(&statuses, &reports, &station.settings.sources, tracking.state);
        let agreeing = agreeing(sources.keeper());
        let mut report = view::report(now, &tracking, reference_id, agreeing, &statuses, &reports);
        report.clock.refusals = self.refusals;
        report.clock.refused = self.refused.clone();
        for (line, status) in report.sources.iter_mut().zip(&statuses) {
            if let Some(note) = self.why(status) {
                line.note = note;
            }
        }
        let standing = Standing {
            state: tracking.state,
            leap: tracking.leap,
            stratum: tracking.stratum,
            reference_id,
            root_delay: tracking.root_delay,
            root_dispersion: tracking.root_dispersion,
            estimated_error: tracking.offset.abs() + tracking.offset_sigma,
            as_of: clock::boot_time(),
            reference_time: tracking.last_update.map_or(now.real, |at| {
                now.real + (Span::ZERO - Span::from_duration(now.mono.since(at)))
            }),
            growth_ppb: growth(tracking.skew),
            facts: Facts { agreeing, updates: sources.keeper().updates_since_step() },
            memory: sources.keeper().memory(),
        };
        self.page.publish(&report.to_words());
        // A warden that is gone or busy hears of it the next time.
        let _ = self.say(&Message::Standing(standing));
        if self.purpose == Purpose::SetOnce && view::is_set(&tracking, self.is_open) {
            station.tell(&Message::Done, &[])?;
            self.purpose = Purpose::Serve;
        }
        Ok(())
    }

    /// Why a source has no keys or no address, or what came in place of its time.
    fn why(&self, status: &SourceStatus) -> Option<Text> {
        if let Some(reason) = &status.gave_up {
            return Some(Text::new(&reason.to_string()));
        }
        let by_number = status.id.and_then(|id| self.notes.get(&id));
        let by_name = status.address.is_none().then(|| self.names.get(&status.name)).flatten();
        let instead = || status.instead.map(|instead| Text::new(&instead.to_string()));
        by_number.or(by_name).cloned().or_else(instead)
    }

    /// Leaves the keys and cookies that are left to the warden.
    fn leave(self) {
        let Self { runner, partner, .. } = self;
        let octets = runner.into_sources().into_keys();
        let Some(partner) = partner else { return };
        let sent = sealed::seal(c"noonmark-client-keys", &octets)
            .map_err(LinkError::Io)
            .and_then(|file| partner.get_ref().send(&Message::ClientKeys, &[file.as_fd()]));
        if let Err(error) = sent {
            tracing::debug!(%error, "NTS keys and cookies are not kept");
        }
    }
}

/// How many independent sources agree with those that are followed, these included: those of one operator, behind one
/// network, or at one address are one.
pub(crate) fn agreeing(keeper: &Keeper) -> u32 {
    u32::try_from(keeper.agreeing()).unwrap_or(u32::MAX)
}

/// What most of the sources that agree announce for the end of the day, the trusted ones before others.
pub(crate) fn leap(
    statuses: &[SourceStatus],
    reports: &[SourceReport],
    sources: &[Source],
    state: ClockState,
) -> Leap {
    if state == ClockState::Unsynchronised {
        return Leap::Unsynchronised;
    }
    let agrees = |status: &&SourceStatus| {
        reports.iter().any(|report| {
            Some(report.id) == status.id
                && matches!(report.state, SourceState::Followed | SourceState::Spare)
        })
    };
    let said = |status: &SourceStatus| {
        let trusted = sources.get(status.place).is_some_and(|source| source.trust);
        status.last.map(|last| Announcement { leap: last.leap, trusted })
    };
    let said: Vec<Announcement> = statuses.iter().filter(agrees).filter_map(said).collect();
    leap::announced(&said)
}

/// How fast the error may grow while nothing is heard: three standard deviations of the frequency, and never less than RFC 5905's PHI.
fn growth(skew: Frequency) -> u32 {
    let ppb = skew.abs().as_ratio() * 3e9;
    (ppb.min(f64::from(u32::MAX)) as u32).max(noonmark_server::PHI_PPB)
}

/// The rate in effect, as an adjustment that was made.
fn running(welcome: &Welcome) -> Adjusted {
    Adjusted { adjustment: Adjustment::Rate(welcome.rate), at: welcome.at }
}

/// A descriptor as tokio waits for it.
struct Waiting<T: AsFd>(AsyncFd<Raw<T>>);

struct Raw<T>(T);

impl<T: AsFd> AsRawFd for Raw<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Waiting<T> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe; this descriptor is owned and stays the same, which is all it asks"
    )]
    fn new(inner: T) -> io::Result<Self> {
        AsyncFd::with_interest(Raw(inner), Interest::READABLE).map(Self)
    }

    /// Waits until there is something to read. Whoever reads has to read all of it.
    async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(|mut guard| guard.clear_ready())
    }

    /// The same, for ever if there is nothing to wait for.
    async fn readable_of(waiting: Option<&Self>) -> io::Result<()> {
        match waiting {
            Some(waiting) => waiting.readable().await,
            None => std::future::pending().await,
        }
    }

    fn get_ref(&self) -> &T {
        &self.0.get_ref().0
    }

    fn get_mut(&mut self) -> &mut T {
        &mut self.0.get_mut().0
    }
}

/// What is asked for, the most wanted first.
const AEADS: [Aead; 3] = [Aead::Aes128GcmSiv, Aead::SivCmac256, Aead::SivCmac512];
/// For one key establishment, names included.
const ESTABLISH_WITHIN: Duration = Duration::from_secs(10);
/// How often the state is shown, and a sign of life given.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How much later than asked the warden ends a slew by itself: usually it is told to in time.
const GRACE: Duration = Duration::from_millis(500);
/// Slews are looked at again sooner than this.
const LONGEST_HOLD: Duration = Duration::from_secs(86_400);
/// Keys and cookies of 64 servers are less.
const LONGEST_KEYS: usize = 1 << 20;
