//! The table `[daemon]` as it is written: what its processes give up.

use crate::section::Section;
use crate::value;

/// The table `[daemon]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Daemon {
    /// How much the roles give up.
    pub sandbox: Sandbox,
    /// Who they are when the daemon is started as root.
    pub user: Account,
}

/// How much the roles give up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sandbox {
    /// What the kernel can take.
    Auto,
    /// Everything, or nothing starts.
    Required,
    /// Only their user and their rights.
    Off,
}

impl Sandbox {
    /// As it is written in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}

/// An account of the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Account {
    /// Ours, if there is one.
    Usual,
    /// This one.
    Named(String),
    /// User and group of this number, which need no account.
    Number(u32),
}

impl Account {
    /// The account that is looked for where none is named.
    pub const USUAL: &'static str = "noonmark";
}

pub(crate) fn daemon(mut section: Section<'_, '_, '_>) -> Option<Daemon> {
    let sandbox = section.read("sandbox", |v, w| {
        let words = [Sandbox::Auto, Sandbox::Required, Sandbox::Off].map(|it| (it.as_str(), it));
        value::word(v, w, &words)
    });
    let user = section.read("user", |v, w| {
        let written = value::text(v, w)?;
        if let Ok(number) = written.parse() {
            if number == u32::MAX {
                w.add(v, format!("{number} stands for nobody at all"));
                return None;
            }
            return Some(Account::Number(number));
        }
        let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b"_.-@$".contains(&octet);
        if written.is_empty() || written.starts_with('-') || !written.bytes().all(is_name) {
            w.add(v, format!("{written:?} cannot be the name of an account"));
            return None;
        }
        let is_usual = written == Account::USUAL;
        Some(if is_usual { Account::Usual } else { Account::Named(written.to_owned()) })
    });
    Some(Daemon { sandbox: sandbox.value?, user: user.value? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<Daemon, String> {
        let text = format!("[server]\n[daemon]\n{text}\n");
        crate::parse(&text, Path::new("/x/noonmark.toml"))
            .map(|settings| settings.daemon)
            .map_err(|report| report.to_string())
    }

    #[test]
    fn accounts_are_names_or_numbers() {
        let check = |text: &str, sandbox, user| {
            assert_eq!(read(text), Ok(Daemon { sandbox, user }), "{text}");
        };
        check("", Sandbox::Auto, Account::Usual);
        check("user = \"noonmark\"", Sandbox::Auto, Account::Usual);
        check("user = \"ntp\"\nsandbox = \"off\"", Sandbox::Off, Account::Named("ntp".to_owned()));
        check("user = \"0\"\nsandbox = \"required\"", Sandbox::Required, Account::Number(0));
        for wrong in ["", "a b", "-x", "4294967295", "a:b"] {
            assert!(read(&format!("user = {wrong:?}")).is_err(), "{wrong}");
        }
        let refused = read("sandbox = \"of\"").expect_err("no such word");
        assert!(refused.contains("did you mean"), "{refused}");
    }
}
