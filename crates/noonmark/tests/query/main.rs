//! `noonmark query` as people and monitors call it, against servers on loopback.

mod server;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use server::{AEADS, AHEAD, Manner, Server};

fn noonmark(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_noonmark"))
        .args(arguments)
        .env_remove("NO_COLOR")
        .output()
        .expect("it runs")
}

/// Asks `host` with these arguments beside the ports and the authority, and returns exit status, JSON and error output.
fn query(server: &Server, host: &str, more: &[&str]) -> (i32, Value, String) {
    let [ntp, ke] = [server.ntp_port, server.ke_port].map(|port| port.to_string());
    let ca = server.ca.to_string_lossy();
    let mut arguments =
        vec!["query", host, "--json", "-4", "--time-out", "0.6", "--interval", "0.05"];
    if more.contains(&"--nts") {
        arguments.extend(["--ke-port", &ke]);
        if !more.contains(&"--ca") {
            arguments.extend(["--ca", &ca]);
        }
    } else {
        arguments.extend(["--port", &ntp]);
    }
    arguments.extend(more);
    let output = noonmark(&arguments);
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    (
        output.status.code().expect("not killed"),
        json,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn assert_sample(sample: &Value, authenticated: bool) {
    let offset = sample["offset"].as_f64().expect("a number");
    assert!((offset - AHEAD).abs() < 0.5, "{sample:#}");
    let delay = sample["delay"].as_f64().expect("a number");
    assert!(delay > 0.0 && delay < 0.5, "{sample:#}");
    assert!(sample["root_distance"].as_f64().expect("a number") >= delay / 2.0);
    assert_eq!(sample["stratum"], 1);
    assert_eq!(sample["reference"], "TEST");
    assert_eq!(sample["leap"], "none");
    assert_eq!(sample["authenticated"], authenticated);
}

#[test]
fn a_plain_query_learns_the_time() {
    let server = Server::start(Manner::Honest);
    let (status, json, errors) = query(&server, "127.0.0.1", &[]);
    assert_eq!((status, errors.as_str()), (0, ""), "{json:#}");
    assert_eq!(json["result"], "good");
    assert_eq!(json["server"], format!("127.0.0.1:{}", server.ntp_port));
    assert_eq!(json["nts"], Value::Null);
    assert_sample(&json["best"], false);
}

#[test]
fn several_questions_give_several_samples() {
    let server = Server::start(Manner::Honest);
    for nts in [&["-n", "5"][..], &["-n", "5", "--nts"]] {
        let (status, json, _) = query(&server, "localhost", nts);
        assert_eq!(status, 0, "{json:#}");
        let samples = json["samples"].as_array().expect("a list");
        assert_eq!(samples.len(), 5);
        samples.iter().for_each(|sample| assert_sample(sample, nts.contains(&"--nts")));
    }
}

#[test]
fn an_nts_query_learns_time_certificate_and_agreement() {
    let server = Server::start(Manner::Honest);
    for aead in AEADS {
        let (status, json, errors) =
            query(&server, "localhost", &["--nts", "--aead", &aead.id().to_string()]);
        assert_eq!((status, errors.as_str()), (0, ""), "{json:#}");
        assert_sample(&json["best"], true);
        let nts = &json["nts"];
        assert_eq!(nts["aead"], aead.id());
        assert_eq!(nts["cookies"], 8);
        assert_eq!(nts["cookies_left"], 8);
        assert_eq!(nts["cookie_length"], aead.cookie_len());
        assert_eq!(nts["ntp_port"], server.ntp_port);
        assert_eq!(nts["ke_server"], format!("127.0.0.1:{}", server.ke_port));
        assert_eq!(nts["compliant_gcm_siv"], aead.id() == 30);
        let certificate = &nts["certificate"];
        assert_eq!(certificate["names"][0], "localhost");
        assert!(certificate["issuer"].as_str().is_some_and(|issuer| !issuer.is_empty()));
        assert!(certificate["not_after"].as_str().is_some_and(|time| time.ends_with('Z')));
        assert_eq!(certificate["spki_sha256"].as_str().map(str::len), Some(64));
    }
}

#[test]
fn aead_30_works_without_record_1024() {
    let server = Server::start(Manner::Honest);
    let (status, json, _) =
        query(&server, "localhost", &["--nts", "--aead", "30", "--no-compliant-gcm-siv"]);
    assert_eq!(status, 0, "{json:#}");
    assert_eq!(json["nts"]["compliant_gcm_siv"], false);
    assert_sample(&json["best"], true);
}

#[test]
fn no_answer_is_critical() {
    fn check(manner: Manner, host: &str, more: &[&str], reason: &str) {
        let server = Server::start(manner);
        let (status, json, _) = query(&server, host, more);
        assert_eq!(
            (status, &json["result"]),
            (2, &Value::from("no-answer")),
            "{manner:?} {more:?}: {json:#}"
        );
        assert!(json["error"].as_str().expect("a reason").contains(reason), "{json:#}");
        assert_eq!(json["best"], Value::Null);
    }
    check(Manner::Silent, "127.0.0.1", &[], "no answer from 127.0.0.1");
    check(Manner::Silent, "localhost", &["--nts"], "no answer");
    check(Manner::SilentKe, "localhost", &["--nts"], "longer than");
    check(Manner::Rate, "127.0.0.1", &["-n", "8"], "RATE");
    check(Manner::Rate, "localhost", &["--nts", "-n", "8"], "RATE");
    check(Manner::Honest, "::1", &[], "no IPv4 address");
}

#[test]
fn nobody_there_is_critical_and_says_so() {
    // Ports that were free a moment ago.
    let free = || {
        std::net::UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port()
    };
    let mut server = Server::start(Manner::Honest);
    server.ntp_port = free();
    let (status, json, _) = query(&server, "127.0.0.1", &[]);
    assert_eq!(status, 2);
    assert!(json["error"].as_str().expect("a reason").contains("refused"), "{json:#}");
    server.ke_port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    let (status, json, _) = query(&server, "localhost", &["--nts"]);
    assert_eq!(status, 2);
    assert!(json["error"].as_str().expect("a reason").contains("refused"), "{json:#}");
}

#[test]
fn refused_authentication_has_its_own_status() {
    fn check(manner: Manner, more: &[&str], reason: &str) {
        let server = Server::start(manner);
        let (status, json, _) = query(&server, "localhost", &[&["--nts"], more].concat());
        assert_eq!(
            (status, &json["result"]),
            (3, &Value::from("refused-authentication")),
            "{manner:?}: {json:#}"
        );
        let error = json["error"].as_str().expect("a reason");
        assert!(error.contains(reason), "{error}");
        assert_eq!(json["best"], Value::Null, "no time from {manner:?}");
    }
    let stranger = Server::start(Manner::Honest);
    check(Manner::Honest, &["--ca", &stranger.ca.to_string_lossy()], "--ca names");
    check(Manner::WrongName, &[], "certificate");
    check(Manner::Forged, &[], "tag");
    check(Manner::Stripped, &[], "authenticated");
    check(Manner::Nak, &[], "NTSN");
    check(Manner::Redirecting, &[], ":53");
    check(Manner::Honest, &["--ca", "/nonexistent/ca.pem"], "/nonexistent/ca.pem");
    check(Manner::Honest, &["--ca", "/dev/null"], "/dev/null");
}

#[test]
fn another_service_on_the_port_is_refused_authentication() {
    // A plain TCP service that answers a handshake with something else.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut server = Server::start(Manner::Honest);
    server.ke_port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.0 400 Bad Request\r\n\r\n");
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    });
    let (status, json, _) = query(&server, "localhost", &["--nts"]);
    assert_eq!(status, 3, "{json:#}");
}

#[test]
fn an_unsynchronised_server_is_a_warning_and_is_shown() {
    let server = Server::start(Manner::Unsynchronised);
    for nts in [&[][..], &["--nts"]] {
        let (status, json, _) = query(&server, "localhost", nts);
        assert_eq!((status, &json["result"]), (1, &Value::from("warning")), "{json:#}");
        assert_eq!(json["unusable"]["reason"], "unsynchronised");
        assert_eq!(json["unusable"]["leap"], "unsynchronised");
        assert_eq!(json["best"], Value::Null);
    }
}

#[test]
fn asked_to_be_quiet_it_is_quiet() {
    let server = Server::start(Manner::Rate);
    let began = Instant::now();
    query(&server, "127.0.0.1", &["-n", "100"]);
    assert!(began.elapsed().as_secs() < 5);
}

#[test]
fn people_read_the_sign_in_the_heading() {
    let server = Server::start(Manner::Honest);
    let [ke, ca] = [server.ke_port.to_string(), server.ca.to_string_lossy().into_owned()];
    let output = noonmark(&["query", "localhost", "-4", "--nts", "--ke-port", &ke, "--ca", &ca]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "offset (+ server ahead)",
        "+12.5",
        "root distance",
        "authenticated",
        "yes (NTS)",
        "SHA-256",
        "localhost",
        "of 100 octets",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colour where there is no terminal");
}

#[test]
fn answers_are_shown_as_they_come_and_an_interruption_keeps_them() {
    let server = Server::start(Manner::Honest);
    let port = server.ntp_port.to_string();
    for signal in ["INT", "TERM"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_noonmark"))
            .args(["query", "127.0.0.1", "--port", &port, "-n", "1000", "--interval", "0.2"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = [const { String::new() }; 3];
        for line in &mut lines {
            out.read_line(line).expect("text");
        }
        let [headings, first, second] = &lines;
        assert!(headings.starts_with("time ") && headings.contains("offset (+ server ahead)"));
        assert!(first.contains("+12.5") && second.contains("+12.5"), "{first}{second}");
        let width = |line: &str| line.chars().count();
        assert_eq!([width(first), width(second)], [width(headings); 2], "they line up");
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").arg("-c").arg(kill).status().expect("a shell").success());
        let mut rest = String::new();
        out.read_to_string(&mut rest).expect("text");
        assert_eq!(child.wait().expect("our child").code(), Some(0), "{signal}: {rest}");
        assert!(rest.contains("the best of") && rest.contains("interrupted"), "{rest}");
    }
}

#[test]
fn a_reader_that_has_enough_ends_the_query() {
    let server = Server::start(Manner::Honest);
    let port = server.ntp_port.to_string();
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_noonmark"))
        .args(["query", "127.0.0.1", "--port", &port, "-n", "1000", "--interval", "0.2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("our child").code(), Some(0));
    assert!(began.elapsed().as_secs() < 60, "a thousand questions take 200 s");
}

#[test]
fn what_failed_is_said_on_the_error_stream() {
    let server = Server::start(Manner::Silent);
    let output = noonmark(&[
        "query",
        "127.0.0.1",
        "--port",
        &server.ntp_port.to_string(),
        "--time-out",
        "0.2",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).starts_with("noonmark: no answer from 127.0.0.1:")
    );
}

#[test]
fn wrong_usage_is_64() {
    for arguments in
        [&["query"][..], &["query", "x", "--aead", "1"], &["frobnicate"], &[], &["status", "x"]]
    {
        let output = noonmark(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(noonmark(&["--help"]).status.code(), Some(0));
}
