//! The role that owns what lasts and what is dangerous: the state folder, the secret of the key ring, and the machine's clock, which nobody
//! else can touch.
//!
//! It reads nothing from the network. Of the key ring it hands out the keys of single epochs, never the secret they come from. What
//! the role `sources` wants done to the clock it does only as far as the guard permits it ([`helm`]), and what answers say of the
//! clock is its to decide ([`served`]).

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use noonmark_config::Settings;
use noonmark_os::generation::{KernelLog, Sign, Witness};
use noonmark_os::page::{StatePage, StateReader};
use noonmark_os::random::RandomPool;
use noonmark_os::store::{DiskFolder, LockError, Store};
use noonmark_os::{clock, pair, sealed};
use noonmark_packet::Leap;
use noonmark_server::CLOCK_WORDS;
use noonmark_server::fast_path::FastClock;
use noonmark_units::{Mono, Span};

use crate::confinement::{self, Kept};
use crate::exit::{Failure, Status};
use crate::launcher::{PREDECESSOR_LEAVES_WITHIN, PREDECESSOR_LOOK_EVERY};
use crate::link::{Incoming, Link, LinkError};
use crate::message::{Answer, Event, FastClockRead, Happening, Message, PlannedLeap, Text};
use crate::role::Role;
use crate::station::{Ending, Station};

pub(crate) mod bequest;
mod helm;
#[cfg(test)]
mod hostile;
mod kept;
mod leap;
mod machine;
mod readback;
mod ring;
mod served;

use bequest::{BEQUEST_WORDS, Bequest};
use helm::Helm;
pub(crate) use helm::RELEASED;
use kept::CLIENT_KEYS;
use leap::{Leaps, Today};
use machine::ThisMachine;
use ring::Ring;
use served::Served;

/// Works until told to stop.
///
/// # Errors
/// [`Ending::Stopped`], or why it cannot go on.
pub fn run(station: &mut Station) -> Result<(), Ending> {
    // Before the state folder is opened: a disk that does not answer is what a warden hangs at.
    station.show_pulse(0)?;
    let folder = open_folder(&station.settings)?;
    let mut witness = Witness::open();
    station.confine(&Kept { folder: Some(folder.descriptor()), ..Kept::default() })?;
    let left = bequest(station, &mut witness)?;
    let mut warden = Warden::new(station, folder, left, witness)?;
    station.tell(&Message::ClockPage, &[warden.page.descriptor()])?;
    station.tell(&Message::Bequest, &[warden.notes.descriptor()])?;
    if let Some(ring) = &warden.ring {
        station.tell(&Message::CookieKeys(ring.keys()), &[])?;
    }
    station.ready()?;
    let ending = warden.serve(station);
    warden.leave();
    ending
}

/// What the warden before knew of the clock, if there was one and it could leave it behind whole. The witness gets what it cannot open.
fn bequest(station: &mut Station, witness: &mut Witness) -> Result<Option<Bequest>, Ending> {
    let descriptors = loop {
        let Incoming { message, descriptors } = station.wait()?;
        match message {
            Message::KernelLog => {
                witness.hear(descriptors.into_iter().next().map(KernelLog::from));
            }
            Message::Bequest => break descriptors,
            _ => return Err(Failure::new(Status::Internal, "no bequest before all else").into()),
        }
    };
    let mut words = [0; BEQUEST_WORDS];
    let page = descriptors.first().map(|page| StateReader::open(page.as_fd()));
    let is_read = matches!(page, Some(Ok(page)) if page.read(&mut words));
    Ok(Bequest::from_words(&words).unwrap_or_default().filter(|_| is_read))
}

struct Warden {
    store: Store<DiskFolder>,
    ring: Option<Ring>,
    /// The clock, where the configuration asks sources.
    helm: Option<Helm>,
    served: Served,
    leaps: Leaps,
    /// What was last found, and what of it the role that asks the sources was told.
    today: Today,
    told: Option<PlannedLeap>,
    page: StatePage,
    /// The same for a program that answers in the kernel, with the clock it reads.
    fast: Option<(FastClock, clock::Timescale)>,
    /// The same and more, for the next warden and for observe.
    notes: StatePage,
    sources: Option<Link>,
    /// NTS keys of before, for the first who asks.
    client_keys: Option<OwnedFd>,
    /// Who says that this is another machine.
    witness: Witness,
    /// What was last logged of other hands on the clock, and when.
    meddled: Option<(String, Mono)>,
    next_look: Mono,
}

impl Warden {
    fn new(
        station: &Station,
        folder: DiskFolder,
        left: Option<Bequest>,
        witness: Witness,
    ) -> Result<Self, Failure> {
        tracing::debug!(
            witnesses = witness.names().join(", "),
            "a copy of this machine is noticed by these, beside its clocks"
        );
        let settings = &station.settings;
        if let Some(mode) = folder.open_to_others() {
            let (folder, mode) = (folder.path().display(), format!("{mode:04o}"));
            tracing::warn!(%folder, mode, "others may look into the state folder; 0700 is better (chmod go=)");
        }
        let mut store = Store::new(folder);
        let pool =
            RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
        let ring =
            settings.nts.is_some().then(|| Ring::open(&mut store, pool, settings)).transpose()?;
        let helm = settings
            .asks_sources()
            .then(|| {
                let machine = Box::new(ThisMachine::open(settings.clock.mode)?);
                Helm::take(&settings.clock, station.run, machine, &mut store)
            })
            .transpose()?;
        let client_keys = helm.as_ref().and_then(|_| take_client_keys(&mut store));
        let page = |name, words| {
            StatePage::new(name, words)
                .map_err(Failure::while_doing(Status::System, "the page of the clock"))
        };
        let served = Served::new(settings, clock::precision(), left, clock::boot_time());
        let mut leaps = Leaps::new(settings);
        let today = leaps.look(Leap::Unsynchronised, clock::realtime(), clock::boot_time());
        let mut warden = Self {
            store,
            ring,
            helm,
            served,
            leaps,
            today,
            told: None,
            page: page(c"noonmark-clock", CLOCK_WORDS)?,
            fast: None,
            notes: page(c"noonmark-bequest", BEQUEST_WORDS)?,
            sources: None,
            client_keys,
            witness,
            meddled: None,
            next_look: Mono(0),
        };
        warden.show();
        Ok(warden)
    }

    fn serve(&mut self, station: &mut Station) -> Result<(), Ending> {
        loop {
            let now = clock::monotonic();
            let deadline = self.helm.as_ref().map_or(Mono::NEVER, Helm::deadline);
            let leap = Leaps::deadline(&self.today, clock::realtime(), now);
            let until = deadline.min(self.next_look).min(leap).since(now).min(LOOK_EVERY);
            let jumps = self.helm.as_ref().and_then(Helm::jumps);
            let link = self.sources.as_ref().map(AsFd::as_fd);
            let watched = link.into_iter().chain(jumps).chain(self.witness.descriptors());
            let heard = station.sleep(&watched.collect::<Vec<_>>(), until)?;
            let is_spoken_to = self.sources.is_some() && heard.first() == Some(&true);
            // Before anything else is done with what was known.
            if let Some(sign) = self.witness.look() {
                self.begin_anew(sign, station)?;
            }
            // Before anybody asks for a step because of it.
            self.look_for_jumps(station)?;
            while let Some(Incoming { message, descriptors }) = station.poll()? {
                match message {
                    Message::Partner => self.meet(descriptors)?,
                    Message::FastClock(FastClockRead(timescale)) => {
                        self.speak_to_the_kernel(&descriptors, timescale)?;
                    }
                    message => return Err(Ending::unexpected(&message)),
                }
            }
            if is_spoken_to {
                self.hear();
            }
            let now = clock::monotonic();
            if deadline <= now {
                self.end_what_is_over();
            }
            if leap <= now {
                self.pass_leap();
            }
            if self.next_look <= now {
                self.next_look = now + LOOK_EVERY;
                self.look(station)?;
            }
        }
    }

    /// This is another machine than before. Whoever has random octets or unused cookies of before is ended by the launcher, and nothing
    /// that was known of the clock counts.
    fn begin_anew(&mut self, sign: Sign, station: &Station) -> Result<(), Ending> {
        let facts = sign.to_string();
        tracing::warn!(
            facts,
            "this machine is not the one it was: cookies and what was known of the clock are dropped, random numbers are drawn anew"
        );
        // Its last word would be of before, and so would the cookies it leaves.
        self.lose();
        self.client_keys = None;
        if let Some(ring) = &mut self.ring {
            let pool =
                RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
            ring.draw_from(pool);
        }
        self.served.forget();
        if let Some(helm) = &mut self.helm {
            helm.handle_restored();
        }
        self.show();
        happened(station, Event::Restored, &facts)
    }

    /// Looks whether somebody else stepped the clock.
    fn look_for_jumps(&mut self, station: &Station) -> Result<(), Ending> {
        let seen = self.helm.as_mut().and_then(Helm::look_for_jumps);
        if seen.is_some() {
            self.served.count_anew();
            // Who answers in the kernel may not see by itself that the clock was set.
            self.show();
        }
        match seen.filter(|seen| seen.stepped != Span::ZERO) {
            Some(seen) => {
                let facts = format!("the clock was set by {}", seen.stepped);
                happened(station, Event::Meddled, &facts)
            }
            None => Ok(()),
        }
    }

    /// Looks whether somebody else steers the clock.
    fn look_for_other_hands(&mut self, station: &Station) -> Result<(), Ending> {
        let Some(helm) = &mut self.helm else { return Ok(()) };
        let differences = helm.read_back(&mut self.store);
        if differences.is_empty() {
            return Ok(());
        }
        let rate = helm.rate();
        let facts = differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let now = clock::monotonic();
        let is_old = |(said, at): &(String, Mono)| *said == facts && now.since(*at) < SAID_EVERY;
        if !self.meddled.as_ref().is_some_and(is_old) {
            tracing::warn!(facts, "somebody else steers the clock; it is put right");
            self.meddled = Some((facts.clone(), now));
        }
        self.say(&Message::Answer(Answer { number: 0, outcome: Ok(rate) }), None);
        happened(station, Event::Meddled, &facts)
    }

    /// What is done every second.
    fn look(&mut self, station: &Station) -> Result<(), Ending> {
        self.look_for_other_hands(station)?;
        self.show();
        if let Some(ring) = &mut self.ring
            && ring.turn(&mut self.store, clock::realtime())
        {
            station.tell(&Message::CookieKeys(ring.keys()), &[])?;
        }
        if let Some(helm) = &mut self.helm {
            helm.save_at_times(&mut self.store, clock::monotonic());
        }
        Ok(())
    }

    /// The instant of a leap second is here, by the clock as it goes on counting.
    fn pass_leap(&mut self) {
        if let Some(leap) = self.leaps.step_due(clock::realtime()) {
            self.leaps.pass(leap);
            if let Some(helm) = &mut self.helm {
                helm.step_for(leap, self.served.facts(), &mut self.store);
            }
        }
        self.show();
    }

    /// Says in the page, and to the kernel, what is known of the clock.
    fn show(&mut self) {
        let now = clock::boot_time();
        match self.served.update(now, clock::realtime()) {
            Some(true) if self.helm.is_none() => {
                tracing::info!(
                    "no source is configured: the clock is served as it stands, at local-stratum"
                );
            }
            Some(true) => {
                let dispersion = self.served.state(now, Leap::None).root_dispersion.to_span();
                tracing::warn!(%dispersion, "no source is usable; the clock is served as it stands, at local-stratum");
            }
            Some(false) => tracing::info!("the clock is not served at local-stratum any more"),
            None => {}
        }
        let (real, announced) = (clock::realtime(), self.served.announced(now));
        self.today = self.leaps.look(announced, real, clock::boot_time());
        let state = self.today.dress(self.served.state(now, self.today.announced()));
        self.page.publish(&state.to_words());
        if let Some((fast, timescale)) = &mut self.fast {
            fast.publish(&state, timescale.bearings());
        }
        self.notes.publish(&self.served.bequest().to_words());
        if let Some(helm) = &mut self.helm {
            let tai_offset = self.leaps.tai_offset(real);
            let status = self.served.kernel_status(now, self.today.kernel(), tai_offset);
            helm.tell_kernel(status, self.served.facts(), &mut self.store);
        }
        self.tell_leap();
    }

    /// Says to the role that asks the sources what leap second comes, when that is news to it.
    fn tell_leap(&mut self) {
        let plan = self.today.plan();
        if self.sources.is_some() && self.told != Some(plan) {
            self.told = Some(plan);
            self.say(&Message::Leap(plan), None);
        }
    }

    /// From now on a program in the kernel is told how the clock stands.
    fn speak_to_the_kernel(
        &mut self,
        descriptors: &[OwnedFd],
        timescale: clock::Timescale,
    ) -> Result<(), Failure> {
        let page = descriptors.first().ok_or_else(|| {
            Failure::new(Status::Internal, "a page of the fast path without descriptor")
        })?;
        let fast = FastClock::open(page.as_fd())
            .map_err(Failure::while_doing(Status::System, "the clock of the fast path"))?;
        self.fast = Some((fast, timescale));
        self.show();
        Ok(())
    }

    /// A new process asks the sources; whatever the one before had under way is over.
    fn meet(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
        let Some(end) = descriptors.into_iter().next() else {
            return Err(Failure::new(Status::Internal, "a partner without descriptor"));
        };
        let Some(helm) = &mut self.helm else { return Ok(()) };
        helm.handle_loss(&mut self.store);
        let welcome = helm.welcome();
        self.sources = Some(Link::new(pair::Endpoint::from_descriptor(end)));
        if let Some(keys) = self.client_keys.take() {
            self.say(&Message::ClientKeys, Some(&keys));
        }
        self.say(&Message::Welcome(welcome), None);
        self.told = None;
        self.tell_leap();
        Ok(())
    }

    /// Takes what the role that asks the sources says, a bounded part of it at a time.
    fn hear(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            let Some(link) = &mut self.sources else { return };
            match link.receive(false) {
                Ok(Some(Incoming { message, descriptors })) => {
                    if !message.may_be_sent_to_partner_by(Role::Sources) {
                        tracing::error!(
                            message = message.name(),
                            "sources says what is not its to say"
                        );
                        return self.lose();
                    }
                    self.take(message, descriptors);
                }
                Ok(None) => return,
                Err(LinkError::Gone) => return self.lose(),
                Err(error) => {
                    tracing::error!(%error, "sources cannot be understood");
                    return self.lose();
                }
            }
        }
    }

    fn take(&mut self, message: Message, descriptors: Vec<OwnedFd>) {
        let Some(helm) = &mut self.helm else { return };
        match message {
            Message::Wish(wish) => {
                let answer = helm.grant(&wish, &mut self.store);
                if let Some(done) = helm.take_unasked() {
                    self.say(&Message::Answer(Answer { number: 0, outcome: Ok(done) }), None);
                }
                self.say(&Message::Answer(answer), None);
            }
            Message::Standing(standing) => {
                helm.learn(&standing);
                let was_synchronised = self.served.is_synchronised(clock::boot_time());
                self.served.learn(standing, clock::boot_time());
                // The first good news are for the world at once, the rest comes every second.
                if was_synchronised != self.served.is_synchronised(clock::boot_time()) {
                    self.show();
                }
            }
            Message::ClientKeys => {
                let keys = descriptors.first().map(|file| sealed::read(file.as_fd(), LONGEST_KEYS));
                let Some(Ok(keys)) = keys else { return };
                if let Err(error) = CLIENT_KEYS.leave(&mut self.store, &keys) {
                    tracing::warn!(%error, "NTS keys and cookies are not kept");
                }
            }
            _ => {}
        }
    }

    /// Nobody asks the sources at the moment: what they were working off ends, and what is known grows old.
    fn lose(&mut self) {
        self.sources = None;
        if let Some(helm) = &mut self.helm {
            helm.handle_loss(&mut self.store);
        }
    }

    /// The end of a slew, or of what the guard allows of it.
    fn end_what_is_over(&mut self) {
        let Some(helm) = &mut self.helm else { return };
        if let Some(done) = helm.handle_timeout(&mut self.store) {
            self.say(&Message::Answer(Answer { number: 0, outcome: Ok(done) }), None);
        }
    }

    fn say(&mut self, message: &Message, descriptor: Option<&OwnedFd>) {
        let Some(link) = &self.sources else { return };
        let descriptors: Vec<_> = descriptor.iter().map(|file| file.as_fd()).collect();
        if let Err(error) = link.send(message, &descriptors) {
            tracing::debug!(%error, message = message.name(), "sources does not listen");
            self.lose();
        }
    }

    /// Leaves clock and folder as the next one wants to find them.
    fn leave(&mut self) {
        // Whoever asked the sources leaves at the same time, and has cookies to leave behind.
        let deadline = clock::monotonic() + PARTNER_LEAVES_WITHIN;
        while let Some(link) = &self.sources
            && clock::monotonic() < deadline
        {
            // If the kernel refuses to wait, it is looked at once more and no longer.
            let left = deadline.since(clock::monotonic());
            let _ = noonmark_os::poll::readable(&[link.as_fd()], Some(left));
            self.hear();
        }
        if let Some(helm) = &mut self.helm {
            helm.leave(&mut self.store);
        }
    }
}

/// Lets the world know.
fn happened(station: &Station, event: Event, facts: &str) -> Result<(), Ending> {
    let (time, at) = (clock::realtime(), clock::monotonic());
    let happening = Happening { event, count: 0, time, at, facts: Text::new(facts) };
    station.tell(&Message::Happened(happening), &[])
}

/// Takes the stored keys and cookies out of the store: a cookie is used once, whatever happens.
fn take_client_keys(store: &mut Store<DiskFolder>) -> Option<OwnedFd> {
    let taken = CLIENT_KEYS.take(store);
    match taken {
        Ok(octets) => sealed::seal(c"noonmark-client-keys", &octets?).ok(),
        Err(error) => {
            tracing::warn!(%error, "NTS keys of before are not used");
            None
        }
    }
}

/// Opens the state folder for this daemon alone, and makes it if only the last part of its path is missing. It becomes the folder of
/// the user that this process is going to be.
fn open_folder(settings: &Settings) -> Result<DiskFolder, Failure> {
    let path = &settings.state.folder;
    let keeper = confinement::identity(settings)?;
    // An existing folder, and one that cannot be made, are both told apart by opening it.
    let _ = std::fs::DirBuilder::new().mode(0o700).create(path);
    let deadline = clock::monotonic() + PREDECESSOR_LEAVES_WITHIN;
    let opened = loop {
        match DiskFolder::open_for(path, keeper) {
            // The warden of a launcher that was killed may not quite have left yet.
            Err(LockError::Busy { .. }) if clock::monotonic() < deadline => {
                std::thread::sleep(PREDECESSOR_LOOK_EVERY);
            }
            result => break result,
        }
    };
    opened.map_err(|error| {
        let status = match &error {
            LockError::Busy { .. } => Status::AlreadyRunning,
            LockError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Status::Permission
            }
            LockError::Exposed { .. } | LockError::Io { .. } => Status::State,
        };
        let remedy = if status == Status::Permission {
            "; who runs noonmarkd must own it, or be able to make it (`install -d -m 0700 -o USER FOLDER`), or name another place with [state] folder"
        } else {
            ""
        };
        Failure::new(status, format_args!("state folder {error}{remedy}"))
    })
}

const LONGEST_KEYS: usize = 1 << 20;
/// How often the clock page is renewed and the ring is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the same is said of other hands on the clock.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// Messages taken before something else has its turn.
const MOST_AT_ONCE: u32 = 16;
/// How long the role that asks the sources may take to leave its cookies.
const PARTNER_LEAVES_WITHIN: Duration = Duration::from_millis(500);
