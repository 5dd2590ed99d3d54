//! The state of a running noonmarkd: read from its Unix socket within a time limit, and checked to be one (docs/status.md).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time;

use crate::quantity::length;

/// Reads the state of the daemon behind `socket`: connecting, waiting and reading take no longer than `patience` together.
///
/// What comes back has the schema this program understands, and every member its commands cannot do without.
///
/// # Errors
/// [`NoState`] says at which step it failed.
pub fn read(socket: &Path, patience: Duration) -> Result<Value, NoState> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| NoState::new(socket, Why::Io("cannot be read", error)))?;
    runtime.block_on(ask(socket, patience))
}

/// As [`read`], for those who do something else meanwhile.
///
/// # Errors
/// As [`read`].
pub async fn ask(socket: &Path, patience: Duration) -> Result<Value, NoState> {
    let state = match time::timeout(patience, fetch(socket)).await {
        Ok(octets) => octets.and_then(|octets| understand(&octets)),
        Err(_) => Err(Why::Late(patience)),
    };
    state.map_err(|why| NoState::new(socket, why))
}

fn understand(octets: &[u8]) -> Result<Value, Why> {
    let state = serde_json::from_slice(octets).map_err(Why::NoJson)?;
    check(&state).map(|()| state)
}

async fn fetch(socket: &Path) -> Result<Vec<u8>, Why> {
    let mut stream = loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => break stream,
            // So many wait to be answered that the kernel takes no more for now.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                time::sleep(CONNECT_EVERY).await;
            }
            Err(error) => return Err(Why::Io("cannot be reached", error)),
        }
    };
    let mut octets = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part).await {
            Ok(0) => return Ok(octets),
            Ok(len) => octets.extend_from_slice(part.get(..len).unwrap_or_default()),
            Err(error) => return Err(Why::Io("cannot be read", error)),
        }
        if octets.len() > LONGEST_STATE {
            return Err(Why::TooLong);
        }
    }
}

/// Whether this is a state as this program understands it.
fn check(state: &Value) -> Result<(), Why> {
    let Some(schema) = state.get("schema").and_then(Value::as_u64) else {
        return Err(Why::NoState { member: "schema".to_owned(), wanted: "a number" });
    };
    if schema != SCHEMA {
        let version = state["version"].as_str().unwrap_or("unknown");
        return Err(Why::OtherSchema { schema, version: printable(version) });
    }
    check_members(state, "", &MEMBERS)?;
    if state["tracking"].is_object() {
        check_members(&state["tracking"], "tracking.", &TRACKING)?;
    }
    for (list, members) in [("sources", &SOURCE[..]), ("roles", &ROLE[..])] {
        for (place, one) in state[list].as_array().into_iter().flatten().enumerate() {
            check_members(one, &format!("{list}[{place}]."), members)?;
        }
    }
    Ok(())
}

fn check_members(object: &Value, prefix: &str, members: &[(&str, Shape)]) -> Result<(), Why> {
    for (path, shape) in members {
        let found = path.split('.').try_fold(object, |value, name| value.get(name));
        if !found.is_some_and(|value| shape.fits(value)) {
            return Err(Why::NoState { member: format!("{prefix}{path}"), wanted: shape.name() });
        }
    }
    Ok(())
}

/// What a member has to be.
#[derive(Clone, Copy)]
enum Shape {
    Flag,
    Number,
    Text,
    List,
    Object,
    /// An object, or `null` where there is nothing to say.
    Maybe,
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
            Self::Maybe => value.is_object() || value.is_null(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Maybe => "an object or null",
        }
    }
}

/// The state of the daemon could not be read.
#[derive(Debug)]
pub struct NoState {
    socket: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// The system refused.
    Io(&'static str, io::Error),
    /// The time was over.
    Late(Duration),
    TooLong,
    NoJson(serde_json::Error),
    /// JSON, but not a state: this member is missing or of another shape.
    NoState {
        member: String,
        wanted: &'static str,
    },
    OtherSchema {
        schema: u64,
        version: String,
    },
}

impl NoState {
    fn new(socket: &Path, why: Why) -> Self {
        Self { socket: socket.to_owned(), why }
    }
}

impl fmt::Display for NoState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the status socket {} ", self.socket.display())?;
        match &self.why {
            Why::Io(what, error) => {
                write!(f, "{what}: {error}")?;
                match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => f.write_str(
                        "; is noonmarkd running, with [status] socket set to this path? (--socket names another)",
                    ),
                    io::ErrorKind::PermissionDenied => f.write_str("; its owner and group may ask"),
                    _ => Ok(()),
                }
            }
            Why::Late(patience) => write!(
                f,
                "is not answered in time ({}): noonmarkd, or its process observe, hangs or is stopped",
                length(patience.as_secs_f64())
            ),
            Why::TooLong => f.write_str("is answered with more than a state"),
            Why::NoJson(error) => write!(f, "is not answered with JSON: {error}"),
            Why::NoState { member, wanted } => write!(
                f,
                "is not answered with the state of noonmarkd: its member {member} is missing, or is not {wanted}"
            ),
            Why::OtherSchema { schema, version } => write!(
                f,
                "is answered in schema {schema} by noonmarkd {version}, and this noonmark {} understands schema {SCHEMA}: \
                 use the noonmark that came with that noonmarkd",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

impl std::error::Error for NoState {}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(32).collect()
}

/// The daemon answers from memory; a local socket is quick.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// The `schema` that is understood.
const SCHEMA: u64 = 1;
/// A state is some kilobytes.
const LONGEST_STATE: usize = 1 << 22;
const CONNECT_EVERY: Duration = Duration::from_millis(20);

const MEMBERS: [(&str, Shape); 10] = [
    ("version", Shape::Text),
    ("ready", Shape::Flag),
    ("configuration", Shape::Object),
    ("listening", Shape::List),
    ("clock.synchronised", Shape::Flag),
    ("clock.stratum", Shape::Number),
    ("tracking", Shape::Maybe),
    ("sources", Shape::List),
    ("roles", Shape::List),
    ("counters", Shape::Object),
];
const TRACKING: [(&str, Shape); 4] = [
    ("clock", Shape::Text),
    ("state", Shape::Text),
    ("age_seconds", Shape::Number),
    ("updates", Shape::Number),
];
const SOURCE: [(&str, Shape); 3] =
    [("name", Shape::Text), ("state", Shape::Text), ("why", Shape::Text)];
const ROLE: [(&str, Shape); 2] = [("role", Shape::Text), ("state", Shape::Text)];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    /// The least that is a state.
    pub(crate) fn bare() -> Value {
        json!({ "schema": 1, "version": "0.1.0", "ready": true, "configuration": {}, "listening": [],
            "clock": { "synchronised": true, "stratum": 2 }, "tracking": null, "sources": [], "roles": [], "counters": {} })
    }

    #[test]
    fn what_is_no_state_is_refused_with_the_member_that_is_wrong() {
        let check = |path: &str, value: Value, expected: Option<&str>| {
            let mut state = bare();
            state["tracking"] = json!({ "clock": "keep", "state": "synchronised", "age_seconds": 0.5, "updates": 1 });
            state["sources"] = json!([{ "name": "a", "state": "followed", "why": "so" }]);
            *state.pointer_mut(path).expect(path) = value;
            let said = super::check(&state)
                .err()
                .map(|why| NoState::new(Path::new("/x"), why).to_string());
            assert_eq!(said.is_some(), expected.is_some(), "{path}: {said:?}");
            let (said, expected) = (said.unwrap_or_default(), expected.unwrap_or_default());
            assert!(said.contains(expected), "{path}: {said}");
        };
        check("/schema", json!(1), None);
        check("/tracking", json!(null), None);
        check("", json!({}), Some("member schema is missing"));
        check("", json!([]), Some("member schema is missing"));
        check("", json!({ "schema": 1 }), Some("member version is missing, or is not a text"));
        check("/schema", json!("1"), Some("schema is missing, or is not a number"));
        check("/schema", json!(2), Some("in schema 2 by noonmarkd 0.1.0"));
        check("/clock/synchronised", json!("yes"), Some("clock.synchronised is"));
        check("/tracking", json!(7), Some("tracking is missing, or is not an object or null"));
        check("/tracking/state", json!(null), Some("tracking.state is"));
        check("/sources", json!({}), Some("sources is missing, or is not a list"));
        check("/sources/0/why", json!(1), Some("sources[0].why is"));
    }

    /// chronyc as root changed the mode of its own socket in a folder of another account, who could put another file there.
    #[test]
    fn asking_leaves_the_socket_and_its_folder_as_they_were() {
        use std::os::unix::fs::MetadataExt;
        let folder = std::env::temp_dir().join(format!("noonmark-asked-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a new name");
        let path = folder.join("status.sock");
        let listener = UnixListener::bind(&path).expect("a new name");
        // Owner, mode, names in the folder: to change any of them changes this time.
        let changed = |path: &Path| {
            let found = std::fs::symlink_metadata(path).expect("there");
            (found.ino(), found.ctime(), found.ctime_nsec())
        };
        let before = (changed(&folder), changed(&path));
        let daemon = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("asked");
            std::io::Write::write_all(&mut socket, bare().to_string().as_bytes()).expect("read");
        });
        assert!(read(&path, Duration::from_secs(30)).is_ok());
        daemon.join().expect("no panic");
        assert_eq!((changed(&folder), changed(&path)), before);
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_waited_for_no_longer_than_that() {
        let path = std::env::temp_dir().join(format!("noonmark-mute-{}", std::process::id()));
        let _listener = UnixListener::bind(&path).expect("a new name");
        let patience = Duration::from_millis(200);
        // Until the kernel takes no more connections, and some after that.
        let mut waiting = Vec::new();
        let start = Instant::now();
        for _ in 0..3 {
            let error = read(&path, patience).expect_err("mute").to_string();
            assert!(error.contains("is not answered in time (200 ms)"), "{error}");
            waiting.extend(fill(&path));
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(!waiting.is_empty());
        std::fs::remove_file(&path).expect("ours");
    }

    /// Connects until there is no more room.
    fn fill(path: &Path) -> Vec<UnixStream> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut all = Vec::new();
            while let Ok(stream) = UnixStream::connect(path).await {
                all.push(stream);
            }
            all
        })
    }

    #[test]
    fn a_missing_daemon_is_said_with_the_socket() {
        let error = read(Path::new("/nonexistent/status.sock"), PATIENCE)
            .expect_err("nobody there")
            .to_string();
        assert!(
            error.contains("/nonexistent/status.sock") && error.contains("is noonmarkd running"),
            "{error}"
        );
    }
}
