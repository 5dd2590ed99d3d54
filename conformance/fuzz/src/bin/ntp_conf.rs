//! Fuzz target `ntp_conf`; see the library.
#![cfg_attr(feature = "engine", no_main)]

noonmark_fuzz::program!(ntp_conf);
