//! noonmark-fuzz
