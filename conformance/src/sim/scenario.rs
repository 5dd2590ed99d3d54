//! Scenario files: clocks, paths and servers as parameters, and what another program reached with them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::variant::Variant;

/// A file of scenarios, JSON. A key that is not known is an error, so that no condition is left out in silence.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// Remarks for readers.
    #[serde(default)]
    pub note: Option<Value>,
    /// Which program the figures under `chronyd` are of, with its version.
    #[serde(default)]
    pub software: Option<String>,
    /// The same for the figures under `ntpd`.
    #[serde(default)]
    pub second_reference: Option<Value>,
    /// How figures are written.
    #[serde(default)]
    pub figures: Option<Value>,
    /// What each figure is.
    #[serde(default)]
    pub metrics: Option<Value>,
    /// What each key of a model means.
    #[serde(default)]
    pub model_keys: Option<Value>,
    /// Where the figures under `bound` come from.
    #[serde(default)]
    pub bound: Option<Value>,
    /// What holds where a scenario says nothing.
    #[serde(default)]
    pub defaults: Defaults,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

/// What holds where a scenario says nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Seconds a run takes.
    #[serde(default = "usual_duration")]
    pub duration: u64,
    /// The clock as an expression of another simulator; not read, `model` says it.
    #[serde(default)]
    pub client: Option<Value>,
    /// The paths as expressions of another simulator; not read, `model` says it.
    #[serde(default)]
    pub server: Option<Value>,
    /// How the client is configured.
    #[serde(default = "usual_variants")]
    pub variants: BTreeMap<String, Variant>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { duration: usual_duration(), client: None, server: None, variants: usual_variants() }
    }
}

/// One scenario: a world, a duration, and the ways the client is configured in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A short name.
    pub id: String,
    /// What is special about it.
    #[serde(default)]
    pub title: String,
    /// Seconds a run takes, if not the usual.
    #[serde(default)]
    pub duration: Option<u64>,
    /// The second at which what the scenario is about happens.
    #[serde(default)]
    pub event: Option<u64>,
    /// The world.
    pub model: Model,
    /// How the client is configured, if not as usual.
    #[serde(default)]
    pub variants: Option<BTreeMap<String, Variant>>,
    /// What chronyd reached, by variant.
    #[serde(default)]
    pub chronyd: BTreeMap<String, Figures>,
    /// What ntpd reached, by variant.
    #[serde(default)]
    pub ntpd: BTreeMap<String, Figures>,
    /// What a filter reaches that knows more than a client can.
    #[serde(default)]
    pub bound: BTreeMap<String, BTreeMap<String, f64>>,
    /// The clock as an expression of another simulator; not read.
    #[serde(default)]
    pub client: Option<Value>,
    /// The paths as expressions of another simulator; not read.
    #[serde(default)]
    pub servers: Option<Value>,
}

/// A clock and the servers it can ask.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The client's clock.
    pub client: ClockModel,
    /// The servers, each with its paths.
    pub servers: Vec<ServerModel>,
}

/// A clock as it would be if nobody kept it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClockModel {
    /// Clock less true time at the start, s.
    #[serde(default)]
    pub offset: f64,
    /// Constant part of the oscillator's error, s/s.
    #[serde(default)]
    pub freq: f64,
    /// Deviation of the normal step the error takes at every whole second, the first included, s/s.
    #[serde(default)]
    pub wander: f64,
    /// `[a, p]`: a·sin(2πt/p) is added to the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freq_sine: Option<(f64, f64)>,
    /// `[t, f]`: f is added to the error from second t on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freq_step: Option<(f64, f64)>,
    /// `[t, x]` each: at second t somebody moves the clock by x seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_steps: Vec<(f64, f64)>,
}

/// A server: its two paths and its clock, which is exact unless said otherwise.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerModel {
    /// From the client to the server.
    pub up: PathModel,
    /// From the server to the client.
    pub down: PathModel,
    /// The server's clock less true time, s.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: f64,
    /// `[t, f]`: the server's clock gains f s/s from second t on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freq_step: Option<(f64, f64)>,
}

/// One direction of one path: each packet takes base + exp·Exponential(1), drawn anew.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PathModel {
    /// The least delay, s.
    pub base: f64,
    /// Mean of the rest, s.
    #[serde(default)]
    pub exp: f64,
    /// Probability that a packet is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// `[t, x]`: x is added to the base of packets sent after t.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<(f64, f64)>,
    /// `[w, p]`: packets pass only in the first w seconds of every p, less the last tenth of a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_first: Option<(f64, f64)>,
    /// Of every so many packets in this direction one passes: the last of them, as in the runs the figures are from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_every: Option<u64>,
}

/// Figures of many runs of one variant: each is `[median, p90]` by nearest rank, where a value never reached is null and sorts
/// last; a third number counts the runs that never reached it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub struct Figures {
    /// How many runs.
    pub seeds: u64,
    by_metric: BTreeMap<String, (Option<f64>, Option<f64>)>,
}

impl Figures {
    /// The median of a metric; `None` if there is none or it was never reached.
    #[must_use]
    pub fn median(&self, metric: &str) -> Option<f64> {
        self.by_metric.get(metric).and_then(|figure| figure.0)
    }

    /// The 90th percentile of a metric.
    #[must_use]
    pub fn p90(&self, metric: &str) -> Option<f64> {
        self.by_metric.get(metric).and_then(|figure| figure.1)
    }

    /// Whether the metric was measured at all, reached or not.
    #[must_use]
    pub fn has(&self, metric: &str) -> bool {
        self.by_metric.contains_key(metric)
    }
}

impl TryFrom<BTreeMap<String, Value>> for Figures {
    type Error = String;

    fn try_from(text: BTreeMap<String, Value>) -> Result<Self, String> {
        let mut figures = Self::default();
        for (metric, value) in text {
            let numbers: Vec<Option<f64>> = match &value {
                Value::Array(items) => items.iter().map(Value::as_f64).collect(),
                one => vec![one.as_f64()],
            };
            match (metric.as_str(), numbers.as_slice()) {
                ("seeds", [Some(seeds)]) => figures.seeds = *seeds as u64,
                (name, [median, p90] | [median, p90, _]) if is_metric(name) => {
                    figures.by_metric.insert(metric, (*median, *p90));
                }
                (name, _) if is_metric(name) => {
                    return Err(format!(
                        "`{name}` is not [median, p90] or [median, p90, never]: {value}"
                    ));
                }
                (name, _) => return Err(format!("unknown metric `{name}`")),
            }
        }
        Ok(figures)
    }
}

impl ScenarioFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong and at which line and column: syntax, an unknown key, an option of a variant that has no meaning here, a
    /// number that makes no sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        file.scenarios.iter().try_for_each(|scenario| {
            scenario.check().map_err(|problem| format!("scenario {}: {problem}", scenario.id))
        })?;
        Ok(file)
    }
}

impl Scenario {
    /// Seconds a run takes.
    #[must_use]
    pub fn duration(&self, defaults: &Defaults) -> u64 {
        self.duration.unwrap_or(defaults.duration)
    }

    /// The ways the client is configured.
    #[must_use]
    pub fn variants<'a>(&'a self, defaults: &'a Defaults) -> &'a BTreeMap<String, Variant> {
        self.variants.as_ref().unwrap_or(&defaults.variants)
    }

    fn check(&self) -> Result<(), String> {
        let Model { client, servers } = &self.model;
        check_number("client.offset", client.offset, |x| x.abs() < 1e9)?;
        check_number("client.freq", client.freq, |x| x.abs() < 0.2)?;
        check_number("client.wander", client.wander, |x| (0.0..0.1).contains(&x))?;
        if let Some((amplitude, period)) = client.freq_sine {
            check_number("client.freq_sine amplitude", amplitude, |x| x.abs() < 0.2)?;
            check_number("client.freq_sine period", period, |x| x > 0.0)?;
        }
        for (at, by) in client.freq_step.into_iter().chain(client.time_steps.iter().copied()) {
            check_number("the time of a client's step", at, |x| x >= 0.0)?;
            check_number("the size of a client's step", by, |x| x.abs() < 1e9)?;
        }
        if servers.is_empty() {
            return Err("no server".into());
        }
        for (number, server) in servers.iter().enumerate() {
            let place = |problem: String| format!("server {number}: {problem}");
            check_number("offset", server.offset, |x| x.abs() < 1e9).map_err(place)?;
            server.up.check().map_err(|p| place(format!("up: {p}")))?;
            server.down.check().map_err(|p| place(format!("down: {p}")))?;
        }
        Ok(())
    }
}

impl PathModel {
    fn check(&self) -> Result<(), String> {
        check_number("base", self.base, |x| (0.0..1e6).contains(&x))?;
        check_number("exp", self.exp, |x| (0.0..1e6).contains(&x))?;
        if let Some(loss) = self.loss {
            check_number("loss", loss, |x| (0.0..=1.0).contains(&x))?;
        }
        if let Some((width, period)) = self.open_first {
            check_number("open_first width", width, |x| x >= 0.0)?;
            check_number("open_first period", period, |x| x > 0.0)?;
        }
        if self.pass_every == Some(0) {
            return Err("pass_every 0 would pass nothing; say loss 1".into());
        }
        Ok(())
    }
}

fn check_number(what: &str, value: f64, good: impl Fn(f64) -> bool) -> Result<(), String> {
    if value.is_finite() && good(value) {
        Ok(())
    } else {
        Err(format!("{what} may not be {value}"))
    }
}

fn is_metric(name: &str) -> bool {
    METRICS.contains(&name)
        || ["sync_", "hold_", "resync_", "rehold_"].iter().any(|start| name.starts_with(start))
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn usual_duration() -> u64 {
    10_000
}

fn usual_variants() -> BTreeMap<String, Variant> {
    let variant = |server: &str, conf: &[&str]| {
        Variant::read(server, conf, &[]).expect("the options are ones we know")
    };
    BTreeMap::from([
        ("fixed6".to_owned(), variant("minpoll 6 maxpoll 6", &[])),
        ("user".to_owned(), variant("iburst", &["makestep 1 3"])),
    ])
}

/// Metrics beside those that carry a limit in their name.
const METRICS: &[&str] = &[
    "freq_max",
    "freq_max_tail",
    "freq_rms",
    "freq_rms_tail",
    "max",
    "max_60_600",
    "max_after",
    "max_tail",
    "mean",
    "packets",
    "rms",
    "rms_after",
    "rms_before",
    "rms_tail",
    "selected",
    "steps",
    "unsynced",
];

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"scenarios": [{"id": "x", "model": {
        "client": {"offset": 0.1, "freq": 1e-4, "wander": 1e-9},
        "servers": [{"up": {"base": 1e-4, "exp": 1e-4}, "down": {"base": 1e-4}}]},
        "chronyd": {"user": {"seeds": 50, "rms": [2e-5, 3e-5], "sync_1ms": [null, null, 50]}}}]}"#;

    #[test]
    fn a_scenario_without_variants_has_the_usual_two() {
        let file = ScenarioFile::parse(GOOD).unwrap();
        let scenario = &file.scenarios[0];
        assert_eq!(scenario.duration(&file.defaults), 10_000);
        let names: Vec<&String> = scenario.variants(&file.defaults).keys().collect();
        assert_eq!(names, ["fixed6", "user"]);
        let figures = &scenario.chronyd["user"];
        assert_eq!((figures.median("rms"), figures.p90("rms")), (Some(2e-5), Some(3e-5)));
        assert_eq!((figures.median("sync_1ms"), figures.has("sync_1ms")), (None, true));
        assert_eq!((figures.median("max"), figures.has("max")), (None, false));
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        let check = |from: &str, to: &str, named: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let problem = ScenarioFile::parse(&text).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        };
        check(r#""wander""#, r#""wonder""#, "unknown field `wonder`");
        check(r#""down": {"#, r#""down": {"jitter": 1, "#, "unknown field `jitter`");
        check(r#""id""#, r#""weather": 1, "id""#, "line 1 column");
        check(r#""rms""#, r#""rsm""#, "unknown metric `rsm`");
        check(
            r#""id": "x""#,
            r#""id": "x", "variants": {"v": {"server": "fast", "conf": []}}"#,
            "`fast`",
        );
        check(r#""base": 1e-4, "exp""#, r#""base": -1, "exp""#, "scenario x: server 0: up: base");
        check(r#""offset": 0.1"#, r#""offset": 1e300"#, "client.offset");
    }
}
