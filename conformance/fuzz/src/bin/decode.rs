//! Fuzz target `decode`; see the library.
#![cfg_attr(feature = "engine", no_main)]

noonmark_fuzz::program!(decode);
