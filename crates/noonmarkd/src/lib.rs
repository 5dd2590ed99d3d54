//! The daemon `noonmarkd`: a launcher and the roles it starts.

pub mod exit;
pub mod message;
pub mod role;
