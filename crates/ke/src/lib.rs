//! noonmark-ke
