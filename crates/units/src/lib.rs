//! noonmark-units
