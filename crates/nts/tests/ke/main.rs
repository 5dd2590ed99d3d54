//! Key establishment through the public interface: whole TLS sessions in memory, our client against our server, and
//! each of them against a peer that breaks every rule.

mod client;
mod identity;
mod server;
mod session;
mod wire;
