//! Fuzz target `chrony_conf`; see the library.
#![cfg_attr(feature = "engine", no_main)]

noonmark_fuzz::program!(chrony_conf);
