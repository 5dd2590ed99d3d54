//! Fuzz target `files`; see the library.
#![cfg_attr(fuzzing, no_main)]

noonmark_fuzz::program!(files);
