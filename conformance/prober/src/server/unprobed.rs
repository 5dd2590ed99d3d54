//! Clauses that bind servers and that no run from outside can judge.

use crate::clause::{Look, Way};

const fn inside(id: &'static str, test: &'static str) -> Look {
    Look { id, way: Way::Inside(test), sent: "", expected: "" }
}

const fn review(id: &'static str, why: &'static str) -> Look {
    Look { id, way: Way::Review(why), sent: "", expected: "" }
}

const NO_KEYS: &str = "needs a symmetric key shared with the server, and the prober has none";

/// One for each.
#[rustfmt::skip]
pub const LOOKS: &[Look] = &[
    inside("KE-41", "a server that has lost its cookie keys: requirements, lost_cookie_keys_are_error_2"),
    inside("KE-67", "memory after many sessions: requirements, sessions_leave_no_memory_behind"),
    inside("NS-26", "time must pass for the keys of cookies: requirements, cookies_live_through_their_retention"),
    inside("NS-27", "an operator must revoke the keys: which Noonmark does not claim yet"),
    inside("NS-28", "a restart between key establishment and NTP: requirements, cookies_outlive_a_restart"),
    inside("NS-29", "the server must deny or limit the client: requirements, an_authentic_client_gets_an_authentic_kiss"),
    inside("WS-17", "a group must be joined on the server's link: requirements, a_request_to_a_group_gets_silence"),
    inside("WS-21", "the clock must stand at zero: requirements, receive_is_never_zero"),
    inside("WS-23", "the clock must stand before a leap second: requirements, a_leap_second_is_announced_on_the_last_day_of_june_and_december"),
    inside("WS-26", "memory after many clients: requirements, clients_leave_no_state"),
    inside("KD-13", "a flood in a client's name: requirements, a_flood_in_a_clients_name_leaves_it_served"),
    inside("ER-01", "the clock must pass the end of era 0: requirements, time_goes_on_when_the_era_ends"),
    inside("ER-02", "the clock must stand between receive and transmit at the end of era 0: requirements, differences_wrap_with_the_era"),
    inside("ER-03", "the clock must stand at zero: requirements, zero_is_no_time_in_any_era"),
    inside("ER-05", "the clock must pass 2038: requirements, the_year_2038_passes_unnoticed"),
    inside("ER-06", "the clock must pass 2036, 2038 and 2100: requirements, key_epochs_outlive_every_count_of_seconds"),
    inside("BP-07", "counters are seen by an operator: noonmarkd, status and metrics"),
    inside("BP-09", "the clock must stand at the end of a month: requirements, a_leap_second_is_announced_on_the_last_day_of_june_and_december"),
    inside("BP-19", "time must pass for the keys of cookies: requirements, cookies_live_through_their_retention"),
    review("MA-01", NO_KEYS),
    review("MA-02", NO_KEYS),
    review("MA-03", NO_KEYS),
    review("MA-04", NO_KEYS),
    review("MA-05", NO_KEYS),
    review("MA-06", NO_KEYS),
    review("MA-08", "the mode of a file on the server"),
    review("IL-06", "the bound of a store is not seen by its clients"),
    review("BP-10", "smeared time differs from other time only around a leap second"),
    review("BP-15", "how an operator announces and withdraws addresses"),
    review("BP-17", "how a server presents its sources to its operator"),
    review("BP-18", "what an operator can learn of the path to the primary"),
];
