//! noonmark-packet
