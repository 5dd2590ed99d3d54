//! noonmark-siv
