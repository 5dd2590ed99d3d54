//! Names for the words of a counter page.

/// Defines `enum Counter`: what is counted, each with its stable name, its help and whether it is a fate.
///
/// A row is `/// Help.` `Variant = "name";`, or `Variant = "name", fate;` for what became of one thing that was counted: each has
/// exactly one fate, so the fates add up to the number of things. A variant's number is its word in a
/// [`CounterPage`](crate::page::CounterPage). The enum has `ALL`, `COUNT`, `name`, `help` and `is_fate`.
#[macro_export]
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal $(, $fate:ident)?;)+) => {
        /// Something that is counted. The names and their order are stable; new ones are added at the end.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Counter {
            /// All of them, in the order of a counter page.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = [$($name),+].len();

            /// Name for machines: `snake_case`, stable.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it counts, in a line for people.
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => [$($doc),+][0].trim_ascii(),)+
                }
            }

            /// Whether it says what became of one thing that was counted; each has exactly one fate.
            pub const fn is_fate(self) -> bool {
                match self {
                    $(Self::$variant => $crate::counters!(@fate $($fate)?),)+
                }
            }
        }
    };
    (@fate) => { false };
    (@fate fate) => { true };
}

#[cfg(test)]
mod tests {
    counters! {
        /// Things that came.
        Came = "came";
        /// Things that went well.
        Well = "well", fate;
    }

    #[test]
    fn a_row_becomes_a_word_with_a_name_a_help_and_perhaps_a_fate() {
        assert_eq!(
            (Counter::COUNT, Counter::ALL[1], Counter::Well as usize),
            (2, Counter::Well, 1)
        );
        assert_eq!((Counter::Came.name(), Counter::Came.help()), ("came", "Things that came."));
        assert_eq!((Counter::Came.is_fate(), Counter::Well.is_fate()), (false, true));
    }
}
