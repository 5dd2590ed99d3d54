//! Fuzz target `cookie`; see the library.
#![cfg_attr(feature = "engine", no_main)]

noonmark_fuzz::program!(cookie);
