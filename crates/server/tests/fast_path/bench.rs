//! The program in the kernel with a clock and chance of our choice, and the responder beside it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use noonmark_os::bpf::{Shared, verdict};
use noonmark_os::clock::Bearings;
use noonmark_packet::{Header, ReferenceId};
use noonmark_server::fast_path::{
    Decisions, FastClock, FastCounter, FastCounters, FastPath, Place,
};
use noonmark_server::{
    AccessRules, Batch, ClockState, Envelope, Policy, RateLimit, RateTable, Responder, Versions,
};
use noonmark_units::{Mono, Precision, Span, Stratum, Timestamp, UnixTime};

use crate::frames::{Frame, SERVER};

/// The number of the loopback device, which programs run for tests are told that frames come from.
pub(crate) const DEVICE: u32 = 1;
const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// What a client and the two servers agree on for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) state: ClockState,
    /// Boot clock, ns.
    pub(crate) boot: u64,
    /// UTC since 1970 when the request came and when its answer leaves, ns.
    pub(crate) received: u64,
    pub(crate) leaves: u64,
    /// What UTC is ahead of the clock the program reads, ns.
    pub(crate) offset: i64,
    pub(crate) chance: u16,
    pub(crate) noise: u64,
}

/// What an operator decided.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) access: AccessRules,
    pub(crate) versions: Versions,
    pub(crate) limit: Option<RateLimit>,
    pub(crate) dscp: u8,
    pub(crate) interleaved: bool,
}

pub(crate) const OPEN: fn() -> Rules = || Rules {
    access: AccessRules::allow_all(),
    versions: Versions::ALL,
    limit: None,
    dscp: 0,
    interleaved: false,
};

pub(crate) struct Bench {
    pub(crate) path: FastPath,
    pub(crate) clock: FastClock,
    pub(crate) counters: FastCounters,
    script: Option<Shared>,
    policy: Arc<Policy>,
    rules: Rules,
    before: Vec<u64>,
}

impl Bench {
    /// A program, and a responder by the same rules.
    pub(crate) fn new(object: &[u8], rules: Rules, places: &[Place]) -> Self {
        let mut path =
            FastPath::load(object, rules.limit.as_ref(), KEY).unwrap_or_else(|e| panic!("{e:?}"));
        let clock = FastClock::open(path.clock().unwrap()).unwrap();
        let (counters, lanes) = path.counters().unwrap();
        let counters = FastCounters::open(counters, lanes).unwrap();
        assert_eq!(path.listen(places), 0);
        path.decide(&decisions(&rules)).unwrap();
        let policy = Policy {
            access: rules.access.clone(),
            versions: rules.versions,
            rate: rules.limit.map(|limit| RateTable::new(limit, KEY)),
            ..Policy::default()
        };
        let script = path.share("script").ok();
        let before = vec![0; FastCounter::COUNT];
        Self { path, clock, counters, script, policy: Arc::new(policy), rules, before }
    }

    /// Prepares the program for one request.
    pub(crate) fn set(&mut self, scene: &Scene) {
        let clock = |utc: u64| utc.wrapping_sub(scene.offset.cast_unsigned());
        let apart = clock(scene.received).wrapping_sub(scene.boot).cast_signed();
        self.clock.publish(&scene.state, Some(Bearings { offset: scene.offset, apart }));
        let words = [
            scene.boot,
            clock(scene.received),
            clock(scene.leaves),
            scene.chance.into(),
            scene.noise,
        ];
        let script = self.script.as_ref().expect("a program with a script");
        for (place, word) in script.words().iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// What the program does with a frame: the verdict, and the frame afterwards.
    pub(crate) fn run(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        let run = self.path.program().run(frame, DEVICE, 1).unwrap();
        (run.verdict, run.frame)
    }

    /// What it counted since this was last asked.
    pub(crate) fn counted(&mut self) -> Vec<FastCounter> {
        let now: Vec<u64> = FastCounter::ALL.map(|counter| self.counters.get(counter)).to_vec();
        let before = std::mem::replace(&mut self.before, now.clone());
        let grown = FastCounter::ALL.into_iter().zip(now.iter().zip(before));
        grown.flat_map(|(counter, (now, before))| vec![counter; (now - before) as usize]).collect()
    }

    /// The responder's answer to the same request.
    pub(crate) fn expected(
        &self,
        scene: &Scene,
        client: IpAddr,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let Scene { chance, noise, .. } = *scene;
        let random = move |out: &mut [u8]| match out {
            [_, _] => out.copy_from_slice(&chance.to_ne_bytes()),
            _ => out
                .iter_mut()
                .zip(noise.to_ne_bytes().into_iter().cycle())
                .for_each(|(o, n)| *o = n),
        };
        let mut responder = Responder::new(Arc::clone(&self.policy), Box::new(random));
        let mut batch = Batch::new();
        let envelope = Envelope {
            peer: (client, 4711).into(),
            received: stamp(scene.received),
            group: false,
            truncated: false,
        };
        assert!(batch.push(payload, envelope));
        let reads = stamp(scene.leaves) - lead();
        responder.respond(&mut batch, &scene.state, &mut move || reads, Mono(scene.boot));
        batch.slots()[0].answer().map(<[u8]>::to_vec)
    }

    /// Compares the two for one request.
    pub(crate) fn compare(&mut self, scene: &Scene, frame: &Frame) {
        let expected = self.expected(scene, frame.from.ip(), &frame.payload);
        self.set(scene);
        let (verdict, octets) = self.run(&frame.octets());
        let case = || format!("{scene:?}\n{frame:?}");
        let Some(expected) = expected else {
            assert_eq!(verdict, verdict::DROP, "{}", case());
            return;
        };
        assert_eq!(verdict, verdict::TRANSMIT, "{}", case());
        let answer = Frame::read(&octets);
        assert_eq!(answer.payload, expected, "{}", case());
        let around = (answer.from, answer.to, answer.from_mac, answer.to_mac, answer.tag);
        assert_eq!(
            around,
            (frame.to, frame.from, frame.to_mac, frame.from_mac, frame.tag),
            "{}",
            case()
        );
        assert_eq!((answer.class, answer.hops), (self.rules.dscp << 2, 64), "{}", case());
    }
}

pub(crate) fn decisions(rules: &Rules) -> Decisions<'_> {
    Decisions {
        access: &rules.access,
        versions: rules.versions,
        limit: rules.limit.as_ref(),
        dscp: rules.dscp,
        interleaved: rules.interleaved,
    }
}

pub(crate) fn place(address: IpAddr, vlan: Option<u16>) -> Place {
    Place { device: DEVICE, vlan, address, port: 123, mac: SERVER }
}

pub(crate) fn stamp(utc: u64) -> Timestamp {
    Timestamp::from_unix(UnixTime::new((utc / 1_000_000_000) as i64, (utc % 1_000_000_000) as u32))
}

/// By how much a responder that has learned nothing yet has its first answer leave after it read the clock.
fn lead() -> Span {
    let transmit = |now: Timestamp| {
        let random = Box::new(|out: &mut [u8]| out.fill(0));
        let mut responder = Responder::new(Arc::new(Policy::default()), random);
        let state = ClockState::local(Stratum::PRIMARY, ReferenceId::NONE, Precision(-33));
        let mut batch = Batch::new();
        let peer = ([192, 0, 2, 1], 1).into();
        let envelope = Envelope { peer, received: now, group: false, truncated: false };
        batch.push(&Header::client(now).to_octets(), envelope);
        responder.respond(&mut batch, &state, &mut || now, Mono(1));
        let answer = batch.slots()[0].answer().unwrap();
        Timestamp::from_octets(answer[40..48].try_into().unwrap())
    };
    // Transmit stamps are even: one unit may be lost, unless the clock is read a unit later.
    let now = Timestamp::from_bits(0xeb00_0000_0000_0000);
    let unit = Span::from_bits(1);
    let (first, second) = (transmit(now), transmit(now + unit));
    if first == second { first - now } else { first + unit - now }
}
