//! All sources together in virtual time, with a keeper that only writes down what it hears.

mod choice;
mod events;
mod members;
mod network;
mod orphans;
mod reconfiguration;
mod world;
