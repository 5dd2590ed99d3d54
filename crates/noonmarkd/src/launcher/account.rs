//! What the launcher tells of itself and of the roles: to observe, to the service manager, to the log.

use std::time::Duration;

use noonmark_config::Sandbox;
use noonmark_os::process;
use noonmark_units::UnixTime;

use super::Launcher;
use super::child::RoleProcess;
use crate::memory;
use crate::message::{Message, Phase, RoleState, Subject, Taken, Text};
use crate::role::Role;

impl Launcher {
    /// Tells the service manager and the log that every role serves.
    pub(super) fn announce(&self) {
        let addresses: Vec<String> = self
            .in_force
            .sockets
            .listening()
            .iter()
            .map(|listening| format!("{} {}", listening.protocol.name(), listening.address))
            .collect();
        let listening = addresses.join(", ");
        let generation = self.configuration.generation;
        tracing::info!(listening, generation, version = env!("CARGO_PKG_VERSION"), "serving");
        self.notifier.ready(&format!("serving {listening}"));
    }

    /// Tells observe what is in force.
    pub(super) fn report_taken(&mut self) {
        let none = Taken {
            subject: Subject::Certificate,
            generation: 0,
            at: UnixTime::EPOCH,
            refused: None,
        };
        let taken = [self.configuration.clone(), self.certificate.clone().unwrap_or(none)];
        let messages = taken.into_iter().map(Message::Taken);
        let certificate = self.in_force.identity.as_ref().map(|identity| &identity.certificate);
        let messages: Vec<_> =
            messages.chain(certificate.cloned().map(Message::Certificate)).collect();
        for message in messages {
            self.role(Role::Observe).tell(&message, &[]);
        }
    }

    /// Tells observe how every process is.
    pub(super) fn report_roles(&mut self) {
        let ourselves = RoleState {
            role: None,
            phase: if self.announced { Phase::Ready } else { Phase::Starting },
            last_end: None,
            silence: Duration::ZERO,
            pid: std::process::id(),
            restarts: 0,
            memory: process::resident_memory(std::process::id()).unwrap_or(0),
            memory_bound: 0,
            started: self.started,
        };
        let settings = &self.in_force.settings;
        let bounded = |process: &RoleProcess| {
            let is_bounded = settings.daemon.sandbox != Sandbox::Off && process.pid().is_some();
            let memory_bound = if is_bounded { memory::bound(process.role(), settings) } else { 0 };
            RoleState { memory_bound, ..process.state() }
        };
        let states: Vec<RoleState> =
            std::iter::once(ourselves).chain(self.roles.iter().map(bounded)).collect();
        let daemon = Message::Daemon {
            started: self.started,
            ready: self.announced && self.all_ready(),
            file: Text::new(&self.file.to_string_lossy()),
        };
        let observe = self.role(Role::Observe);
        observe.tell(&daemon, &[]);
        for state in states {
            observe.tell(&Message::RoleState(state), &[]);
        }
    }
}
