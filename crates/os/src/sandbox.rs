//! Giving up, for good, whatever a process does not need: its user, its rights, files, calls and numbers.
//!
//! | module | what it gives up |
//! |---|---|
//! | [`identity`] | being root; capabilities |
//! | [`filter`], `calls` | system calls (seccomp) |
//! | [`landlock`] | files, TCP ports, signals to others |
//! | [`limits`] | descriptors, processes, lengths of files |
//! | `probe` | nothing: it tries what must not be possible, in test builds |
//! | [`resolver`] | nothing: it says what the system's resolver needs to be left |
//!
//! Which process gives up what is the caller's to say. Nothing here can be taken back, and all of it is inherited.

mod calls;
pub mod filter;
pub mod identity;
pub mod landlock;
pub mod limits;
#[cfg(debug_assertions)]
pub mod probe;
pub mod resolver;
