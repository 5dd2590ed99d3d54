//! `noonmark query`: asks one server and says what was learned.

mod findings;
mod report;
mod row;

use std::io;

use noonmark_client::{Client, Event, KeServer, Plan, Settings, resolve};
use noonmark_nts::{Aead, KeRequest};
use noonmark_os::clock;

use crate::command::QueryArguments;
use crate::interrupt::Interrupt;
use crate::output::{complain, deliver, write_json, write_text};
use crate::paint::Paint;
use crate::{Verdict, trust};
use findings::{Failure, Findings};
use row::Rows;

pub(crate) use report::{OFFSET, signed, unsigned};
pub use report::{Report, Sample};

/// Runs the query and prints what it found.
#[must_use]
pub fn run(arguments: &QueryArguments) -> Verdict {
    let (findings, shown) = ask(arguments);
    let report = Report::new(arguments, &findings);
    let written = shown.and_then(|()| {
        if arguments.json {
            write_json(&report)
        } else {
            write_text(&report.for_people(Paint::for_stream(&std::io::stdout())))
        }
    });
    if !arguments.json
        && let Some(error) = &report.error
    {
        complain(error);
    }
    deliver(report.verdict(), written)
}

/// Asks and shows each answer as it comes. Beside the findings: whether showing them worked.
fn ask(arguments: &QueryArguments) -> (Findings, io::Result<()>) {
    let mut findings = Findings::default();
    let mut rows = Rows::new(arguments);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return (findings.failed(Failure::Machine(error.to_string())), Ok(())),
    };
    let shown = runtime.block_on(async {
        let mut interrupt = match Interrupt::new() {
            Ok(interrupt) => interrupt,
            Err(error) => {
                findings.failure = Some(Failure::Machine(error.to_string()));
                return Ok(());
            }
        };
        match interrupt.unless(open(arguments)).await {
            Some(Ok(client)) => follow(client, &mut interrupt, &mut findings, &mut rows).await,
            Some(Err(failure)) => {
                findings.failure = Some(failure);
                Ok(())
            }
            None => {
                findings.interrupted = true;
                Ok(())
            }
        }
    });
    // The system's resolver may still be busy with a question whose answer nobody waits for.
    runtime.shutdown_background();
    (findings, shown.and_then(|()| rows.end()))
}

async fn open(arguments: &QueryArguments) -> Result<Client, Failure> {
    let plan = Plan::Count { questions: arguments.count, spacing: arguments.spacing() };
    let settings =
        Settings { window: arguments.time_out, ..Settings::new(plan, clock::precision()) };
    let client = if arguments.nts {
        Client::nts(ke_server(arguments)?, settings)
    } else {
        let addresses =
            resolve(&arguments.host, arguments.port.unwrap_or(NTP_PORT), arguments.family())
                .await?;
        let server = noonmark_client::first_reachable(&addresses).ok_or(Failure::NoRoute)?;
        Client::plain(server, settings)
    };
    client.map_err(|error| Failure::Machine(error.to_string()))
}

fn ke_server(arguments: &QueryArguments) -> Result<KeServer, Failure> {
    let tls = trust::tls(arguments.ca.as_deref())?;
    let offered = if arguments.aead.is_empty() { &DEFAULT_AEADS[..] } else { &arguments.aead };
    let mut request = KeRequest::offering(offered);
    request.compliant_export &= !arguments.no_compliant_gcm_siv;
    Ok(KeServer {
        host: arguments.host.clone(),
        port: arguments.ke_port,
        family: arguments.family(),
        tls,
        request,
        ntp_port: arguments.port,
        time_limit: arguments.time_out,
    })
}

/// Collects and shows what the client tells until it has nothing more to tell, nothing more can come, somebody interrupts, or
/// nobody reads on.
async fn follow(
    mut client: Client,
    interrupt: &mut Interrupt,
    findings: &mut Findings,
    rows: &mut Rows,
) -> io::Result<()> {
    let mut shown = Ok(());
    while shown.is_ok() {
        let Some(event) = interrupt.unless(client.next()).await else {
            findings.interrupted = true;
            break;
        };
        let Some(event) = event else { break };
        let stop = matches!(&event, Event::Kiss { .. }) && findings.samples.is_empty();
        shown = rows.show(&event);
        findings.note(event);
        // Asking on after "ask less" or "go away" would be rude, and the next answer could take hours.
        if stop && findings.must_be_quiet() {
            break;
        }
    }
    findings.server = client.server();
    findings.cookies_left = client.cookies_left();
    shown
}

/// The registered port of NTP.
const NTP_PORT: u16 = 123;

/// Short cookies first: they pass where networks drop long NTP packets.
pub const DEFAULT_AEADS: [Aead; 3] = [Aead::Aes128GcmSiv, Aead::SivCmac256, Aead::SivCmac512];
