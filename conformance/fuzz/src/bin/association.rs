//! Fuzz target `association`; see the library.
#![cfg_attr(fuzzing, no_main)]

noonmark_fuzz::program!(association);
