//! The tables of a parsed file held against their description.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::keys::{Key, TABLES, Table};
use crate::report::Found;
use crate::spelling;
use crate::value::{Value, Wrongs};

/// What is said of a key that has no default and is not written.
pub(crate) const MISSING: &str = "is missing";

/// The whole file: which of the known tables are there, and what is wrong so far.
pub(crate) struct Document<'d, 'i> {
    root: &'d DeTable<'i>,
    pub(crate) found: Vec<Found>,
}

/// One table of the file, or one that is not there and thus stands for its defaults.
pub(crate) struct Section<'a, 'd, 'i> {
    pub(crate) table: &'static Table,
    entries: Option<&'d DeTable<'i>>,
    /// The table's header.
    place: Option<Range<usize>>,
    found: &'a mut Vec<Found>,
}

/// What a key was found to hold.
pub(crate) struct Entry<T> {
    /// The value written, or the default; `None` if what is written is wrong, which has been
    /// reported then, or if there is neither.
    pub(crate) value: Option<T>,
    /// Where the value is written, right or wrong.
    pub(crate) place: Option<Range<usize>>,
}

impl<'d, 'i> Document<'d, 'i> {
    /// Reports at once every table and key that is not described.
    pub(crate) fn new(root: &'d DeTable<'i>) -> Self {
        let mut found = Vec::new();
        for (name, value) in root {
            match Table::find(name.get_ref()) {
                Some(table) => check_table(table, name, value, &mut found),
                None => found.push(unknown_table(name, value)),
            }
        }
        Self { root, found }
    }

    /// The table called `name`, which is described as not repeated.
    pub(crate) fn section(&mut self, name: &'static str) -> Section<'_, 'd, 'i> {
        let table = described(name);
        let entry = self.root.get_key_value(name);
        let entries = entry.and_then(|(_, value)| match value.get_ref() {
            DeValue::Table(entries) => Some(entries),
            _ => None,
        });
        let place = entry.map(|(key, _)| key.span());
        Section { table, entries, place, found: &mut self.found }
    }

    /// Whether the table called `name` is in the file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.root.contains_key(name)
    }

    /// Calls `read` with each table of the array called `name`.
    pub(crate) fn each_section(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(Section<'_, 'd, 'i>),
    ) {
        let table = described(name);
        let Some((key, value)) = self.root.get_key_value(name) else { return };
        let DeValue::Array(items) = value.get_ref() else { return };
        for item in items {
            let DeValue::Table(entries) = item.get_ref() else { continue };
            let place = if item.span().is_empty() { key.span() } else { item.span() };
            read(Section {
                table,
                entries: Some(entries),
                place: Some(place),
                found: &mut self.found,
            });
        }
    }
}

impl Section<'_, '_, '_> {
    /// Reads the key `name`, or its default where it is not written. Without either, its absence
    /// is reported.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        reader: impl Fn(&Value<'_>, &mut Wrongs) -> Option<T>,
    ) -> Entry<T> {
        let key = self.key(name);
        if self.entries.is_some_and(|entries| entries.contains_key(name)) {
            return self.written(key, reader);
        }
        let Some(default) = key.default else {
            self.refuse(key, self.place.clone(), MISSING.to_owned());
            return Entry { value: None, place: None };
        };
        let default = DeValue::parse(default).expect("the described defaults are TOML: tested");
        let value = reader(&default, &mut Wrongs::default());
        debug_assert!(value.is_some(), "the described default of {name} is accepted");
        Entry { value, place: None }
    }

    /// Reads the key `name`; that it is not written is a value as well.
    pub(crate) fn read_optional<T>(
        &mut self,
        name: &'static str,
        reader: impl Fn(&Value<'_>, &mut Wrongs) -> Option<T>,
    ) -> Entry<Option<T>> {
        let key = self.key(name);
        if self.entries.is_some_and(|entries| entries.contains_key(name)) {
            let Entry { value, place } = self.written(key, reader);
            return Entry { value: value.map(Some), place };
        }
        Entry { value: Some(None), place: None }
    }

    /// Where its header is.
    pub(crate) fn place(&self) -> Option<Range<usize>> {
        self.place.clone()
    }

    /// Reports that the key `name` does not fit the rest, at its own place or else at the table's.
    pub(crate) fn misfit(&mut self, name: &'static str, place: Option<Range<usize>>, what: &str) {
        let key = self.key(name);
        self.refuse(key, place.or_else(|| self.place.clone()), what.to_owned());
    }

    fn written<T>(
        &mut self,
        key: &'static Key,
        reader: impl Fn(&Value<'_>, &mut Wrongs) -> Option<T>,
    ) -> Entry<T> {
        let Some(value) = self.entries.and_then(|entries| entries.get(key.name)) else {
            return Entry { value: None, place: None };
        };
        let mut wrongs = Wrongs::default();
        let read = reader(value, &mut wrongs);
        for wrong in wrongs.0 {
            self.refuse(key, Some(wrong.place), wrong.what);
        }
        Entry { value: read, place: Some(value.span()) }
    }

    fn refuse(&mut self, key: &'static Key, place: Option<Range<usize>>, what: String) {
        let name = format!("{}.{}", self.table.name, key.name);
        self.found.push(Found {
            place,
            message: format!("{name}: {what}"),
            key: Some(name),
            accepted: Some(key.accepted.to_owned()),
        });
    }

    fn key(&self, name: &'static str) -> &'static Key {
        self.table.key(name).expect("only described keys are read: tested")
    }
}

fn described(name: &'static str) -> &'static Table {
    Table::find(name).expect("only described tables are read: tested")
}

/// Reports a table written the wrong way, and the keys in it that are not described.
fn check_table(
    table: &'static Table,
    name: &Spanned<toml::de::DeString<'_>>,
    value: &Value<'_>,
    found: &mut Vec<Found>,
) {
    let mut wrong_shape = |what: &str| {
        found.push(Found {
            place: Some(name.span()),
            key: Some(table.name.to_owned()),
            message: format!("{}: {what}", table.name),
            accepted: Some(format!("{} on a line of its own", table.header())),
        });
    };
    match (table.repeated, value.get_ref()) {
        (false, DeValue::Table(entries)) => check_keys(table, entries, found),
        (true, DeValue::Array(items)) => {
            for item in items {
                match item.get_ref() {
                    DeValue::Table(entries) => check_keys(table, entries, found),
                    _ => found.push(Found {
                        place: Some(item.span()),
                        key: Some(table.name.to_owned()),
                        message: format!("{}: holds something that is not a table", table.name),
                        accepted: Some(format!("{} on a line of its own", table.header())),
                    }),
                }
            }
        }
        (false, DeValue::Array(_)) => wrong_shape("is one table, not a list"),
        (true, DeValue::Table(_)) => wrong_shape("is a list of tables, each with its own header"),
        _ => wrong_shape("is a table, not a value"),
    }
}

fn check_keys(table: &'static Table, entries: &DeTable<'_>, found: &mut Vec<Found>) {
    for (name, _) in entries.iter().filter(|(name, _)| table.key(name.get_ref()).is_none()) {
        let written: &str = name.get_ref();
        let hint = match meant(table, written) {
            Some((other, key)) if std::ptr::eq(other, table) => {
                format!("; did you mean `{}`?", key.name)
            }
            Some((other, key)) => format!("; did you mean `{}` in {}?", key.name, other.header()),
            None => String::new(),
        };
        let names: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
        found.push(Found {
            place: Some(name.span()),
            key: Some(format!("{}.{}", table.name, escaped(written))),
            message: format!("{}: no key is called `{}`{hint}", table.header(), escaped(written)),
            accepted: Some(format!("in {}: {}", table.header(), names.join(", "))),
        });
    }
}

/// The described key that `written` in `table` probably stands for: its own near spelling first,
/// then what other time servers call it, then a key of another table.
fn meant(table: &'static Table, written: &str) -> Option<(&'static Table, &'static Key)> {
    let near = |table: &'static Table| {
        spelling::nearest(written, table.keys.iter().map(|key| key.name))
            .and_then(|name| table.key(name))
    };
    let folded = written.replace('_', "-").to_ascii_lowercase();
    let elsewhere = |table: &'static Table| {
        table.keys.iter().find(|key| key.elsewhere.contains(&folded.as_str()))
    };
    let exact_in_another = TABLES
        .iter()
        .filter(|other| other.name != table.name)
        .find_map(|other| other.key(&folded).map(|key| (other, key)));
    near(table)
        .or_else(|| elsewhere(table))
        .map(|key| (table, key))
        .or(exact_in_another)
        .or_else(|| TABLES.iter().find_map(|other| elsewhere(other).map(|key| (other, key))))
        .or_else(|| TABLES.iter().find_map(|other| near(other).map(|key| (other, key))))
}

fn unknown_table(name: &Spanned<toml::de::DeString<'_>>, value: &Value<'_>) -> Found {
    let written: &str = name.get_ref();
    let is_table = match value.get_ref() {
        DeValue::Table(_) => true,
        DeValue::Array(items) => {
            items.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_)))
        }
        _ => false,
    };
    let folded = written.replace('_', "-").to_ascii_lowercase();
    let hint = if is_table {
        spelling::nearest(written, TABLES.iter().map(|table| table.name))
            .and_then(Table::find)
            .map(|table| format!("; did you mean {}?", table.header()))
    } else {
        TABLES
            .iter()
            .find(|table| table.key(&folded).is_some())
            .map(|table| format!("; did you mean it below {}?", table.header()))
    };
    let headers: Vec<String> = TABLES.iter().map(Table::header).collect();
    let what = if is_table { "no table is called" } else { "no table holds the key" };
    Found {
        place: Some(name.span()),
        key: Some(escaped(written)),
        message: format!("{what} `{}`{}", escaped(written), hint.unwrap_or_default()),
        accepted: Some(format!("the tables {}", headers.join(", "))),
    }
}

/// A name from the file, cut to a length worth printing; control characters go later, with those
/// of the whole message.
fn escaped(name: &str) -> String {
    if name.chars().count() > 60 {
        name.chars().take(60).chain(['…']).collect()
    } else {
        name.to_owned()
    }
}
