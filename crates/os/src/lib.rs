//! noonmark-os
