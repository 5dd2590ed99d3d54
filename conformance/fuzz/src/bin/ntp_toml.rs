//! Fuzz target `ntp_toml`; see the library.
#![cfg_attr(feature = "engine", no_main)]

noonmark_fuzz::program!(ntp_toml);
