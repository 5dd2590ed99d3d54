//! The configuration of Noonmark: one TOML file in, checked [`Settings`] out.

mod settings;

pub use settings::{
    AccessRule, Action, AeadId, Cookies, Dscp, InterfaceName, Local, Log, LogFormat, LogLevel, Nts,
    RateLimit, Server, Settings, State, Status, Versions,
};
