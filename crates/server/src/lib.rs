//! noonmark-server
