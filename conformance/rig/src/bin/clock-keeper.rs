//! `clock-keeper`: keeps a guest's clock by one server, with everything the daemon keeps time with and nothing around it: sources,
//! keeper, guard, kernel clock, in one process.
//!
//! Runs only in a guest. Prints what it does to the clock, and every second `interval CYCLES EARLIEST LATEST`: between which times,
//! in ns since 1970, it says the truth lies when the processor's counter is so far.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use noonmark_client::{
    Endpoint, Outlet, Runner, RunnerSettings, SourceKind, SourceSpec, Sources, Wanted,
};
use noonmark_clock::guard::{Facts, Guard, Life, Request, Rules, Steps};
use noonmark_clock::{
    Adjusted, Adjustment, Keeper, NotAdjusted, Settings, SourceOptions, SystemClock,
};
use noonmark_nts::KeRequest;
use noonmark_os::clock::{self, KernelClock};
use noonmark_os::random::RandomPool;
use noonmark_rig::guest;
use noonmark_rig::truth::cycles;
use noonmark_units::{PollExponent, Timestamp, UnixTime};

/// Keeps the clock until ended.
#[derive(Parser)]
struct Arguments {
    /// The server's address
    #[arg(long)]
    server: String,
    /// Shortest interval between questions, log2 s
    #[arg(long, default_value_t = 6, allow_hyphen_values = true)]
    minpoll: i8,
    /// Longest interval between questions, log2 s
    #[arg(long, default_value_t = 10, allow_hyphen_values = true)]
    maxpoll: i8,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match (guest::Guest::enter(), runtime) {
        (Ok(_), Ok(runtime)) => runtime.block_on(keep(&arguments)),
        (Err(problem), _) => Err(problem.into()),
        (_, Err(problem)) => Err(problem.into()),
    };
    let Err(problem) = result;
    eprintln!("clock-keeper: {problem}");
    ExitCode::from(2)
}

async fn keep(
    arguments: &Arguments,
) -> Result<std::convert::Infallible, Box<dyn std::error::Error>> {
    let mut kernel = KernelClock::open()?;
    let now = kernel.read();
    let mut guard = Guard::new(rules(), Life { boot: [1; 16], run: [1; 16] }, now);
    let keeper = Keeper::new(Settings::default(), None, now);
    let mut pool = RandomPool::new()?;
    let random = Box::new(move |out: &mut [u8]| pool.fill(out));
    let sources = Sources::new(vec![spec(arguments)], keeper, clock::precision(), random, now);
    let settings = RunnerSettings {
        tls: None,
        request: KeRequest::default(),
        time_limit: Duration::from_secs(10),
        outlet: Outlet::default(),
    };
    let mut runner = Runner::new(sources, settings)?;
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            wanted = runner.next() => match wanted? {
                Wanted::Adjust(adjustment) => {
                    let updates = runner.sources().keeper().tracking(clock::reading()).updates;
                    let outcome = adjust(&mut kernel, &mut guard, adjustment, updates);
                    runner.adjusted(&outcome);
                }
                other => println!("{other:?}"),
            },
            _ = every_second.tick() => tell(&runner),
        }
    }
}

/// By way of the guard, as every correction goes.
fn adjust(
    kernel: &mut KernelClock,
    guard: &mut Guard,
    adjustment: Adjustment,
    updates: u32,
) -> Result<Adjusted, NotAdjusted> {
    let request = Request { adjustment, facts: Facts { agreeing: 1, updates } };
    let outcome = guard
        .permit(&request, kernel.read(), clock::realtime())
        .map_err(NotAdjusted::from)
        .and_then(|()| kernel.adjust(&adjustment));
    match &outcome {
        Ok(Adjusted { adjustment: Adjustment::Step(by), .. }) => println!("stepped by {by}"),
        Ok(_) => {}
        Err(refused) => println!("{refused:?}"),
    }
    outcome
}

fn tell(runner: &Runner) {
    let (count, now) = (cycles(), clock::reading());
    let tracking = runner.sources().keeper().tracking(now);
    let near = clock::realtime();
    let nanos = |time: Timestamp| {
        let UnixTime { seconds, nanos } = time.unix_near(near);
        i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
    };
    println!("interval {count} {} {}", nanos(tracking.earliest), nanos(tracking.latest));
    if tracking.updates > 0 {
        println!(
            "offset {} ± {}, frequency {} ± {}, delay {}, asked every {:?}",
            tracking.offset,
            tracking.offset_sigma,
            tracking.frequency,
            tracking.skew,
            tracking.root_delay,
            tracking.interval
        );
    }
}

fn rules() -> Rules {
    Rules { steps: Steps::First(3), ..Rules::new(UnixTime::EPOCH) }
}

fn spec(arguments: &Arguments) -> SourceSpec {
    let options = SourceOptions {
        min_poll: PollExponent(arguments.minpoll),
        max_poll: PollExponent(arguments.maxpoll),
        ..SourceOptions::default()
    };
    let kind = SourceKind::Server(Endpoint::new(arguments.server.clone(), 123));
    SourceSpec { options, ..SourceSpec::new(kind) }
}
