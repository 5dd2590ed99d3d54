//! Fuzz target `messages`; see the library.
#![cfg_attr(fuzzing, no_main)]

noonmark_fuzz::program!(messages);
