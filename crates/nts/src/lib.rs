//! noonmark-nts
