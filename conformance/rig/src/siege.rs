//! Connections to key establishment that are not meant well, thousands of them, from one thread.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use noonmark_nts::Random;
use serde::Serialize;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::establish::Establisher;

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A whole establishment, then it closes.
    Whole,
    /// The first message of a whole one, an octet at a time, for as long as the server lets it.
    Slow,
    /// Nothing is said.
    Silent,
    /// Octets without a meaning.
    Garbage,
}

impl Purpose {
    /// All, in the order of [`Outcome`].
    pub const ALL: [Self; 4] = [Self::Whole, Self::Slow, Self::Silent, Self::Garbage];
}

/// One siege.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where keys are established.
    pub server: SocketAddrV4,
    /// The first address connections come from; the others follow it.
    pub first_client: Ipv4Addr,
    /// How many addresses take turns.
    pub clients: u32,
    /// Connections in all, of each purpose a quarter, begun evenly over `time`.
    pub connections: u32,
    /// When all end that are left.
    pub time: Duration,
    /// Time between two octets of a slow connection.
    pub drip: Duration,
}

/// What became of the connections of one purpose.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fate {
    /// Connections begun.
    pub begun: u32,
    /// The kernel's half of them came about.
    pub connected: u32,
    /// Whole establishments with keys and cookies.
    pub established: u32,
    /// The server ended them before we did.
    pub ended_by_server: u32,
}

/// What became of all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Whole establishments.
    pub whole: Fate,
    /// Octet by octet.
    pub slow: Fate,
    /// Connected and silent.
    pub silent: Fate,
    /// Garbage.
    pub garbage: Fate,
    /// Most connections that were open at one time, as we saw it.
    pub most_open: u32,
}

/// Lays siege as planned; `each` is called for every connection begun, and may add to the trouble.
///
/// # Errors
/// What the kernel answers to a timer or a thread's reactor.
pub fn lay(
    plan: &Plan,
    establisher: Establisher,
    random: &mut dyn Random,
    mut each: impl FnMut(u32),
) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let establisher = Rc::new(establisher);
    let tasks = tokio::task::LocalSet::new();
    let open = Rc::new(std::cell::Cell::new((0_u32, 0_u32)));
    let mut outcome = Outcome::default();
    runtime.block_on(tasks.run_until(async {
        let begun = Instant::now();
        let end = begun + plan.time;
        let mut running = Vec::new();
        for n in 0..plan.connections {
            sleep_until(begun + plan.time * n / plan.connections.max(1)).await;
            each(n);
            let purpose = Purpose::ALL[n as usize % Purpose::ALL.len()];
            let client = u32::from(plan.first_client).wrapping_add(n / 4 % plan.clients.max(1));
            let mut octets = vec![0; 512];
            random.fill(&mut octets);
            let (plan, establisher, open) = (plan.clone(), establisher.clone(), open.clone());
            let task = async move {
                let (now, most) = open.get();
                open.set((now + 1, most.max(now + 1)));
                let ending = one(&plan, purpose, client.into(), &establisher, &octets, end).await;
                let (now, most) = open.get();
                open.set((now - 1, most));
                (purpose, ending)
            };
            running.push(tokio::task::spawn_local(task));
        }
        for task in running {
            if let Ok((purpose, ending)) = task.await {
                outcome.of(purpose).note(ending);
            }
        }
    }));
    outcome.most_open = open.get().1;
    Ok(outcome)
}

impl Outcome {
    fn of(&mut self, purpose: Purpose) -> &mut Fate {
        match purpose {
            Purpose::Whole => &mut self.whole,
            Purpose::Slow => &mut self.slow,
            Purpose::Silent => &mut self.silent,
            Purpose::Garbage => &mut self.garbage,
        }
    }
}

impl Fate {
    fn note(&mut self, ending: Ending) {
        self.begun += 1;
        self.connected += u32::from(ending != Ending::NotConnected);
        self.established += u32::from(ending == Ending::Established);
        self.ended_by_server += u32::from(ending == Ending::Closed);
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    NotConnected,
    Established,
    /// By the server.
    Closed,
    /// By the end of the siege.
    Over,
}

async fn one(
    plan: &Plan,
    purpose: Purpose,
    from: Ipv4Addr,
    establisher: &Establisher,
    octets: &[u8],
    end: Instant,
) -> Ending {
    let Ok(Ok(stream)) = timeout_at(end, connect(from, plan.server)).await else {
        return Ending::NotConnected;
    };
    let stay = async {
        match purpose {
            Purpose::Whole => match timeout(PATIENCE, establish(&stream, establisher)).await {
                Ok(Ok(())) => Ok(Ending::Established),
                _ => Ok(Ending::Closed),
            },
            Purpose::Slow => {
                let hello = first_message(establisher)?;
                for octet in hello.chunks(1) {
                    write_all(&stream, octet).await?;
                    if timeout(plan.drip, closed(&stream)).await.is_ok() {
                        return Ok(Ending::Closed);
                    }
                }
                closed(&stream).await;
                Ok(Ending::Closed)
            }
            Purpose::Silent => {
                closed(&stream).await;
                Ok(Ending::Closed)
            }
            Purpose::Garbage => {
                write_all(&stream, octets).await?;
                closed(&stream).await;
                Ok::<_, io::Error>(Ending::Closed)
            }
        }
    };
    match timeout_at(end, stay).await {
        Ok(ending) => ending.unwrap_or(Ending::Closed),
        Err(_) => Ending::Over,
    }
}

async fn connect(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.into(), 0))?;
    let stream = socket.connect(to.into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Drives one whole establishment.
async fn establish(stream: &TcpStream, establisher: &Establisher) -> io::Result<()> {
    let mut client = establisher.client().map_err(io::Error::other)?;
    while !client.is_done() {
        if client.wants_write() {
            stream.writable().await?;
            unless_blocked(client.write_tls(&mut Now(stream)))?;
        } else if client.wants_read() {
            stream.readable().await?;
            unless_blocked(client.read_tls(&mut Now(stream)))?;
        }
        client.process();
    }
    client.finish().map(drop).map_err(|error| io::Error::other(error.to_string()))
}

/// The octets a client sends first.
fn first_message(establisher: &Establisher) -> io::Result<Vec<u8>> {
    let mut client = establisher.client().map_err(io::Error::other)?;
    let mut octets = Vec::new();
    client.write_tls(&mut octets)?;
    Ok(octets)
}

async fn write_all(stream: &TcpStream, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        stream.writable().await?;
        let went = unless_blocked(stream.try_write(octets))?.unwrap_or(0);
        octets = octets.split_at(went).1;
    }
    Ok(())
}

/// Reads and forgets until the server ends the connection.
async fn closed(stream: &TcpStream) {
    let mut room = [0; 1024];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match unless_blocked(stream.try_read(&mut room)) {
            Ok(Some(0)) | Err(_) => return,
            Ok(Some(_)) => (),
            // Readiness may be a false alarm; nothing is lost by a moment's pause.
            Ok(None) => sleep(Duration::from_millis(1)).await,
        }
    }
}

fn unless_blocked(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A stream as far as it can be read and written without waiting.
struct Now<'a>(&'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(room)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An establishment that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets this process have as many descriptors as it may; that number.
///
/// # Errors
/// What the kernel answers.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to `limit`, which the kernel fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to `limit`, which the kernel only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}
