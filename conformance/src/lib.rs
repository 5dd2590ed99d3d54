//! noonmark-conformance
