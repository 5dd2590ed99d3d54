//! Fuzz target `association`; see the library.
#![cfg_attr(feature = "engine", no_main)]

noonmark_fuzz::program!(association);
