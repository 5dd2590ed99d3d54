//! NTP under NTS through the public interface: what a client and a server say to each other, octet by octet.

mod answers;
mod batch;
mod requests;
mod shape;
mod vectors;
