//! Fuzz target `configuration`; see the library.
#![cfg_attr(fuzzing, no_main)]

noonmark_fuzz::program!(configuration);
