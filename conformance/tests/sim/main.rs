//! The simulator checked against known figures, and the client judged in it.

mod world;
