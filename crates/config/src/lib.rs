//! noonmark-config
