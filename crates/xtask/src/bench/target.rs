//! What figures are to reach, as `docs/performance.md` promises.

/// The most a figure may be, for those that have such a bound.
pub fn most(figure: &str) -> Option<f64> {
    MOST.iter().find(|(name, _)| *name == figure).map(|(_, most)| *most)
}

const MOST: [(&str, f64); 23] = [
    ("plain_over_echo", 1.15),
    ("plain_over_chrony", 0.85),
    ("nts1_over_echo", 1.30),
    ("nts1_over_chrony", 0.70),
    ("nts8_over_echo", 1.65),
    ("nts8_over_chrony", 0.55),
    ("gcmsiv1_over_siv", 1.15),
    ("gcmsiv8_over_siv", 1.0),
    ("xdp_over_chrony", 0.35),
    ("interleaved_over_chrony", 0.85),
    ("low_rate_over_chrony", 0.55),
    ("low_rate_p99_over_chrony", 1.0),
    ("ke_over_ntpdrs", 0.85),
    ("stamp_mean_over_chrony", 0.3),
    ("stamp_sd_over_chrony", 1.0),
    ("pss_over_chrony", 1.0),
    ("start_over_chrony", 1.0),
    ("binaries_mib", 8.0),
    ("ke_flood_p99", 1.5),
    ("plain_over_before", 1.05),
    ("nts1_over_before", 1.05),
    ("nts8_over_before", 1.05),
    ("overload_recovery", 1.0),
];
