//! noonmark-rig
