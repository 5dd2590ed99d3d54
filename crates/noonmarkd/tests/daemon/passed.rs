//! Sockets that whoever starts the daemon has bound for it.

use std::net::{TcpListener, UdpSocket};

use crate::client;
use crate::fixture::{Place, process_of, signal};

/// A configuration that listens just there.
fn configuration(ntp: &str, ke: &str) -> String {
    format!(
        "[server]\nlisten = [\"{ntp}\"]\nthreads = 2\nlocal-stratum = 3\n\
         [nts]\nlisten = [\"{ke}\"]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n\
         [state]\nfolder = \"state\"\n[status]\nsocket = \"status.sock\"\n"
    )
}

#[test]
fn sockets_of_a_service_manager_outlive_reloads_and_roles() {
    let place = Place::new();
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (udp, tcp) = (udp.expect("free"), tcp.expect("free"));
    let [ntp, ke] = [udp.local_addr(), tcp.local_addr()].map(|bound| bound.expect("bound"));
    place.configure(&configuration(&ntp.to_string(), &ke.to_string()));
    // We keep ours, so nobody could bind these again.
    let [udp, tcp] = [udp.try_clone().map(Into::into), tcp.try_clone().map(Into::into)]
        .map(|socket: std::io::Result<std::os::fd::OwnedFd>| socket.expect("descriptors"));
    let daemon = place.start_with_sockets(udp, tcp);
    daemon.wait_until("it serves", |status| status["ready"] == true);
    assert_eq!((daemon.addresses("ntp"), daemon.addresses("nts-ke")), (vec![ntp], vec![ke]));
    let serves = || {
        let agreement = client::establish(ke, &place.authority.pem()).expect("keys");
        let cookies = agreement.cookies.iter().take(4);
        let answers = cookies.map(|cookie| client::ask_authenticated(ntp, &agreement, cookie));
        answers.for_each(|answer| assert_eq!(answer, Ok((3, 1))));
    };
    serves();
    let more =
        configuration(&ntp.to_string(), &ke.to_string()).replace("threads = 2", "threads = 3");
    place.configure(&more);
    daemon.signal("HUP");
    daemon.wait_until("taken", |status| {
        status["configuration"]["generation"] == 2 && status["ready"] == true
    });
    serves();
    // What does not use a socket that was passed is refused as a whole.
    place.configure(&configuration("127.0.0.1:0", &ke.to_string()));
    daemon.signal("HUP");
    let status =
        daemon.wait_until("refused", |status| status["configuration"]["refused"].is_object());
    let reason = status["configuration"]["refused"]["reason"].to_string();
    assert!(reason.contains(&format!("passed UDP {ntp} (time)")), "{reason}");
    for role in ["ntp", "ke"] {
        let before = daemon.pid_of(role);
        signal("KILL", before);
        daemon.wait_until("started again", |status| {
            process_of(status, role)["restarts"] == 1 && status["ready"] == true
        });
    }
    serves();
    assert_eq!(daemon.stop().code(), Some(0));
}
