//! What the operator allows, and what may happen.

use std::path::Path;

use noonmark_os::store::fault::Fault;
use noonmark_units::{Frequency, Span};
use proptest::prelude::*;

use super::simulated::SECOND;

/// What the operator wrote.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// `None`: always.
    pub first_updates: Option<u32>,
    pub largest_step: Option<u32>,
    pub boot_step: Option<u32>,
    pub per_hour: Option<u32>,
    pub per_day: Option<u32>,
    pub max_slew_ppm: u32,
    pub max_drift_ppm: u32,
    pub min_sources: u32,
}

impl Allowed {
    fn text(&self) -> String {
        let mut text = format!(
            "[[source]]\nserver = \"a.example\"\n[clock]\nclock = \"keep\"\nmax-slew = {}\nmax-drift = {}\nmin-sources = {}\n",
            self.max_slew_ppm, self.max_drift_ppm, self.min_sources
        );
        text += &match self.first_updates {
            Some(updates) => format!("step-updates = {updates}\n"),
            None => "step-updates = \"always\"\n".to_owned(),
        };
        for (key, seconds) in [
            ("largest-step", self.largest_step),
            ("boot-step", self.boot_step),
            ("max-per-hour", self.per_hour),
            ("max-per-day", self.per_day),
        ] {
            if let Some(seconds) = seconds {
                text += &format!("{key} = \"{seconds}s\"\n");
            }
        }
        text
    }

    pub fn settings(&self) -> noonmark_config::Clock {
        let parsed = noonmark_config::parse(&self.text(), Path::new("/x/noonmark.toml"));
        parsed.unwrap_or_else(|report| panic!("{report}")).clock
    }

    pub fn drift(&self) -> f64 {
        f64::from(self.max_drift_ppm) * 1e-6
    }

    /// An oscillator may need 5 % by itself, though all of that but `max-drift` is counted.
    pub fn fastest(&self) -> f64 {
        0.05 + f64::from(self.max_slew_ppm) * 1e-6
    }
}

/// What a hostile asker, and a bad year, may do.
#[derive(Clone, Debug)]
pub enum Event {
    /// Octets 4..8 and 8.. of a wish's body: its kind, then everything else as it comes.
    Wish {
        is_step: bool,
        value: u64,
        agreeing: u32,
        updates: u32,
        hold_ms: u32,
        after: u64,
    },
    /// The standing that makes the warden tell the kernel this.
    Status {
        synchronised: bool,
        leap: u8,
        agreeing: u32,
    },
    /// A leap second at an instant so near to now, to be stepped.
    Leap {
        inserted: bool,
        early_s: i64,
        agreeing: u32,
    },
    /// What is said of the oscillator.
    News {
        frequency: f64,
        skew: f64,
    },
    Wait(u64),
    /// To so many ns before the end of the UTC day.
    Evening(u64),
    /// Sources dies, and is back.
    Lost,
    /// The warden is killed, and is back after so many ns.
    Killed(u64),
    /// The daemon is stopped and started.
    Stopped,
    /// The machine loses its power, for so many ns; what of the unwritten survives; how wrong its clock chip is then, in ns.
    Power(u64, u64, i64),
    /// A step of the disk goes wrong, so many from now; if it is a crash, it is the machine's or the warden's alone.
    Fault(usize, Fault, bool),
    /// Somebody else steps the clock.
    Meddle(i64),
    Sleep(u64),
}

/// Where it all begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub shown: i128,
    pub error: f64,
    /// Leap seconds are the kernel's, not the warden's.
    pub kernel_leaps: bool,
    pub late: u64,
}

pub fn allowed() -> impl Strategy<Value = Allowed> {
    let limit = |most| proptest::option::of(1..most);
    (
        proptest::option::of(0..4_u32),
        (limit(20_u32), limit(1_000_000), limit(30), limit(60)),
        (
            prop_oneof![Just(500_u32), Just(83_333), Just(100_000)],
            prop_oneof![Just(1_u32), Just(500), Just(20_000)],
        ),
        1..4_u32,
    )
        .prop_map(
            |(
                first_updates,
                (largest_step, boot_step, per_hour, per_day),
                (max_slew_ppm, max_drift_ppm),
                min_sources,
            )| Allowed {
                first_updates,
                largest_step,
                boot_step,
                per_hour,
                per_day,
                max_slew_ppm,
                max_drift_ppm,
                min_sources,
            },
        )
}

pub fn start() -> impl Strategy<Value = Start> {
    let shown = prop_oneof![
        // Before the last midnight of June 2029, and anywhere, and a machine that has forgotten the date.
        (0..900_i64).prop_map(|before| 1_877_558_400 - before),
        1_795_305_600..2_000_000_000_i64,
        Just(0),
    ];
    (shown, -50e-6..50e-6_f64, any::<bool>(), any::<u64>()).prop_map(
        |(shown, error, kernel_leaps, late)| Start {
            shown: i128::from(shown) * SECOND,
            error,
            kernel_leaps,
            late,
        },
    )
}

pub fn events() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), 1..140)
}

fn event() -> impl Strategy<Value = Event> {
    let agreeing = || prop_oneof![3 => 0..5_u32, 5 => Just(u32::MAX)];
    let wish = |is_step: bool, value: BoxedStrategy<u64>| {
        let hold = prop_oneof![3 => Just(0_u32), 2 => 1..100_000_u32];
        let updates = prop_oneof![4 => Just(0), 1 => any::<u32>()];
        let after = prop_oneof![Just(0), rates()];
        (value, agreeing(), updates, hold, after).prop_map(
            move |(value, agreeing, updates, hold_ms, after)| Event::Wish {
                is_step,
                value,
                agreeing,
                updates,
                hold_ms: if is_step { 0 } else { hold_ms },
                after: if is_step || hold_ms == 0 { 0 } else { after },
            },
        )
    };
    let fault = prop_oneof![Just(Fault::Error), Just(Fault::CrashBefore), Just(Fault::CrashAfter)];
    let leap = (any::<bool>(), prop_oneof![4 => Just(0), 1 => -86_400..86_400_i64], agreeing());
    prop_oneof![
        8 => wish(true, steps().boxed()),
        10 => wish(false, rates().boxed()),
        3 => (any::<bool>(), 0..4_u8, agreeing())
            .prop_map(|(synchronised, leap, agreeing)| Event::Status { synchronised, leap, agreeing }),
        1 => leap.prop_map(|(inserted, early_s, agreeing)| Event::Leap { inserted, early_s, agreeing }),
        1 => (-2e5..2e5_f64, 0.0..1e3_f64).prop_map(|(frequency, skew)| Event::News { frequency, skew }),
        6 => (0..90_000_000_000_u64).prop_map(Event::Wait),
        3 => (0..8_000_000_000_000_u64).prop_map(Event::Wait),
        1 => (0..3_000_000_000_u64).prop_map(Event::Evening),
        1 => Just(Event::Lost),
        3 => prop_oneof![4 => 0..400_000_000_u64, 1 => 0..60_000_000_000_u64].prop_map(Event::Killed),
        1 => Just(Event::Stopped),
        1 => (0..100_000_000_000_000_u64, any::<u64>(), prop_oneof![2 => Just(0), 1 => -2_000_000_000_000_000_000..10_000_000_000_i64])
            .prop_map(|(off, chance, error)| Event::Power(off, chance, error)),
        3 => (0..8_usize, fault, any::<bool>()).prop_map(|(after, fault, is_power)| Event::Fault(after, fault, is_power)),
        1 => prop_oneof![-30_000_000_000..-20_000_000_i64, 20_000_000..30_000_000_000_i64].prop_map(Event::Meddle),
        1 => (1_000_000_000..10_000_000_000_000_u64).prop_map(Event::Sleep),
    ]
}

/// Spans in 2⁻³² s, as they are written.
fn steps() -> impl Strategy<Value = u64> {
    let bits = |seconds: f64| Span::from_seconds_f64(seconds).to_bits().cast_unsigned();
    prop_oneof![
        5 => (-12.0..12.0_f64).prop_map(bits),
        1 => (-2e6..2e6_f64).prop_map(bits),
        1 => any::<u64>(),
    ]
}

/// Rates, likewise.
fn rates() -> impl Strategy<Value = u64> {
    let bits = |ppm: f64| Frequency::from_ppm(ppm).as_ratio().to_bits();
    prop_oneof![
        3 => prop_oneof![Just(83_333.0), Just(-83_333.0), Just(-150_000.0), Just(150_000.0), Just(50_500.0), Just(-50_500.0)]
            .prop_map(bits),
        2 => (-160_000.0..160_000.0_f64).prop_map(bits),
        2 => (-500.0..500.0_f64).prop_map(bits),
        1 => any::<u64>(),
    ]
}

/// A wish as it comes over the pair, whatever its values.
pub fn wish_octets(
    is_step: bool,
    value: u64,
    agreeing: u32,
    updates: u32,
    hold_ms: u32,
    after: u64,
) -> Vec<u8> {
    let mut body = 7_u32.to_be_bytes().to_vec();
    body.extend([if is_step { 2 } else { 1 }, 0, 0, 0]);
    body.extend(value.to_be_bytes());
    body.extend([agreeing, updates, hold_ms, 0].iter().flat_map(|number| number.to_be_bytes()));
    body.extend(after.to_be_bytes());
    let mut octets = b"NM\x01\x15".to_vec();
    octets.extend((body.len() as u32).to_be_bytes());
    octets.extend(body);
    octets
}
