//! Clauses that bind clients and that no run from outside can judge.

use crate::clause::{Look, Way};

const fn inside(id: &'static str, test: &'static str) -> Look {
    Look { id, way: Way::Inside(test), sent: "", expected: "" }
}

const fn review(id: &'static str, why: &'static str) -> Look {
    Look { id, way: Way::Review(why), sent: "", expected: "" }
}

const NO_KEYS: &str = "needs a symmetric key shared with the client, and the prober has none";

/// One for each.
#[rustfmt::skip]
pub const LOOKS: &[Look] = &[
    inside("KE-04", "a client is told the port that the run listens on: requirements, port_has_two_octets_and_is_123_if_absent"),
    inside("KE-60", "the resolver of the client would have to be ours: requirements, server_named_is_whole_and_absent_is_the_same"),
    inside("KE-68", "where else a client would go is not seen from here: requirements, key_establishment_does_not_send_us_anywhere"),
    inside("KX-06", "keys of another context would have to be given on purpose, which AEAD 15 rules out: requirements, client_exports_both_contexts_of_aead_30"),
    inside("KX-07", "exporting keys that nobody asked for is not seen on the wire: requirements, context_has_no_sixth_octet"),
    inside("EF-05", "it takes plain NTP, where a client does not show what it took: requirements, what_is_left_of_an_answer_decides_between_field_and_mac"),
    inside("EF-06", "it takes plain NTP, where a client does not show what it took: requirements, what_is_left_of_an_answer_decides_between_field_and_mac"),
    inside("EF-07", "it takes plain NTP, where a client does not show what it took: requirements, what_is_left_of_an_answer_decides_between_field_and_mac"),
    inside("EF-08", "it takes plain NTP, where a client does not show what it took: requirements, what_is_left_of_an_answer_decides_between_field_and_mac"),
    inside("EF-09", "it takes a key shared with the client: requirements, mac_behind_nts_adds_no_trust"),
    inside("NC-22", "key establishment must fail while questions go on, for longer than a run: requirements, old_keys_go_on_until_new_ones_replace_them"),
    inside("NC-25", "the client must be started again: requirements, keys_and_cookies_outlive_a_restart"),
    inside("NC-26", "the client must be started again, from a copy: requirements, kept_keys_are_private_and_come_out_once_even_if_a_copy_is_put_back"),
    inside("NC-28", "wrong time would be served: requirements, first_time_lies_within_the_certificate"),
    inside("NC-29", "the clock of the client must be wrong: requirements, certificate_times_are_judged_by_what_is_known_of_the_time"),
    inside("NC-30", "the clock of the client must be wrong: requirements, certificate_times_are_judged_by_what_is_known_of_the_time"),
    inside("NC-33", "it takes plain NTP: requirements, plain_question_is_the_header_alone"),
    inside("WC-04", "a client does not show which time it used: requirements, stamps_of_zero_are_dropped"),
    inside("WC-07", "a client does not show which time it used: requirements, unsynchronised_server_is_not_believed"),
    inside("WC-08", "a client does not show which time it used: requirements, root_distance_of_16_s_is_too_far"),
    inside("WC-09", "a client does not show which time it used: requirements, clock_set_after_its_answer_is_not_believed"),
    inside("WC-11", "a client does not show which time it used: requirements, offset_and_delay_are_right_across_eras"),
    inside("WC-12", "a client does not show which time it used: requirements, delay_has_a_floor_and_dispersion_grows_by_15_ppm"),
    inside("WC-13", "a client does not show which time it used: requirements, answer_held_for_more_than_4_s_is_dropped"),
    inside("WC-14", "a client does not show which time it used: requirements, delay_has_a_floor_and_dispersion_grows_by_15_ppm"),
    inside("WC-15", "a client does not show which time it used: requirements, server_that_follows_us_is_not_followed"),
    inside("WC-16", "the run tells clients to ask every second: requirements, interval_stays_within_its_limits"),
    inside("WC-17", "the run tells clients to ask every second: requirements, interval_is_stretched_by_chance"),
    inside("WC-18", "the run tells clients to ask every second: requirements, first_burst_is_four_to_eight_questions_2_s_apart"),
    inside("WC-19", "it takes hours, or a virtual clock: requirements, silent_server_is_asked_less_and_less"),
    inside("WC-20", "a client does not show which time it used: requirements, majority_is_found_and_a_draw_moves_nothing"),
    inside("WC-21", "a client does not show which time it used: requirements, fewer_sources_than_wanted_move_nothing"),
    inside("WC-22", "a client does not show which time it used: requirements, distant_server_is_not_followed"),
    inside("WC-23", "it takes hours, or a virtual clock: requirements, late_jump_of_a_server_does_not_step_the_clock"),
    inside("WC-24", "it takes hours, or a virtual clock: requirements, error_above_the_largest_step_is_refused_at_every_start"),
    inside("WC-25", "it takes hours, or a virtual clock: requirements, corrections_are_bounded"),
    inside("WC-28", "the clock of the client must be wrong: requirements, clock_within_68_years_is_set_and_no_other"),
    inside("WC-29", "it takes hours, or a virtual clock: requirements, leap_second_of_a_minority_is_not_believed"),
    inside("WC-30", "it takes hours, or a virtual clock: requirements, leap_second_is_applied_once_at_the_end_of_the_month"),
    inside("WC-31", "a client does not show which time it used: requirements, answer_after_its_window_is_dropped"),
    inside("WC-32", "a client does not show what it dropped: requirements, unasked_answer_is_dropped_and_counted"),
    inside("KD-06", "a client does not show which time it used: requirements, time_in_a_kiss_is_not_used"),
    inside("ER-01", "the clock of the client must stand elsewhere: requirements, answers_across_the_end_of_era_0_are_believed"),
    inside("ER-02", "a client does not show which time it used: requirements, offset_and_delay_are_right_across_eras"),
    inside("ER-03", "the clock of the client must stand elsewhere: requirements, answers_across_the_end_of_era_0_are_believed"),
    inside("ER-04", "the clock of the client must stand elsewhere: requirements, era_is_that_of_build_and_last_saved_time"),
    inside("ER-05", "the clock of the client must stand elsewhere: requirements, the_year_2038_passes_unnoticed"),
    inside("ER-06", "the clock of the client must stand elsewhere: requirements, key_epochs_outlive_every_count_of_seconds"),
    inside("ER-08", "a client does not show which time it used: requirements, no_exponent_disturbs"),
    inside("PR-03", "what a closed port says is eaten by filters: requirements, port_of_a_past_question_is_closed"),
    inside("PR-04", "a client has no port of a server: requirements, the_server_speaks_from_its_own_port"),
    inside("IL-09", "it takes a client that asks for interleaved answers, and none does so unless told: requirements, origin_says_which_answer_is_interleaved"),
    inside("IL-11", "it takes a client that asks for interleaved answers, and none does so unless told: requirements, four_losses_lead_back_to_basic_questions"),
    inside("IL-13", "it takes a client that asks for interleaved answers, and none does so unless told: requirements, both_stamps_of_a_question_are_random"),
    inside("IL-15", "a client does not show in which mode it took an answer: requirements, basic_association_stays_basic"),
    inside("IL-16", "it takes a client that asks for interleaved answers, and none does so unless told: requirements, interleaved_answers_may_prove_their_origin"),
    inside("BP-03", "it takes hours, or a virtual clock: requirements, error_above_the_largest_step_is_refused_at_every_start"),
    inside("BP-20", "a client does not show which time it used: requirements, delay_has_a_floor_and_dispersion_grows_by_15_ppm"),
    inside("BP-01", "wrong time would be served: noonmark-clock, what keeps the clock begins at the time of its build"),
    inside("BP-07", "counters are seen by an operator: noonmarkd, status and metrics"),
    inside("BP-16", "it takes a source without NTS beside: noonmarkd, require of a source"),
    inside("BP-19", "keys live for weeks: requirements, old_keys_go_on_until_new_ones_replace_them"),
    review("MA-01", NO_KEYS),
    review("MA-02", NO_KEYS),
    review("MA-03", NO_KEYS),
    review("MA-04", NO_KEYS),
    review("MA-05", NO_KEYS),
    review("MA-06", NO_KEYS),
    review("MA-07", NO_KEYS),
    review("MA-08", "the mode of a file on the client"),
    review("MA-09", NO_KEYS),
    review("ER-07", "reference clocks are not spoken to over a network"),
    review("BP-10", "smeared time differs from other time only around a leap second"),
    review("BP-11", "what a host drops that serves nobody is seen by scanning it, not by serving it"),
    review("BP-12", "how broadcast and symmetric modes are configured"),
];
