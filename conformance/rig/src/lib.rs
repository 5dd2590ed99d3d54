//! Programs that stand in for a wire and for the clients at its far end, to measure and test a server. Never shipped.
//!
//! | program | what it is |
//! |---|---|
//! | `ntp-load` | an open-loop generator of NTP requests, plain or under NTS, from many thousand client addresses |
//! | `ntp-flood` | the same from several crowds at once, honest ones and attackers: who still gets answers while a flood goes on |
//! | `ntp-echo` | the limit: a server that only swaps fields and sends back, over the same sockets as `noonmarkd` |
//! | `ntp-first` | starts a server and tells how long it took until it answered |
//! | `ntp-tap` | a look at what comes in over the wire: the DS field of each answer |
//! | `frame-proof` | asks in frames as no socket sends them, one at a time, and tells which were answered |
//! | `frame-live` | requests made by the kernel itself, for a server that answers there |
//! | `ke-load` | threads that do one whole NTS key establishment after another |
//! | `ke-flood` | thousands of connections to key establishment: whole ones, slow ones, silent ones, garbage |
//! | `clock-proof` | in a guest: steers the kernel's clock for real and looks whether it did |
//! | `hands-proof` | in a guest: has noonmarkd live through other hands on its clock, and through becoming another machine |
//! | `leap-proof` | in a guest: lives through a leap second with noonmarkd, as its source, its client and its judge |
//! | `clock-truth` | in a guest and outside: what each clock shows beside the cycle counter they share, and what noonmarkd tells of it |
//! | `ntp-wire` | the other end of a guest's wire: an NTP server that serves this machine's clock |
//! | `pass-sockets` | binds sockets and starts another program with them, as systemd's socket activation does |
//! | `no-clock` | starts another program behind a filter in which setting a clock does nothing and says it did |
//!
//! Start at [`load`], the generator's loop. It writes whole frames to one end of a pair of virtual interfaces
//! ([`tap`], [`frame`]), so neither client addresses nor the client's protocol stack cost anything; requests are made
//! beforehand ([`material`]), NTS ones through key establishments with the server itself ([`establish`]). What the
//! server spent is read from the kernel's accounts of its processes ([`spent`]).
//!
//! What sets a clock behind the back of what is tested is in [`guest`] and works in our guests alone.
//!
//! Deliberately absent: any statistics over runs. A program measures one run and prints it as one JSON object.

#![allow(unsafe_code, reason = "a packet socket and its ring have no safe interface")]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod conversation;
pub mod crowd;
pub mod establish;
pub mod flood;
pub mod frame;
pub mod generator;
pub mod guest;
pub mod load;
pub mod material;
pub mod odd;
pub mod promise;
pub mod siege;
pub mod spent;
pub mod stamped;
pub mod tap;
pub mod times;
pub mod told;
pub mod truth;
pub mod wire;
