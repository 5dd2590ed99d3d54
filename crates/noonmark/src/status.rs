//! `noonmark status`: the state of a running noonmarkd, as it gives it over its Unix socket (docs/status.md).

use std::io;

use serde_json::Value;

use crate::Verdict;
use crate::command::StatusArguments;
use crate::output::{complain, deliver, write_json, write_text};
use crate::paint::Paint;
use crate::query::{signed, unsigned};
use crate::sheet::{Sheet, columns};
use crate::state::{self, NoState, PATIENCE};

/// Prints the state. Warning if something in it deserves a look, critical if part of the service is not there or there is no state.
#[must_use]
pub fn run(arguments: &StatusArguments) -> Verdict {
    let state = match state::read(&arguments.socket, PATIENCE) {
        Ok(state) => state,
        Err(error) => return unreadable(&error, arguments.json),
    };
    let concerns = concerns(&state);
    let written = if arguments.json {
        write_json(&state)
    } else {
        write_text(&for_people(&state, &concerns, Paint::for_stream(&io::stdout())))
    };
    let verdict = concerns.iter().map(|concern| concern.verdict).max().unwrap_or(Verdict::Good);
    deliver(verdict, written)
}

/// Says that there is no state, which is critical.
pub(crate) fn unreadable(error: &NoState, as_json: bool) -> Verdict {
    let written = if as_json {
        write_json(&serde_json::json!({ "error": error.to_string() }))
    } else {
        Ok(())
    };
    complain(error);
    deliver(Verdict::Critical, written)
}

/// Something in a state that deserves a look.
#[derive(Debug)]
struct Concern {
    /// [`Verdict::Warning`], or [`Verdict::Critical`] where clients are not served.
    verdict: Verdict,
    /// What it is.
    words: String,
}

/// What in a state deserves a look.
fn concerns(state: &Value) -> Vec<Concern> {
    let mut concerns = Vec::new();
    let mut add = |verdict, words| concerns.push(Concern { verdict, words });
    if state["ready"] == false {
        let words = "not ready: a role has not started yet, or is not serving";
        add(Verdict::Warning, words.to_owned());
    }
    for (part, name) in
        [("configuration", "a new configuration"), ("certificate", "a new certificate")]
    {
        if let Some(reason) = state[part]["refused"]["reason"].as_str() {
            let words = format!("{name} was refused, the one before stays in force: {reason}");
            add(Verdict::Warning, words);
        }
    }
    if let Some((verdict, words)) = certificate_concern(&state["certificate"]) {
        add(verdict, words);
    }
    if state["clock"]["stale"] == true {
        add(
            Verdict::Warning,
            "the clock state is stale: the warden no longer writes it".to_owned(),
        );
    }
    concerns_of_time(state, &mut add);
    concerns_of_machine(&state["machine"], &mut add);
    concerns_of_load(state, &mut add);
    for role in list(&state["roles"]) {
        if let Some((verdict, words)) = role_concern(role) {
            add(verdict, words);
        }
    }
    concerns
}

/// What about the time that is served deserves a look: a clock without sources to follow is only served as it stands, which is as it should
/// be where none are configured.
fn concerns_of_time(state: &Value, add: &mut impl FnMut(Verdict, String)) {
    let (clock, tracking) = (&state["clock"], &state["tracking"]);
    let reason = || tracking["why"].as_str().map(|_| format!(": {}", text(&tracking["why"])));
    if tracking.is_object() {
        if let Some(words) = local(clock) {
            add(Verdict::Warning, format!("no source vouches for the clock as served: {words}"));
        } else if clock["synchronised"] == false {
            let words = format!("the clock is not synchronised{}", reason().unwrap_or_default());
            add(Verdict::Warning, words);
        }
    }
    if state["cookies"]["overdue"] == true {
        let since = text(&state["cookies"]["next_rotation"]);
        let words = format!(
            "new cookie keys are overdue since {since}: they cannot be stored, the log says why"
        );
        add(Verdict::Warning, words);
    }
}

/// What about more being asked than can be answered deserves a look.
fn concerns_of_load(state: &Value, add: &mut impl FnMut(Verdict, String)) {
    let counters = &state["counters"]["ntp"];
    let threads = |began: &Value, ended: &Value| began.as_u64()?.checked_sub(ended.as_u64()?);
    if let Some(threads) = threads(&counters["overloads"], &counters["overloads_ended"])
        && threads > 0
    {
        let who = match threads {
            1 => "one thread sheds".to_owned(),
            _ => format!("{threads} threads shed"),
        };
        let words = format!(
            "overload: more is asked than can be answered, {who} what proves nothing, and more if need be"
        );
        add(Verdict::Warning, words);
    }
}

/// What happened lately to the machine and its clock without the daemon's doing.
fn concerns_of_machine(machine: &Value, add: &mut impl FnMut(Verdict, String)) {
    let kinds = [
        ("restored", "the machine is not the one it was, so everything was begun anew"),
        ("meddled", "somebody else set or steered the clock, and it was put right"),
    ];
    for (kind, words) in kinds {
        let happened = &machine[kind];
        if happened["seconds_ago"].as_f64().is_some_and(|ago| ago < LATELY) {
            let (ago, count) = (seconds(&happened["seconds_ago"]), text(&happened["count"]));
            let facts = text(&happened["facts"]);
            add(Verdict::Warning, format!("{words} ({ago} ago, {count} so far): {facts}"));
        }
    }
}

/// What about the certificate's time deserves a look. Out of it, no client can establish keys.
fn certificate_concern(certificate: &Value) -> Option<(Verdict, String)> {
    let (from, to) =
        (text(&certificate["chain_not_before"]), text(&certificate["chain_not_after"]));
    match certificate["validity"].as_str()? {
        "expired" => {
            Some((Verdict::Critical, format!("the certificate expired at {to}: clients refuse it")))
        }
        "not-yet-valid" => Some((
            Verdict::Critical,
            format!(
                "the certificate is not valid before {from}: clients refuse it, or this machine's clock is not set"
            ),
        )),
        "ends-soon" => {
            let left = seconds(&certificate["ends_in_seconds"]);
            Some((Verdict::Warning, format!("the certificate ends in {left}, at {to}")))
        }
        _ => None,
    }
}

/// What about a process deserves a look: that it does not work, else that it lately did not.
fn role_concern(role: &Value) -> Option<(Verdict, String)> {
    let name = text(&role["role"]);
    if role["state"] == "hung" {
        let words = format!(
            "{name} hangs or is stopped: no sign of life for {}",
            seconds(&role["silent_seconds"])
        );
        return Some((Verdict::Critical, words));
    }
    let how = text(&role["last_end"]);
    if role["state"] == "waiting" {
        let words = format!("{name} ended ({how}) and waits to be started again");
        return Some((Verdict::Warning, words));
    }
    role["last_end_seconds_ago"].as_f64().filter(|ago| *ago < LATELY).map(|_| {
        let (ago, count) = (seconds(&role["last_end_seconds_ago"]), text(&role["restarts"]));
        let words = format!(
            "{name} ended by itself ({how}) {ago} ago; it was started again ({count} so far)"
        );
        (Verdict::Warning, words)
    })
}

fn for_people(state: &Value, concerns: &[Concern], paint: Paint) -> String {
    let mut sheet = Sheet::new(paint);
    let lines: Vec<_> = concerns
        .iter()
        .map(|Concern { verdict, words }| match verdict {
            Verdict::Warning => paint.warning(&format!("warning: {words}")),
            _ => paint.bad(&format!("critical: {words}")),
        })
        .collect();
    sheet.line("state", if lines.is_empty() { paint.good("good") } else { lines.join("\n") });
    sheet.line("version", text(&state["version"]));
    sheet.line("started", text(&state["started"]));
    sheet.line("up for", seconds(&state["uptime_seconds"]));
    for part in ["configuration", "certificate"] {
        if state[part].is_object() {
            let file =
                state[part]["file"].as_str().map(|file| format!("{file}, ")).unwrap_or_default();
            let generation = text(&state[part]["generation"]);
            sheet.line(
                part,
                format!("{file}generation {generation} of {}", text(&state[part]["loaded"])),
            );
        }
    }
    let certificate = &state["certificate"];
    if certificate["validity"].is_string() {
        let names: Vec<_> = list(&certificate["names"]).map(text).collect();
        sheet.line("names", names.join(", "));
        sheet.line("valid from", text(&certificate["not_before"]));
        sheet.line("valid until", text(&certificate["not_after"]));
        if certificate["chain_not_after"] != certificate["not_after"] {
            sheet.line("chain until", text(&certificate["chain_not_after"]));
        }
        sheet.line("key (SPKI)", format!("sha256:{}", text(&certificate["spki_sha256"])));
    }
    let clock = &state["clock"];
    if clock.is_object() {
        sheet.heading("clock as served");
        sheet.line("synchronised", if clock["synchronised"] == true { "yes" } else { "no" });
        if let Some(words) = local(clock) {
            sheet.line("source", paint.warning(&words));
        }
        sheet.line("leap", text(&clock["leap"]));
        if let Some(words) = leap_second(state) {
            sheet.line("leap second", words);
        }
        sheet.line("stratum", text(&clock["stratum"]));
        sheet.line("reference", text(&clock["reference_id"]));
        sheet.line("root delay", seconds(&clock["root_delay_seconds"]));
        sheet.line("root dispersion", seconds(&clock["root_dispersion_seconds"]));
        if let (Some(offset), Some(bound)) = (
            state["tracking"]["offset_seconds"].as_f64(),
            state["tracking"]["error_bound_seconds"].as_f64(),
        ) {
            sheet.line("offset (+ true time ahead)", signed(offset));
            sheet.line("error bound", unsigned(bound));
        }
        sheet.line("precision", format!("2^{} s", text(&clock["precision_log2_seconds"])));
    }
    let cookies = &state["cookies"];
    if cookies.is_object() {
        sheet.heading("cookie keys");
        sheet.line(
            "epoch",
            format!(
                "{}, honoured from {}",
                text(&cookies["epoch"]),
                text(&cookies["oldest_epoch"])
            ),
        );
        sheet.line("next rotation", text(&cookies["next_rotation"]));
    }
    fast_path(&state["fast_path"], &mut sheet, paint);
    let counted = [
        ("fast_path", "fast-path counters"),
        ("ntp", "NTP counters"),
        ("ke", "key-establishment counters"),
    ];
    for (part, heading) in counted {
        sheet.heading(heading);
        for (name, value) in state["counters"][part].as_object().into_iter().flatten() {
            // Most reasons never occur; a person looks for those that did. --json has them all.
            if value.as_f64() != Some(0.0) {
                sheet.line(name, text(value));
            }
        }
    }
    let listening = columns(
        ["listening", "address", "interface"],
        list(&state["listening"])
            .map(|one| [text(&one["protocol"]), text(&one["address"]), text(&one["interface"])]),
    );
    let roles = columns(
        ["role", "state", "pid", "restarts", "last end", "when", "memory", "at most"],
        list(&state["roles"]).map(|role| {
            [
                text(&role["role"]),
                text(&role["state"]),
                text(&role["pid"]),
                text(&role["restarts"]),
                text(&role["last_end"]),
                text(&role["last_end_time"]),
                mebibytes(&role["memory_bytes"]),
                mebibytes(&role["memory_bound_bytes"]),
            ]
        }),
    );
    let listening = format!("{listening}{}", short_queues(&state["listening"]));
    let (tables, lacking) = (tables(&state["tables"]), lacking(&state["roles"]));
    format!("{}\n{listening}\n{roles}{tables}{lacking}", sheet.render())
}

/// The tables that are kept for clients; nothing where no time is served.
fn tables(tables: &Value) -> String {
    let rows: Vec<_> = list(tables)
        .map(|table| {
            [text(&table["name"]), text(&table["entries"]), mebibytes(&table["memory_bytes"])]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", columns(["table", "for", "at most"], rows))
}

/// What answers in the kernel; nothing where nobody wants that.
fn fast_path(fast_path: &Value, sheet: &mut Sheet, paint: Paint) {
    if !fast_path.is_object() {
        return;
    }
    sheet.heading("fast path");
    for device in list(&fast_path["devices"]) {
        sheet.line(&text(&device["name"]), format!("{} mode", text(&device["mode"])));
    }
    if fast_path["reason"].is_string() {
        sheet.line("not as configured", paint.warning(&text(&fast_path["reason"])));
    }
}

/// That the kernel holds less for the sockets than the configuration asks for, a line; nothing if it does not.
fn short_queues(listening: &Value) -> String {
    let less = list(listening).find_map(|one| {
        let got = one["receive_buffer_bytes"].as_u64()?;
        let wanted = one["receive_buffer_wanted_bytes"].as_u64()?;
        (got < wanted).then(|| {
            format!(
                "\nreceive buffer of {got} octets, not {wanted} ([overload] receive-buffer): more takes CAP_NET_ADMIN at the start, or \
                 net.core.rmem_max\n"
            )
        })
    });
    less.unwrap_or_default()
}

fn mebibytes(octets: &Value) -> String {
    octets.as_f64().map_or_else(dash, |octets| format!("{:.1} MiB", octets / 1_048_576.0))
}

/// What roles should have given up and could not: a line for each, nothing if there is none.
fn lacking(roles: &Value) -> String {
    let mut lines = String::new();
    for role in list(roles) {
        let parts: Vec<_> = list(&role["sandbox"]["lacking"]).map(text).collect();
        if !parts.is_empty() {
            let (name, parts) = (text(&role["role"]), parts.join(", "));
            lines.push_str(&format!("\n{name} is not confined in: {parts}"));
        }
    }
    if lines.is_empty() { lines } else { format!("{lines}\n") }
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value as a person reads it; control characters from wherever do not reach the terminal.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => dash(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        other => other.to_string(),
    }
}

fn seconds(value: &Value) -> String {
    match value.as_f64() {
        Some(long) if long >= 60.0 => {
            let whole = long as u64;
            let (days, rest) = (whole / 86_400, whole % 86_400);
            let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
            if days > 0 { format!("{days} d {clock}") } else { format!("{clock} h") }
        }
        Some(short) => unsigned(short),
        None => dash(),
    }
}

pub(crate) fn dash() -> String {
    "-".to_owned()
}

/// For an hour after a role ended by itself its end deserves a look, so that whoever looks every few minutes learns of it.
const LATELY: f64 = 3600.0;

/// The leap second that comes, or is being smeared, by what is said of the clock as served.
pub(crate) fn leap_second(state: &Value) -> Option<String> {
    let leap = state.pointer("/clock/leap_second").filter(|leap| leap.is_object())?;
    let what = if leap["kind"] == "delete" { "left out" } else { "inserted" };
    let is_kept = state["tracking"]["clock"] == "keep";
    let clock = if is_kept { text(&leap["clock"]) } else { "not touched".to_owned() };
    let day = text(&leap["end_of_day"]);
    let mut words = format!("one second {what} before {day}; this clock: {clock}");
    let smear = &leap["smear"];
    if let Some(ahead) = smear["ahead_seconds"].as_f64() {
        let (shape, length) = (text(&smear["shape"]), text(&smear["length_seconds"]));
        let ahead = crate::query::signed(ahead);
        words += &format!("; smeared ({shape}, {length} s), served time ahead by {ahead} now");
    }
    Some(words)
}

/// Since when and why the clock is served without a source, if it is.
pub(crate) fn local(clock: &Value) -> Option<String> {
    let local = clock.get("local").filter(|local| local.is_object())?;
    let (stratum, since) = (text(&clock["stratum"]), text(&local["since"]));
    Some(format!("local, stratum {stratum}, since {since}: {}", text(&local["why"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state() -> Value {
        json!({
            "schema": 1, "version": "0.1.0", "started": "2026-11-22T11:00:00Z", "uptime_seconds": 90061.5, "ready": true,
            "configuration": { "file": "/etc/x.toml", "generation": 2, "loaded": "2026-11-22T11:00:00Z", "refused": null },
            "certificate": null,
            "listening": [{ "protocol": "ntp", "address": "127.0.0.1:123", "interface": null }],
            "clock": { "synchronised": true, "leap": "none", "stratum": 2, "reference_id": "127.127.1.1",
                "root_delay_seconds": 0.0, "root_dispersion_seconds": 0.001, "precision_log2_seconds": -25, "stale": false, "local": null },
            "tracking": { "state": "synchronised", "why": "too far" },
            "cookies": { "epoch": 7, "oldest_epoch": 0, "next_rotation": "2026-11-23T00:00:00Z", "overdue": false },
            "roles": [{ "role": "ntp", "state": "ready", "silent_seconds": null, "pid": 7, "restarts": 0, "last_end": null,
                "last_end_time": null, "last_end_seconds_ago": null, "memory_bytes": 1048576, "memory_bound_bytes": 41943040 }],
            "tables": [{ "name": "interleaved", "entries": 65536, "memory_bytes": 4194304 }],
            "counters": { "ntp": { "received": 10, "dropped_short": 0 }, "ke": {} }
        })
    }

    #[test]
    fn a_state_is_shown_with_what_happened_and_without_what_did_not() {
        let shown = for_people(&state(), &[], Paint::PLAIN);
        for part in [
            "1 d 01:01:01",
            "generation 2",
            "127.127.1.1",
            "+1.000 ms".trim_start_matches('+'),
            "2^-25 s",
            "1.0 MiB",
            "40.0 MiB",
            "interleaved  65536  4.0 MiB",
            "received",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(!shown.contains("dropped_short") && !shown.contains("certificate"), "{shown}");
    }

    #[test]
    fn what_happened_to_the_machine_is_a_concern_for_an_hour() {
        let check = |ago: f64, expected: Option<&str>| {
            let mut state = state();
            state["machine"] = serde_json::json!({
                "restored": null,
                "meddled": { "count": 2, "time": "2026-11-22T11:20:00Z", "seconds_ago": ago, "facts": "set by +5 s" }
            });
            let concerns = concerns(&state);
            let said = concerns.iter().find(|concern| concern.words.contains("somebody else"));
            assert_eq!(said.map(|concern| concern.words.as_str()), expected, "{ago}");
            assert!(said.is_none_or(|concern| concern.verdict == Verdict::Warning));
        };
        let words = "somebody else set or steered the clock, and it was put right (00:01:40 h ago, 2 so far): set by +5 s";
        check(100.0, Some(words));
        check(3601.0, None);
    }

    #[test]
    fn a_clock_served_without_a_source_says_since_when_and_why() {
        let mut state = state();
        state["clock"]["local"] = Value::Null;
        assert!(!for_people(&state, &[], Paint::PLAIN).contains("local, stratum"));
        state["clock"]["stratum"] = json!(10);
        state["clock"]["local"] = json!({ "since": "2027-01-15T08:00:00.000000000Z", "why": "no source is usable any more" });
        let words =
            "local, stratum 10, since 2027-01-15T08:00:00.000000000Z: no source is usable any more";
        let shown = for_people(&state, &[], Paint::PLAIN);
        assert!(shown.contains(words), "{shown}");
    }

    #[test]
    fn overload_is_a_concern_while_it_lasts() {
        let mut state = state();
        let mut check = |began: u64, ended: u64, expected: usize| {
            state["counters"]["ntp"]["overloads"] = json!(began);
            state["counters"]["ntp"]["overloads_ended"] = json!(ended);
            let concerns = concerns(&state);
            assert_eq!(concerns.len(), expected, "{concerns:?}");
            assert!(concerns.iter().all(|concern| concern.words.starts_with("overload: ")));
        };
        check(0, 0, 0);
        check(3, 1, 1);
        check(3, 3, 0);
    }

    #[test]
    fn a_receive_buffer_is_shown_where_it_is_less_than_asked_for() {
        let mut state = state();
        let mut check = |got: Value, expected: bool| {
            state["listening"][0]["receive_buffer_bytes"] = got.clone();
            state["listening"][0]["receive_buffer_wanted_bytes"] = json!(4_194_304);
            let shown = for_people(&state, &[], Paint::PLAIN);
            assert_eq!(shown.contains("receive buffer of 212992 octets"), expected, "{shown}");
        };
        check(json!(4_194_304), false);
        check(Value::Null, false);
        check(json!(212_992), true);
    }

    #[test]
    fn a_leap_second_is_shown_with_its_smear() {
        assert_eq!(leap_second(&state()), None);
        let mut state = state();
        state["tracking"]["clock"] = json!("keep");
        state["clock"]["leap_second"] = json!({ "end_of_day": "2027-07-01T00:00:00.000000000Z", "kind": "insert",
            "clock": "kernel", "smear": null });
        let shown = leap_second(&state).expect("one comes");
        assert!(
            shown.contains("inserted before 2027-07-01") && shown.ends_with("kernel"),
            "{shown}"
        );
        state["clock"]["leap_second"]["smear"] =
            json!({ "shape": "linear", "length_seconds": 86400, "ahead_seconds": -0.25 });
        let shown = leap_second(&state).expect("one comes");
        assert!(shown.contains("linear, 86400 s") && shown.contains("-250.000 ms"), "{shown}");
        state["tracking"]["clock"] = json!("observe");
        let shown = leap_second(&state).expect("one comes");
        assert!(shown.contains("this clock: not touched"), "{shown}");
    }

    #[test]
    fn what_deserves_a_look_is_said() {
        fn check(path: &str, value: Value, expected: Option<&str>) {
            let mut state = state();
            *state.pointer_mut(path).expect(path) = value;
            let found = concerns(&state);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{path}: {found:?}");
            let shown = for_people(&state, &found, Paint::PLAIN);
            assert!(expected.is_none_or(|words| shown.contains(words)), "{shown}");
            assert_eq!(shown.contains("good"), expected.is_none(), "{shown}");
        }
        check("/ready", json!(true), None);
        check("/ready", json!(false), Some("not ready"));
        check("/configuration/refused", json!({ "reason": "line 3" }), Some("line 3"));
        check("/certificate", json!({ "refused": { "reason": "no key" } }), Some("warning: a new"));
        let in_time = |validity: &str| {
            json!({ "validity": validity, "names": ["a.example"], "not_after": "2026-12-01T00:00:00Z",
                "chain_not_before": "2026-09-01T00:00:00Z", "chain_not_after": "2026-12-01T00:00:00Z",
                "ends_in_seconds": 866_460 })
        };
        check("/certificate", in_time("valid"), None);
        check(
            "/certificate",
            in_time("ends-soon"),
            Some("warning: the certificate ends in 10 d 00:41:00"),
        );
        check(
            "/certificate",
            in_time("expired"),
            Some("critical: the certificate expired at 2026-12"),
        );
        check("/certificate", in_time("not-yet-valid"), Some("clock is not set"));
        check("/clock/stale", json!(true), Some("stale"));
        check("/cookies/overdue", json!(true), Some("overdue since 2026-11-23"));
        check("/clock/synchronised", json!(false), Some("not synchronised: too far"));
        let local =
            json!({ "since": "2027-01-15T08:00:00Z", "why": "no source is usable any more" });
        check("/clock/local", local, Some("no source is usable any more"));
        check("/roles/0/state", json!("waiting"), Some("warning: ntp ended"));
        check("/roles/0/state", json!("hung"), Some("critical: ntp hangs or is stopped"));
        check("/roles/0/last_end_seconds_ago", json!(90.0), Some("00:01:30 h ago"));
        check("/roles/0/last_end_seconds_ago", json!(3599.0), Some("warning: ntp ended by itself"));
        check("/roles/0/last_end_seconds_ago", json!(3600.0), None);
    }

    #[test]
    fn a_certificate_is_shown_with_its_names_and_time() {
        let mut state = state();
        state["certificate"] = json!({ "generation": 2, "loaded": "x", "refused": null, "validity": "valid",
            "names": ["a.example", "192.0.2.1"], "not_before": "from", "not_after": "to", "chain_not_after": "earlier",
            "spki_sha256": "a5a5" });
        let shown = for_people(&state, &concerns(&state), Paint::PLAIN);
        for part in ["a.example, 192.0.2.1", "valid from", "valid until", "earlier", "sha256:a5a5"]
        {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }

    #[test]
    fn what_could_not_be_given_up_is_said() {
        let mut state = state();
        assert!(!for_people(&state, &[], Paint::PLAIN).contains("confined"));
        state["roles"][0]["sandbox"] =
            json!({ "user": 998, "given_up": ["user"], "lacking": ["tcp-ports", "signals"] });
        let shown = for_people(&state, &concerns(&state), Paint::PLAIN);
        assert!(shown.ends_with("ntp is not confined in: tcp-ports, signals\n"), "{shown}");
        assert!(shown.contains("good"), "{shown}");
    }

    #[test]
    fn a_state_of_another_shape_is_shown_as_far_as_it_is_known() {
        for odd in [
            json!(null),
            json!([]),
            json!({ "roles": 7, "counters": { "ntp": [1] }, "clock": "x" }),
        ] {
            let _ = for_people(&odd, &concerns(&odd), Paint::PLAIN);
        }
    }
}
