//! The I/O half of [`Sources`]: sockets, names, key establishment, timers, and the watch on the clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use noonmark_clock::leap::{Handling, LeapSecond};
use noonmark_clock::{Adjusted, Adjustment, ClockState, NotAdjusted, Reading, SourceId};
use noonmark_nts::{Agreement, ClientTls, KeRequest};
use noonmark_os::clock::{self, ClockWatch};
use noonmark_os::route::{RouteWatch, Way};
use noonmark_units::{Timestamp, UnixTime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::{debug, trace};

use crate::establishment::{Established, EstablishmentError, KeServer};
use crate::reference::reference_id_of;
use crate::resolve::{Unresolved, resolve};
use crate::socket::{Outlet, QuestionSocket, Seen, has_way, is_no_route};
use crate::ways::{Target, Ways};
use crate::{Action, Endpoint, Family, SourceEvent, SourceSpec, Sources};

/// Drives [`Sources`] over the network and by the machine's clock. It reads the clock and never sets it: what is to be done to it is
/// the caller's business ([`Wanted::Adjust`]).
///
/// Runs in the task that calls [`next`](Self::next), with one more task for each question, name and key establishment under way.
pub struct Runner {
    sources: Sources,
    settings: RunnerSettings,
    /// Whom key establishment with a certain server trusts instead.
    own_tls: BTreeMap<Endpoint, ClientTls>,
    certificate_floor: Option<UnixTime>,
    watch: AsyncFd<Watched<ClockWatch>>,
    /// `None` where the kernel tells nothing of routes.
    routes: Option<AsyncFd<Watched<RouteWatch>>>,
    ways: Ways,
    inputs: mpsc::Receiver<Input>,
    sender: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    /// The number of the last question of each source.
    questions: BTreeMap<SourceId, u64>,
    /// The sockets of each source that still listen, the oldest first.
    listening: BTreeMap<SourceId, VecDeque<AbortHandle>>,
    asked: u64,
    own_addresses: BTreeSet<IpAddr>,
    lookups: Arc<Semaphore>,
    establishments: Arc<Semaphore>,
    /// The clock is being adjusted, and it is not known yet how it went.
    is_adjusting: bool,
    wanted: VecDeque<Wanted>,
}

/// What a [`Runner`] is told when it is made.
#[derive(Clone)]
pub struct RunnerSettings {
    /// Whom key establishment trusts; `None` if nobody, and then no keys are established.
    pub tls: Option<ClientTls>,
    /// What a key-establishment server is asked.
    pub request: KeRequest,
    /// For one key establishment: names, connections, TLS, answer.
    pub time_limit: Duration,
    /// From where questions leave.
    pub outlet: Outlet,
}

/// What a [`Runner`] wants of its caller, or has to tell.
#[derive(Debug)]
pub enum Wanted {
    /// Do this to the clock, then call [`Runner::adjusted`].
    Adjust(Adjustment),
    /// Something a log may want to know.
    Told(SourceEvent),
    /// Keys were established; what a log may want to know of it.
    Established(SourceId, Established),
    /// Why key establishment failed, in more words than [`SourceEvent::NotEstablished`] has.
    NotEstablished(SourceId, EstablishmentError),
    /// Why a name was not resolved.
    Unresolved(Unresolved),
}

/// What a task has found out.
enum Input {
    Sent { id: SourceId, question: u64, sent: Timestamp, from: Option<IpAddr> },
    Came { id: SourceId, datagram: Vec<u8>, received: Timestamp },
    NoRoute { id: SourceId },
    Resolved { endpoint: Endpoint, family: Family, found: Result<Vec<SocketAddr>, Unresolved> },
    Agreed { id: SourceId, outcome: Box<Result<(Agreement, Established), EstablishmentError>> },
}

impl Runner {
    /// Drives `sources` from now on. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// What the kernel answers when the clock is to be watched.
    pub fn new(sources: Sources, settings: RunnerSettings) -> io::Result<Self> {
        let (sender, inputs) = mpsc::channel(WAITING_INPUTS);
        let routes = RouteWatch::new().and_then(|watch| Watched(watch).register());
        let routes =
            routes.inspect_err(|error| debug!(%error, "changes of routes go unnoticed")).ok();
        let mut runner = Self {
            sources,
            settings,
            own_tls: BTreeMap::new(),
            certificate_floor: None,
            watch: Watched(ClockWatch::new()?).register()?,
            routes,
            ways: Ways::new(clock::monotonic()),
            inputs,
            sender,
            tasks: JoinSet::new(),
            questions: BTreeMap::new(),
            listening: BTreeMap::new(),
            asked: 0,
            own_addresses: BTreeSet::new(),
            lookups: Arc::new(Semaphore::new(AT_ONCE)),
            establishments: Arc::new(Semaphore::new(AT_ONCE)),
            is_adjusting: false,
            wanted: VecDeque::new(),
        };
        Target::ANYWHERE.into_iter().for_each(|target| runner.learn(target));
        Ok(runner)
    }

    /// Works until something is wanted. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What the kernel answers when the clock is watched; nothing can be kept then.
    pub async fn next(&mut self) -> io::Result<Wanted> {
        loop {
            self.carry_out();
            if let Some(wanted) = self.wanted.pop_front() {
                return Ok(wanted);
            }
            self.wait().await?;
        }
    }

    /// The answer to [`Wanted::Adjust`].
    pub fn adjusted(&mut self, outcome: &Result<Adjusted, NotAdjusted>) {
        self.is_adjusting = false;
        if let Ok(Adjusted { adjustment: Adjustment::Step(by), .. }) = outcome {
            self.watch.get_mut().0.expect(*by);
        }
        self.sources.handle_adjusted(outcome, clock::reading());
    }

    /// What leap second comes at the end of this UTC day, if one does, and what becomes of the clock then.
    pub fn plan_leap(&mut self, leap: Option<LeapSecond>, handling: Handling) {
        self.sources.plan_leap(leap, handling, clock::reading());
    }

    /// Asks other sources from now on, and keeps the clock by other rules; what is known of those that stay is kept
    /// ([`Sources::reconfigure`]).
    pub fn reconfigure(
        &mut self,
        specs: Vec<SourceSpec>,
        distrusted: &[Endpoint],
        rules: noonmark_clock::Settings,
        orphan_stratum: Option<u8>,
    ) {
        let now = clock::reading();
        self.sources.set_orphan_stratum(orphan_stratum, now);
        self.sources.set_rules(rules, now);
        self.sources.reconfigure(specs, distrusted, now);
    }

    /// Whom key establishment trusts from now on.
    pub fn set_tls(&mut self, tls: Option<ClientTls>) {
        self.settings.tls = tls;
    }

    /// Whom key establishment with certain servers trusts from now on, instead of whom it trusts with the others.
    pub fn set_own_tls(&mut self, own: BTreeMap<Endpoint, ClientTls>) {
        self.own_tls = own;
    }

    /// Until the clock is synchronised, certificates need only be valid at some time from `floor` on: the last time known to be past,
    /// such as when this program was built or last kept the clock. `None`, as at the start: they are judged by the clock as it is,
    /// always.
    pub fn set_certificate_floor(&mut self, floor: Option<UnixTime>) {
        self.certificate_floor = floor;
    }

    /// The sources driven.
    #[must_use]
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Stops, and gives the sources back.
    #[must_use]
    pub fn into_sources(self) -> Sources {
        self.sources
    }

    /// Does what the sources want done until they want nothing more.
    fn carry_out(&mut self) {
        while let Some(action) = self.sources.poll_output() {
            match action {
                Action::Transmit { id, to, datagram } => self.transmit(id, to, datagram),
                Action::Resolve { endpoint, family } => self.resolve(endpoint, family),
                Action::Rekey { id, endpoint, family } => self.establish(id, endpoint, family),
                Action::Adjust(adjustment) => {
                    self.is_adjusting = true;
                    self.wanted.push_back(Wanted::Adjust(adjustment));
                }
                Action::Told(event) => {
                    if let SourceEvent::Removed { id, .. } = event {
                        self.questions.remove(&id);
                        self.listening.remove(&id);
                    }
                    self.wanted.push_back(Wanted::Told(event));
                }
            }
        }
    }

    /// Waits for one input and hands it over.
    async fn wait(&mut self) -> io::Result<()> {
        while self.tasks.try_join_next().is_some() {}
        let now = clock::reading();
        let deadline = self.sources.deadline().min(self.ways.deadline());
        if deadline <= now.mono {
            // Before any input, so that a flood of these does not keep time from passing.
            self.look_at_ways(now);
            self.sources.handle_timeout(now);
            return Ok(());
        }
        let patience = deadline.since(now.mono).min(LONGEST_SLEEP);
        let timer = tokio::time::sleep(patience);
        tokio::select! {
            // Steps and sleep come first: what else happened has to be seen in their light.
            biased;
            changed = self.watch.readable_mut(), if !self.is_adjusting => {
                let mut changed = changed?;
                let seen = changed.get_inner_mut().0.look()?;
                changed.clear_ready();
                if !seen.slept.is_zero() {
                    self.sources.handle_resume(seen.at);
                }
                if seen.stepped != noonmark_units::Span::ZERO {
                    self.sources.handle_step(seen.stepped, seen.at);
                }
            }
            Some(input) = self.inputs.recv() => self.take(input),
            heard = hear(&mut self.routes) => match heard {
                Ok(()) => self.ways.note_change(clock::monotonic()),
                Err(error) => {
                    debug!(%error, "changes of routes go unnoticed from now on");
                    self.routes = None;
                }
            },
            () = timer => self.sources.handle_timeout(clock::reading()),
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        let now: Reading = clock::reading();
        match input {
            Input::Sent { id, question, sent, from } => {
                // A stamp that comes after the next question would be taken for that one's.
                if self.questions.get(&id) == Some(&question) {
                    self.sources.handle_sent(id, sent);
                }
                if let Some(from) = from {
                    self.note_address(from);
                }
            }
            Input::Came { id, datagram, received } => {
                self.sources.handle_datagram(id, &datagram, received, now);
            }
            Input::NoRoute { id } => {
                let outlet = &self.settings.outlet;
                self.sources.handle_no_route(id, |server| has_way(outlet, server), now);
            }
            Input::Resolved { endpoint, family, found } => {
                let found = found.unwrap_or_else(|error| {
                    self.wanted.push_back(Wanted::Unresolved(error));
                    Vec::new()
                });
                self.sources.handle_resolved(&endpoint, family, &found, now);
            }
            Input::Agreed { id, outcome } => match *outcome {
                Ok((agreement, established)) => {
                    let server = established.ntp_server;
                    self.wanted.push_back(Wanted::Established(id, established));
                    self.sources.handle_agreement(id, agreement, server, now);
                }
                Err(error) => {
                    self.sources.handle_ke_failure(id, error.failure(), now);
                    self.wanted.push_back(Wanted::NotEstablished(id, error));
                }
            },
        }
    }

    /// If something changed a moment ago: has the way to a server become another?
    fn look_at_ways(&mut self, now: Reading) {
        if self.ways.deadline() > now.mono {
            return;
        }
        let targets = self.sources.addresses().map(Target::of).chain(Target::ANYWHERE).collect();
        let Self { ways, routes, .. } = self;
        let changed = ways.look(&targets, |target| way(routes, target), now.mono);
        trace!(?changed, "interfaces, addresses or routes have changed");
        let has_changed = |server: Option<SocketAddr>| match server {
            Some(server) => changed.contains(&Target::of(server)),
            None => !changed.is_empty(),
        };
        self.sources.handle_route_change(has_changed, now);
    }

    fn learn(&mut self, target: Target) {
        let Self { ways, routes, .. } = self;
        ways.learn(target, || way(routes, target));
    }

    /// An address of ours is what servers that follow us call us. Not those of this host alone, which many have.
    fn note_address(&mut self, address: IpAddr) {
        if !address.is_loopback()
            && self.own_addresses.len() < MOST_OWN_ADDRESSES
            && self.own_addresses.insert(address)
        {
            let ids = self.own_addresses.iter().map(|address| reference_id_of(*address)).collect();
            self.sources.set_own_reference_ids(ids);
        }
    }

    fn transmit(&mut self, id: SourceId, to: SocketAddr, datagram: Vec<u8>) {
        trace!(%to, octets = datagram.len(), "asking");
        self.asked += 1;
        let question = self.asked;
        self.questions.insert(id, question);
        self.learn(Target::of(to));
        // Asked here and now, not when the task gets its turn: the sources count from this instant.
        match QuestionSocket::ask(&self.settings.outlet, to, &datagram) {
            Ok((socket, sent)) => {
                self.sources.handle_sent(id, sent);
                if let Some(from) = socket.local_address() {
                    self.note_address(from);
                    self.sources.handle_local_address(id, from);
                }
                let listening = self.spawn(|sender| listen(socket, id, question, sender));
                let all = self.listening.entry(id).or_default();
                all.retain(|task| !task.is_finished());
                all.push_back(listening);
                // A source asked many times in a second must not use up our descriptors.
                if all.len() > MOST_LISTENING
                    && let Some(oldest) = all.pop_front()
                {
                    oldest.abort();
                }
            }
            Err(error) => {
                debug!(%to, %error, "the question was not sent");
                if is_no_route(&error) {
                    self.spawn(|sender| async move {
                        let _ = sender.send(Input::NoRoute { id }).await;
                    });
                }
            }
        }
    }

    fn resolve(&mut self, endpoint: Endpoint, family: Family) {
        let permits = Arc::clone(&self.lookups);
        self.spawn(|sender| async move {
            // The system's resolver takes a thread for each name, and as long as it likes.
            let _permit = permits.acquire_owned().await;
            let found = resolve(&endpoint.host, endpoint.port, family).await;
            let _ = sender.send(Input::Resolved { endpoint, family, found }).await;
        });
    }

    fn establish(&mut self, id: SourceId, endpoint: Endpoint, family: Family) {
        let Some(tls) = self.own_tls.get(&endpoint).or(self.settings.tls.as_ref()).cloned() else {
            let outcome = Box::new(Err(EstablishmentError::NoAuthorities));
            self.spawn(|sender| async move {
                let _ = sender.send(Input::Agreed { id, outcome }).await;
            });
            return;
        };
        debug!(host = endpoint.host, port = endpoint.port, "establishing keys");
        let server = KeServer {
            host: endpoint.host,
            port: endpoint.port,
            family,
            tls,
            request: self.settings.request.clone(),
            ntp_port: None,
            time_limit: self.settings.time_limit,
        };
        let permits = Arc::clone(&self.establishments);
        let state = self.sources.keeper().tracking(clock::reading()).state;
        let floor = self.certificate_floor.filter(|_| state == ClockState::Unsynchronised);
        self.spawn(|sender| async move {
            let _permit = permits.acquire_owned().await;
            let outcome = Box::new(match floor {
                Some(floor) => server.establish_since(floor).await,
                None => server.establish().await,
            });
            let _ = sender.send(Input::Agreed { id, outcome }).await;
        });
    }

    fn spawn<F>(&mut self, task: impl FnOnce(mpsc::Sender<Input>) -> F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.sender.clone()))
    }
}

/// Word of a change of interfaces, addresses or routes; never any without a watch. Cancelling it loses nothing.
async fn hear(routes: &mut Option<AsyncFd<Watched<RouteWatch>>>) -> io::Result<()> {
    let Some(watch) = routes else { return std::future::pending().await };
    loop {
        let mut ready = watch.readable_mut().await?;
        let heard = ready.get_inner_mut().0.look()?;
        if !heard.unfinished {
            ready.clear_ready();
        }
        if heard.changed {
            return Ok(());
        }
    }
}

/// The way to a target as the kernel has it now.
fn way(routes: &mut Option<AsyncFd<Watched<RouteWatch>>>, target: Target) -> Option<Way> {
    let watch = &mut routes.as_mut()?.get_mut().0;
    watch.way_to(target.address, target.interface).unwrap_or_else(|error| {
        debug!(?target, %error, "the kernel does not say which way it takes");
        None
    })
}

/// A watch as tokio waits for it.
struct Watched<T>(T);

impl<T: AsFd> AsRawFd for Watched<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Watched<T> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe; this descriptor is owned and stays the same, which is all it asks"
    )]
    fn register(self) -> io::Result<AsyncFd<Self>> {
        AsyncFd::with_interest(self, Interest::READABLE)
    }
}

/// Hands over what comes for one question until nothing more may come; a late answer still finds an open port (RFC 9109 §4).
async fn listen(
    mut socket: QuestionSocket,
    id: SourceId,
    question: u64,
    sender: mpsc::Sender<Input>,
) {
    let end = Instant::now() + LISTENING;
    while let Ok(seen) = tokio::time::timeout_at(end, socket.next()).await {
        let input = match seen {
            Ok(Seen::Left(sent)) => Input::Sent { id, question, sent, from: None },
            Ok(Seen::Came(datagram, received)) => {
                Input::Came { id, datagram: datagram.to_vec(), received }
            }
            // Anybody can say that nobody is there; the answer is waited for all the same.
            Err(error) => {
                trace!(?id, %error, "the network refused a question");
                continue;
            }
        };
        if sender.send(input).await.is_err() {
            return;
        }
    }
}

/// Inputs that may wait; whoever has more to say waits itself.
const WAITING_INPUTS: usize = 64;
/// Names, and key establishments, under way at one time.
const AT_ONCE: usize = 4;
/// The window of a question, and as long again in which its port stays open.
const LISTENING: Duration = Duration::from_secs(6);
/// Sockets of one source that listen at one time.
const MOST_LISTENING: usize = 8;
/// Timers are made anew at least so often; longer ones than some years tokio does not take.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
const MOST_OWN_ADDRESSES: usize = 32;
