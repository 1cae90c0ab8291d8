//! A table of settings: what an engine declares, and what `config` does with it.

use super::Given;
use crate::units::ByteSize;

/// The settings under one heading of the configuration file that one engine uses. Made by
/// [`table!`](macro@super::table).
pub trait Table: Rules {
    /// Its keys, in the order of their declaration.
    const KEYS: &'static [&'static str];

    /// Sets one key; `None` if there is no such key.
    fn set(&mut self, key: &str, given: Given<'_>) -> Option<Result<(), String>>;

    /// The keys in which another table is different.
    fn differing(&self, other: &Self) -> Vec<&'static str>;

    /// Takes over one key of another table.
    fn take(&mut self, from: &Self, key: &str);
}

/// What the values of a table must be beside readable.
pub trait Rules {
    /// Notes each rule that is broken.
    fn check(&self, _broken: &mut Broken) {}
}

/// The rules of a table that are broken, each with its key.
#[derive(Debug, Default)]
pub struct Broken(Vec<(&'static str, String)>);

impl Broken {
    /// Notes `rule` about `key` if it does not hold.
    pub fn unless(&mut self, holds: bool, key: &'static str, rule: impl Into<String>) {
        if !holds {
            self.0.push((key, rule.into()));
        }
    }

    /// Notes each key whose value is not more than nothing.
    pub fn unless_positive<T: PartialOrd + Default>(&mut self, values: &[(&'static str, T)]) {
        for (key, value) in values {
            self.unless(*value > T::default(), key, "must be more than nothing");
        }
    }

    /// Notes a size that no message or body is limited to.
    pub fn unless_message_size(&mut self, size: ByteSize, key: &'static str) {
        let sizes = ByteSize(1 << 10)..=ByteSize(1 << 30);
        self.unless(sizes.contains(&size), key, "must be from 1KiB to 1GiB");
    }

    /// All of them, in order.
    pub fn into_list(self) -> Vec<(&'static str, String)> {
        self.0
    }
}

/// Declares a table of settings: a structure with the name, type and default of each key.
#[doc(hidden)]
#[macro_export]
macro_rules! __settings_table {
    ($(#[$attribute:meta])* $visible:vis struct $Table:ident {
        $($(#[$key_attribute:meta])* $key:ident: $Type:ty = $default:expr,)+
    }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $visible struct $Table {
            $($(#[$key_attribute])* pub $key: $Type,)+
        }

        impl ::std::default::Default for $Table {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $crate::setting::Table for $Table {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];

            fn set(&mut self, key: &str, given: $crate::setting::Given<'_>) -> Option<Result<(), String>> {
                match key {
                    $(stringify!($key) => {
                        let read = <$Type as $crate::setting::Setting>::read(given);
                        Some(read.map(|value| self.$key = value))
                    })+
                    _ => None,
                }
            }

            fn differing(&self, other: &Self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$key != other.$key {
                    keys.push(stringify!($key));
                })+
                keys
            }

            fn take(&mut self, from: &Self, key: &str) {
                match key {
                    $(stringify!($key) => self.$key = from.$key.clone(),)+
                    _ => {}
                }
            }
        }
    };
}

/// Makes a setting of a type with a few values, each written as one word.
#[doc(hidden)]
#[macro_export]
macro_rules! __setting_words {
    ($Type:ty: $($word:literal => $value:path),+ $(,)?) => {
        impl $crate::setting::Setting for $Type {
            fn read(given: $crate::setting::Given<'_>) -> Result<Self, String> {
                let expected = concat!("one of", $(" \"", $word, "\""),+);
                match given.text(expected)? {
                    $($word => Ok($value),)+
                    other => Err(format!("{other:?} is unknown: {expected} is expected")),
                }
            }
        }
    };
}
