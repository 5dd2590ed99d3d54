//! `noonmarkd --dry-run`: asks the sources and prints what is learned of the clock, which is never touched.
//!
//! One process that holds no right, binds no address and opens no state, so it can be run beside whatever keeps the clock.

use std::io;
use std::time::Duration;

use noonmark_client::{Runner, Wanted};
use noonmark_clock::SystemClock;
use noonmark_config::{ClockMode, Settings};
use noonmark_os::clock::{self, ObservedClock};
use noonmark_os::{caps, process};
use noonmark_packet::ReferenceId;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Failure, Status};
use crate::observe::tracking;
use crate::output::{self, Reader};
use crate::sources::{self, view};
use crate::status::{Source, Tracking};
use crate::{log, warden};

/// Asks until a signal comes or nobody reads any more.
///
/// # Errors
/// [`Status::Configuration`] if there is nobody to ask, [`Status::System`] for what the kernel refuses.
pub fn run(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    let system = |what| Failure::while_doing::<io::Error>(Status::System, what);
    caps::drop_sys_time().map_err(system("giving up CAP_SYS_TIME"))?;
    process::forbid_dumps().map_err(system("forbidding core dumps"))?;
    if settings.sources.is_empty() {
        return Err(Failure::new(Status::Configuration, "there is no [[source]] to ask"));
    }
    log::start("dry-run", settings.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("the runtime"))?;
    let result = runtime.block_on(watch(settings, as_json));
    runtime.shutdown_background();
    result
}

async fn watch(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    let system = |what| Failure::while_doing::<io::Error>(Status::System, what);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(system("signals"))?;
    let mut runner =
        sources::open(settings, None, warden::RELEASED, None, sources::specs::trust(settings)?)?;
    let mut kept = ObservedClock::new("this is a dry run");
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let mut shown = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            wanted = runner.next() => {
                obey(&mut runner, &mut kept, wanted.map_err(system("watching the clock"))?);
            }
            _ = tick.tick() => {}
        }
        let row = Row::of(&runner, settings);
        if row.tracking.updates == shown {
            continue;
        }
        shown = row.tracking.updates;
        let printed = if as_json {
            output::print_json(&row, false)?
        } else {
            output::print(&row.for_people(&kept))?
        };
        if printed == Reader::Gone {
            return Ok(());
        }
    }
}

fn obey(runner: &mut Runner, kept: &mut ObservedClock, wanted: Wanted) {
    match wanted {
        Wanted::Adjust(adjustment) => runner.adjusted(&kept.adjust(&adjustment)),
        Wanted::NotEstablished(id, error) => {
            tracing::warn!(source = id.0, %error, "key establishment failed; it is tried again");
        }
        Wanted::Unresolved(error) => tracing::warn!(%error, "name not resolved; it is tried again"),
        Wanted::Told(event) => tracing::debug!(?event, "source"),
        Wanted::Established(id, established) => {
            tracing::info!(source = id.0, server = %established.ntp_server, "NTS keys established");
        }
    }
}

/// What one line says.
#[derive(Serialize)]
struct Row {
    time: String,
    tracking: Tracking,
    sources: Vec<Source>,
}

impl Row {
    fn of(runner: &Runner, settings: &Settings) -> Self {
        let (now, time) = (clock::reading(), clock::realtime());
        let sources = runner.sources();
        let (mut found, reports) = (sources.keeper().tracking(now), sources.keeper().sources(now));
        let statuses = sources.statuses();
        let id = found
            .reference
            .and_then(|id| sources.address(id))
            .map_or(ReferenceId::NONE, |address| noonmark_client::reference_id_of(address.ip()));
        found.leap = sources::leap(&statuses, &reports, &settings.sources, found.state);
        let agreeing = sources::agreeing(sources.keeper());
        let report = view::report(now, &found, id, agreeing, &statuses, &reports);
        Self {
            time: time.to_string(),
            tracking: tracking::tracking(&report, ClockMode::Observe, now.mono, time)
                .within(settings.clock.max_distance),
            sources: tracking::sources(&report, now.mono),
        }
    }

    fn for_people(&self, kept: &ObservedClock) -> String {
        let Self { time, tracking, .. } = self;
        let steps = match kept.wished().steps {
            0 => String::new(),
            count => format!(", would have stepped {count} times"),
        };
        format!("{time} {}{steps}\n", tracking.in_short())
    }
}

/// Something may have changed without a sign of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
