//! The network goes away under a daemon that serves and one that asks, and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Figures;
use super::client::{Client, Keys, Outcome};
use super::onlooker::Onlooker;
use super::place::{
    Daemon, FOLLOWER, PATIENCE, Place, SERVER, address, counter, is_ready, is_synchronised,
    restarts, role, shell,
};

/// A server in another network, joined by a wire to this one, where somebody asks.
const WIRE: &str = "
    ip netns add far
    ip link add near0 type veth peer name far0 netns far
    ip address add 10.94.0.2/24 dev near0
    ip -n far address add 10.94.0.1/24 dev far0
    ip link set near0 up
    ip -n far link set lo up
    ip -n far link set far0 up
";
const FAR: &str = "far";
const NTP: &str = "10.94.0.1:123";
const KE: &str = "10.94.0.1:4460";

/// The server, which serves any address it has.
fn far_server(place: &Place) -> Result<Daemon, String> {
    shell(WIRE)?;
    place.configure(&SERVER.replace("127.0.0.1:", "0.0.0.0:"))?;
    let daemon = place.start_without_waiting(Some(FAR))?;
    daemon.wait_until("it serves", PATIENCE, is_ready)?;
    wait_for_answer(&daemon, NTP)?;
    Ok(daemon)
}

/// A daemon here that follows it.
fn follower(place: &Place) -> Result<(Place, Daemon), String> {
    let second = place.another("second")?;
    // By the name in the certificate, whose address may change.
    let text = FOLLOWER
        .replace("nts = \"127.0.0.1\"", &format!("nts = \"{}\"", super::place::NAME))
        .replace("server = \"127.0.0.1\"", "server = \"10.94.0.1\"");
    let daemon = second.start(&text)?;
    daemon.wait_until("it follows both", PATIENCE, follows_both)?;
    Ok((second, daemon))
}

fn follows_both(status: &serde_json::Value) -> bool {
    let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_right =
        |source: &&serde_json::Value| source["state"] == "followed" || source["state"] == "spare";
    is_synchronised(status) && sources.iter().filter(is_right).count() == 2
}

/// How long it took until a server answered.
fn wait_for_answer(daemon: &Daemon, server: &str) -> Result<Duration, String> {
    let begun = Instant::now();
    let is_answered = || {
        let asked = Client::new(address(server)).map(|mut one| one.ask(Duration::from_millis(200)));
        asked.is_ok_and(|outcome| outcome != Outcome::Silence)
    };
    while !is_answered() {
        daemon.must(begun.elapsed() < PATIENCE, || format!("{server} does not answer"))?;
    }
    Ok(begun.elapsed())
}

fn nobody_began_anew(daemon: &Daemon) -> Result<(), String> {
    let status = daemon.wait_until("it serves", PATIENCE, is_ready)?;
    for name in ["warden", "sources", "ntp", "ke", "observe"] {
        let process = role(&status, name);
        daemon.must(restarts(&status, name) == 0, || format!("started again: {process}"))?;
    }
    Ok(())
}

/// What sources have measured so far, all together.
fn measured(daemon: &Daemon) -> u64 {
    let status = daemon.status().unwrap_or_default();
    let sources = status["sources"].as_array().cloned().unwrap_or_default();
    sources.iter().filter_map(|source| source["measured"].as_u64()).sum()
}

fn names(address: &str) -> Result<(), String> {
    let text = format!("127.0.0.1 localhost\n{address} {}\n", super::place::NAME);
    std::fs::write("/run/hosts", text).map_err(|e| format!("/run/hosts: {e}"))
}

/// Both ends of the wire go down, one after the other, under a server and under a client.
pub fn interface(place: &Place, _: u64) -> Result<Figures, String> {
    names("10.94.0.1")?;
    shell("mount --bind /run/hosts /etc/hosts")?;
    let server = far_server(place)?;
    let (_second, client) = follower(place)?;
    let keys = Keys::establish(place, address(KE))?;
    let mut figures = Figures::new();
    for (end, down, up) in [
        ("server", "ip -n far link set far0 down", "ip -n far link set far0 up"),
        ("client", "ip link set near0 down", "ip link set near0 up"),
    ] {
        let onlooker = Onlooker::of(address("127.0.0.1:1123"))?;
        shell(down)?;
        std::thread::sleep(Duration::from_secs(8));
        // Without a way there is not even a socket.
        let asked =
            Client::new(address(NTP)).map(|mut asker| asker.ask(Duration::from_millis(500)));
        let is_silent = asked.is_err() || asked == Ok(Outcome::Silence);
        server.must(is_silent, || "a wire that is down carries answers".into())?;
        let before = measured(&client);
        shell(up)?;
        let back = wait_for_answer(&server, NTP)?;
        keys.check(address(NTP), "after the interface was down")?;
        let begun = Instant::now();
        client.wait_until("it measures and follows both again", PATIENCE, |status| {
            follows_both(status) && measured(&client) > before + 3
        })?;
        figures.insert(format!("{end}_down_served_after_ms"), json!(back.as_millis()));
        figures.insert(format!("{end}_down_followed_after_ms"), json!(begun.elapsed().as_millis()));
        // It serves on what it knew.
        let seen = onlooker.finish()?;
        client.must(seen.lost() == 0 && seen.unsynchronised == 0, || format!("{seen:?}"))?;
    }
    nobody_began_anew(&server)?;
    nobody_began_anew(&client)?;
    client.stop()?;
    server.stop()?;
    Ok(figures)
}

/// Server and client get other addresses while they work. The plain source stays at the old one, and is the control.
pub fn address_replaced(place: &Place) -> Result<Figures, String> {
    names("10.94.0.1")?;
    shell("mount --bind /run/hosts /etc/hosts")?;
    let server = far_server(place)?;
    let (_second, client) = follower(place)?;
    let mut figures = Figures::new();

    let onlooker = Onlooker::of(address("127.0.0.1:1123"))?;
    let before = measured(&client);
    shell("ip address del 10.94.0.2/24 dev near0; ip address add 10.94.0.7/24 dev near0")?;
    let begun = Instant::now();
    client.wait_until("it measures from its new address", PATIENCE, |status| {
        follows_both(status) && measured(&client) > before + 3
    })?;
    figures.insert("client_moved_followed_after_ms".into(), json!(begun.elapsed().as_millis()));

    let keys = Keys::establish(place, address(KE))?;
    shell(
        "ip -n far address del 10.94.0.1/24 dev far0; ip -n far address add 10.94.0.8/24 dev far0",
    )?;
    names("10.94.0.8")?;
    let back = wait_for_answer(&server, "10.94.0.8:123")?;
    keys.check(address("10.94.0.8:123"), "at the server's new address")?;
    figures.insert("server_moved_served_after_ms".into(), json!(back.as_millis()));
    let begun = Instant::now();
    client.wait_until("the name leads to the new address", 3 * PATIENCE, |status| {
        let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
        sources.iter().any(|source| {
            source["address"] == "10.94.0.8:123"
                && source["authenticated"] == true
                && source["state"] == "followed"
        })
    })?;
    figures.insert("server_moved_followed_after_s".into(), json!(begun.elapsed().as_secs()));
    let seen = onlooker.finish()?;
    client.must(seen.lost() == 0 && seen.unsynchronised == 0, || format!("{seen:?}"))?;
    nobody_began_anew(&server)?;
    nobody_began_anew(&client)?;
    client.stop()?;
    server.stop()?;
    Ok(figures)
}

/// There is no way to anybody who asks: each answer is refused by the kernel, and forgotten.
pub fn no_route(place: &Place, _: u64) -> Result<Figures, String> {
    let server = far_server(place)?;
    let keys = Keys::establish(place, address(KE))?;
    let failed = |server: &Daemon| {
        server.status().map_or(0, |status| counter(&status, "ntp", "send_failed"))
    };
    let mut figures = Figures::new();
    // EHOSTUNREACH, EACCES, EINVAL, and the one for a network that is not there: ENETUNREACH.
    for (how, bring, end) in [
        ("unreachable", "route add unreachable 10.94.0.2", "route del unreachable 10.94.0.2"),
        ("prohibit", "route add prohibit 10.94.0.2", "route del prohibit 10.94.0.2"),
        ("blackhole", "route add blackhole 10.94.0.2", "route del blackhole 10.94.0.2"),
        ("none", "route del 10.94.0.0/24 dev far0", "route add 10.94.0.0/24 dev far0"),
    ] {
        let before = failed(&server);
        shell(&format!("ip -n far {bring}"))?;
        let mut client = Client::new(address(NTP))?;
        for _ in 0..10 {
            let outcome = client.ask(Duration::from_millis(100));
            server.must(outcome == Outcome::Silence, || format!("{how}: an answer came"))?;
        }
        shell(&format!("ip -n far {end}"))?;
        let back = wait_for_answer(&server, NTP)?;
        keys.check(address(NTP), how)?;
        server.wait_until("sends have failed", PATIENCE, |_| failed(&server) >= before + 10)?;
        figures.insert(format!("{how}_failed"), json!(failed(&server) - before));
        figures.insert(format!("{how}_back_after_ms"), json!(back.as_millis()));
    }
    nobody_began_anew(&server)?;
    server.stop()?;
    Ok(figures)
}

/// A wire that takes far fewer octets than there are answers: the queue of the socket fills. What does not fit is lost, the process
/// never waits for it, and whatever comes is answered again as soon as there is room.
pub fn slow_wire(place: &Place, _: u64) -> Result<Figures, String> {
    let server = far_server(place)?;
    shell("tc -n far qdisc add dev far0 root tbf rate 64kbit burst 1600 limit 4000000")?;
    let mut clients = (0..8).map(|_| Client::new(address(NTP))).collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let mut asked = 0_u32;
    // More than ten times what fits, for longer than a role may go without a sign of life.
    while begun.elapsed() < Duration::from_secs(35) {
        for client in &mut clients {
            client.ask(Duration::ZERO);
            asked += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let status = server.wait_until("it serves", PATIENCE, is_ready)?;
    let failed = counter(&status, "ntp", "send_failed");
    server.must(failed > 0, || "the queue was never full".into())?;
    shell("tc -n far qdisc del dev far0 root")?;
    let back = wait_for_answer(&server, NTP)?;
    nobody_began_anew(&server)?;
    server.must(!server.log().contains("hangs"), || "a role waited for the wire".into())?;
    server.stop()?;
    Ok(Figures::from_iter([
        ("asked".to_owned(), json!(asked)),
        ("sends_failed".to_owned(), json!(failed)),
        ("back_after_ms".to_owned(), json!(back.as_millis())),
    ]))
}
