//! noonmark-client
