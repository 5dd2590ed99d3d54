//! Limits and time: the port, sessions that do not end, seats, and what is left of a session (KE-04, KE-20, KE-21, KE-41, KE-67).

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use noonmark_conformance::check::{Check, Failure};
use noonmark_ke::{Frontend, SeatLimits, Terms};
use noonmark_nts::ServerPolicy;
use noonmark_os::random::RandomPool;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::fault::Fault;
use super::lab::{KeLab, Talk, ensure, server_tls};
use super::octets::{NTPV4, SIV_256, open_message};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["KE-04"], name: "port_is_4460_unless_another_is_named", run: port },
    Check { ids: &["KE-20"], name: "request_that_never_ends_is_error_1", run: incomplete },
    Check { ids: &["KE-21"], name: "sessions_are_bounded_in_time_and_per_prefix", run: bounds },
    Check { ids: &["KE-41"], name: "lost_cookie_keys_are_error_2", run: no_keys },
    Check { ids: &["KE-67"], name: "sessions_leave_no_memory_behind", run: no_state },
];

fn port(_: &mut Lab) -> Result<(), Failure> {
    let listens = |listen: &str| {
        let text = format!("[nts]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n{listen}\n");
        let settings = noonmark_config::parse(&text, Path::new("/etc/noonmark/noonmark.toml"));
        let settings = settings.map_err(|report| report.to_string())?;
        Ok::<_, Failure>(settings.nts.ok_or("no key exchange")?.listen)
    };
    for listen in ["", "listen = [\"127.0.0.1\", \"[::1]\"]"] {
        let addresses = listens(listen)?;
        let all = !addresses.is_empty() && addresses.iter().all(|address| address.port() == 4460);
        ensure(all, || format!("{listen:?} listens on {addresses:?}"))?;
    }
    let other = listens("listen = [\"127.0.0.1:14460\"]")?;
    ensure(other == [SocketAddr::from(([127, 0, 0, 1], 14460))], || format!("{other:?}"))
}

fn incomplete(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let half = open_message(&[NTPV4, SIV_256]);
    let ends: [fn(&mut Talk); 3] = [Talk::time_out, Talk::half_close, Talk::cut_off];
    for (end, when) in ends.into_iter().zip(["time is up", "a half-close", "a cut"]) {
        for len in [half.len(), 9, 1] {
            let mut talk = lab.connect()?;
            talk.say(&half[..len]);
            end(&mut talk);
            let answer = talk.answer()?;
            ensure(answer.error() == Some(1) && answer.count(0) == 1, || {
                format!("{len} octets of a request, then {when}: {:02x?}", answer.records)
            })?;
        }
    }
    Ok(())
}

fn no_keys(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    let keyless = KeLab { keys: None, ..lab.clone() };
    let answer = keyless.ask_for(&[NTPV4, SIV_256])?;
    ensure(answer.error() == Some(2) && answer.cookies().is_empty(), || {
        format!("without cookie keys the answer is {:02x?}", answer.records)
    })?;
    lab.control()
}

/// Memory after many sessions, all of it that the process holds.
fn no_state(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    // Cookies take most of a session's time and leave nothing anywhere.
    lab.policy.cookies = 1;
    let sessions = |count: usize| {
        for session in 0..count {
            let answer = lab.ask_for(&[NTPV4, SIV_256])?;
            ensure(!answer.records.is_empty(), || format!("session {session}: no answer"))?;
        }
        resident_octets()
    };
    let before = sessions(lab.many(4, 500, 500))?;
    let count = lab.many(40, 10_000, 1_000_000);
    let after = sessions(count)?;
    // A session alone takes some 20 KiB while it lasts.
    let grown = after.saturating_sub(before);
    ensure(grown < 4 << 20, || format!("{count} sessions leave {grown} octets behind"))
}

/// Resident memory of this process (proc_pid_statm(5)).
fn resident_octets() -> Result<usize, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    // Pages have at least 4096 octets on every Linux we run on.
    Ok(pages.ok_or_else(|| format!("{text:?}"))? * 4096)
}

fn bounds(lab: &mut Lab) -> Result<(), Failure> {
    let unbounded = KeLab::new(lab).fault == Some(Fault::SeatsUnbounded);
    time_limits_are_bounded()?;
    let per_prefix = if unbounded { 1000 } else { 3 };
    let mut random = RandomPool::new().map_err(|error| error.to_string())?;
    let terms = Terms {
        policy: Arc::new(ServerPolicy::default()),
        seats: SeatLimits { total: 1000, per_prefix, ..SeatLimits::default() },
        time_limit: Duration::from_secs(10),
        admits: Arc::new(|_| true),
    };
    let fill = Box::new(move |out: &mut [u8]| random.fill(out));
    let frontend = Frontend::new(server_tls().clone(), terms, fill);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let asked = async {
        tokio::select! {
            ended = frontend.accept_from(listener) => Err(format!("accepting ended: {ended:?}")),
            asked = crowd(&frontend, address) => asked,
        }
    };
    runtime.map_err(|error| error.to_string())?.block_on(asked)
}

/// No configuration allows more than 10 s.
fn time_limits_are_bounded() -> Result<(), Failure> {
    let limit = |line: &str| {
        let text = format!("[nts]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n{line}\n");
        noonmark_config::parse(&text, Path::new("/etc/noonmark/noonmark.toml"))
            .ok()
            .and_then(|settings| settings.nts)
            .map(|nts| nts.time_limit)
    };
    let ten = Duration::from_secs(10);
    for line in ["", "time-limit = \"10s\""] {
        let allowed = limit(line);
        ensure(allowed.is_some_and(|limit| limit <= ten), || format!("{line:?}: {allowed:?}"))?;
    }
    ensure(limit("time-limit = \"11s\"").is_none(), || "a limit of 11 s is taken".to_owned())
}

/// Four clients of one prefix of which three are seated, one of another prefix, and one that waits until it is cut off.
async fn crowd(frontend: &Frontend, address: SocketAddr) -> Result<(), Failure> {
    let mut seated = Vec::new();
    for _ in 0..3 {
        seated.push(within(connect_from(1, address)).await?);
    }
    let mut fourth = within(connect_from(1, address)).await?;
    // What the server closes ends; what it keeps says nothing, because it waits for us.
    let mut octets = [0; 16];
    let closed = tokio::select! {
        read = fourth.read(&mut octets) => read.is_ok_and(|len| len == 0),
        () = until(|| frontend.sessions() > 3) => false,
    };
    ensure(closed, || "a fourth session of a prefix that may have three is seated".to_owned())?;
    let _elsewhere = within(connect_from(2, address)).await?;
    let settled = async {
        until(|| frontend.sessions() == 4).await;
        Ok(())
    };
    within(settled).await?;

    let mut hurried = Terms::clone(&frontend.terms());
    hurried.time_limit = Duration::from_millis(510);
    frontend.set_terms(hurried);
    let mut slow = within(connect_from(3, address)).await?;
    // An alert, then the end of the stream.
    let mut said = Vec::new();
    within(slow.read_to_end(&mut said)).await.map(drop)
}

/// A connection from 127.0.0.`host`.
async fn connect_from(host: u8, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    socket.connect(address).await
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The result, which must come within 10 s.
async fn within<T>(wanted: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(Duration::from_secs(10), wanted).await {
        Ok(Ok(got)) => Ok(got),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("10 s are over".to_owned()),
    }
}
