//! Fuzz target `responder`; see the library.
#![cfg_attr(fuzzing, no_main)]

noonmark_fuzz::program!(responder);
