//! The keys of `[clock]`.

use super::{Key, Table};

/// What is done with the time of the sources.
pub(super) const CLOCK: Table = Table {
    name: "clock",
    repeated: false,
    switch: None,
    meaning: "What is done to this machine's clock with the time of the sources, and how far anything may move it. The \
              limits hold whatever the sources say.",
    keys: &[
        Key {
            name: "clock",
            kind: "word",
            default: None,
            absent: "`\"keep\"` with a [[source]], else `\"off\"`",
            example: r#""keep""#,
            accepted: "\"keep\", \"observe\" or \"off\"; the first two need a [[source]]",
            meaning: "`keep` steers the clock, which takes the capability CAP_SYS_TIME. `observe` asks the sources, shows \
                      what is found, and never touches the clock, which is served as it stands: with what it may be wrong by, \
                      and as not synchronised beyond `max-distance`. `off` asks nobody.",
            elsewhere: &["mode", "enable"],
        },
        Key {
            name: "step-threshold",
            kind: "duration",
            default: Some(r#""1s""#),
            absent: "",
            example: r#""100ms""#,
            accepted: "a duration from 1ms to 365d, as in \"1s\"",
            meaning: "The clock is stepped if it is off by more, where `step-updates` allows it, and slewed otherwise.",
            elsewhere: &["makestep", "stepback", "tinker-step", "step"],
        },
        Key {
            name: "step-updates",
            kind: "whole number or word",
            default: Some("3"),
            absent: "",
            example: "1",
            accepted: "a whole number from 0 to 65535, 0 being never, or \"always\"",
            meaning: "The clock is stepped only within so many first updates of it after the start, after somebody else has stepped it, and \
                      after the machine has slept.",
            elsewhere: &["step-limit", "steps"],
        },
        Key {
            name: "largest-step",
            kind: "duration",
            default: None,
            absent: "no limit",
            example: r#""1h""#,
            accepted: DURATION,
            meaning: "No step is larger than this, either way, and a larger error is not slewed either: the clock is left as it is, the daemon goes on \
                      and says why. Without it an error of more than a year is not slewed.",
            elsewhere: &["maxchange", "panic", "panicgate", "single-step-panic-threshold"],
        },
        Key {
            name: "boot-step",
            kind: "duration",
            default: None,
            absent: "that step is like any other",
            example: r#""365d""#,
            accepted: DURATION,
            meaning: "The first step after the machine was started may be as large as this and counts against no budget, \
                      since a machine may have been off for long.",
            elsewhere: &["startup-step-panic-threshold"],
        },
        Key {
            name: "max-per-hour",
            kind: "duration",
            default: None,
            absent: "no limit",
            example: r#""1s""#,
            accepted: DURATION,
            meaning: "Within any hour the clock is moved by no more than this, steps and slews together, across restarts. \
                      What an oscillator within `max-drift` needs does not count.",
            elsewhere: &["accumulated-step-panic-threshold"],
        },
        Key {
            name: "max-per-day",
            kind: "duration",
            default: None,
            absent: "no limit",
            example: r#""5s""#,
            accepted: DURATION,
            meaning: "The same within any 24 hours.",
            elsewhere: &[],
        },
        Key {
            name: "max-slew",
            kind: "whole number",
            default: Some("83333"),
            absent: "",
            example: "500",
            accepted: "parts per million from 1 to 100000",
            meaning: "How much faster or slower the clock may run while an error is worked off, in parts per million.",
            elsewhere: &["maxslewrate", "slew-maximum-frequency-offset"],
        },
        Key {
            name: "max-drift",
            kind: "whole number",
            default: Some("500"),
            absent: "",
            example: "100",
            accepted: "parts per million from 1 to 100000",
            meaning: "How far off the oscillator may be by itself, in parts per million. What goes beyond it counts as \
                      moving the clock.",
            elsewhere: &["maxdrift", "tinker-freq"],
        },
        Key {
            name: "max-clock-error",
            kind: "whole number",
            default: Some("1"),
            absent: "",
            example: "15",
            accepted: "parts per million from 1 to 100000",
            meaning: "By how much the oscillator's frequency may change beyond what it was seen to do, in parts per million: a change of \
                      temperature, a jolt. So much is added to the bound of the clock's error in every second without news.",
            elsewhere: &["maxclockerror", "tinker-dispersion"],
        },
        Key {
            name: "min-sources",
            kind: "whole number",
            default: Some("1"),
            absent: "",
            example: "3",
            accepted: "a whole number from 1 to 64",
            meaning: "Fewer independent sources that agree than this move nothing.",
            elsewhere: &["minsources", "minimum-agreeing-sources", "minsane"],
        },
        Key {
            name: "max-distance",
            kind: "duration",
            default: Some(r#""3s""#),
            absent: "",
            example: r#""100ms""#,
            accepted: "a duration from 1ms to 16s, as in \"3s\"",
            meaning: "A source whose time may be wrong by more is not followed, and a clock that may be wrong by more is \
                      not called synchronised.",
            elsewhere: &["maxdistance", "maxdist", "tos-maxdist"],
        },
        Key {
            name: "authentication",
            kind: "word",
            default: Some(r#""prefer""#),
            absent: "",
            example: r#""require""#,
            accepted: "\"ignore\", \"prefer\" or \"require\"",
            meaning: "`prefer`: while sources with NTS answer, they alone decide who is right. `require`: sources without \
                      it are measured and shown, never followed. `ignore`: it makes no difference.",
            elsewhere: &["authselectmode", "authselect", "auth"],
        },
        Key {
            name: "leap",
            kind: "word",
            default: Some(r#""kernel""#),
            absent: "",
            example: r#""step""#,
            accepted: "\"kernel\", \"step\", \"slew\" or \"ignore\"",
            meaning: "What becomes of the clock at a leap second. `kernel` lets the kernel set it by a second, `step` has the daemon do so; \
                      neither counts against a limit. `slew` lets the clock go on and works the second off from then on, as fast as \
                      `max-slew` allows; meanwhile answers own up to the error. `ignore` tells neither kernel nor clients of any: the clock \
                      is then a second off and is slewed or stepped back by the rules for any other error. It is the word for sources \
                      that smear leap seconds, whose time has none.",
            elsewhere: &["leapsecmode"],
        },
        Key {
            name: "leap-seconds",
            kind: "path",
            default: None,
            absent: "the sources say, by majority",
            example: r#""/usr/share/zoneinfo/leap-seconds.list""#,
            accepted: "the path of a file leap-seconds.list or tzdata's `leapseconds`, relative to the configuration's folder",
            meaning: "List of leap seconds. Until it expires, it is believed rather than the sources, and tells TAI − UTC. \
                      Read at the start and once a day. Without one, the sources say by majority, on the last day of June or \
                      December only.",
            elsewhere: &["leapsectz", "leapseclist", "leapfile"],
        },
        Key {
            name: "priority",
            kind: "whole number",
            default: Some("0"),
            absent: "",
            example: "1",
            accepted: "a whole number from 0 to 99, 0 being none",
            meaning: "Real-time priority (SCHED_FIFO) of what asks the sources and of what steers the clock. It takes \
                      CAP_SYS_NICE or a limit (RLIMIT_RTPRIO); what is refused is logged and done without.",
            elsewhere: &["sched-priority", "schedpriority"],
        },
        Key {
            name: "lock-memory",
            kind: "true or false",
            default: Some("false"),
            absent: "",
            example: "true",
            accepted: "true or false",
            meaning: "Never lets the memory of these two be paged out. It takes CAP_IPC_LOCK or a limit (RLIMIT_MEMLOCK); \
                      what is refused is logged and done without.",
            elsewhere: &["lock-all", "memlock"],
        },
    ],
};

const DURATION: &str = "a duration from 1ms to 36500d, as in \"1h\"";
