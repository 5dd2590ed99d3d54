//! What chronyd shows and logs, and how it runs.

use super::Conf;
use crate::import::ledger::{At, Outcome};

const NOTHING_OPEN: &str = "nothing is answered on port 323";
const NOT_ASKED: &str = "the state cannot be asked over the network: run `noonmark status` there";

impl Conf<'_, '_> {
    /// Whether the word is one about this.
    pub(super) fn monitoring(&mut self, at: At, word: &str, rest: &[&str]) -> bool {
        let first = rest.first().copied().unwrap_or_default();
        let (outcome, note) = match word {
            "cmdport" if first == "0" => (Outcome::Kept, NOTHING_OPEN),
            "cmddeny" => (Outcome::Kept, NOTHING_OPEN),
            "bindcmdaddress" if first.starts_with('/') => (
                Outcome::Changed,
                "chronyc gets no answer; `noonmark status` reads the socket of [status]",
            ),
            "cmdallow" | "opencommands" | "cmdport" | "bindcmdaddress" | "bindcmddevice" => {
                let is_local = ["127.0.0.1", "::1", "localhost"].contains(&first);
                let outcome = if is_local { Outcome::Changed } else { Outcome::Unsupported };
                (outcome, NOT_ASKED)
            }
            "cmdratelimit" => (Outcome::Ignored, NOTHING_OPEN),
            "log" => (
                Outcome::Unsupported,
                "no measurements are logged: collect `noonmark tracking --json` and `noonmark sources --json`",
            ),
            "logdir" | "logbanner" => {
                (Outcome::Ignored, "log lines go to standard error or to the journal")
            }
            "logchange" => (Outcome::Changed, "every step is logged, and what was refused"),
            "mailonchange" => (
                Outcome::Unsupported,
                "no mail is sent: watch `noonmark status`, whose exit status is made for monitors",
            ),
            "dumpdir" => (
                Outcome::Ignored,
                "measurements are not kept over a restart; the frequency and keys are, in the state folder",
            ),
            "user" => (Outcome::Changed, "noonmarkd has an account of its own, user in [daemon]"),
            "pidfile" => (
                Outcome::Ignored,
                "noonmarkd stays in the foreground; the service manager knows its id",
            ),
            "commandkey" | "generatecommandkey" | "linux_hz" | "linux_freq_scale"
            | "dumponexit" => (Outcome::Ignored, "chronyd ignores it too"),
            _ => return false,
        };
        self.work.note(at, outcome, note);
        true
    }
}
