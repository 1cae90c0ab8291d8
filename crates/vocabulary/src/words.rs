//! Enums whose variants are words of the API: one table gives the spelling in JSON, in SQL rows and in texts.

use std::fmt;

/// A text that is none of an enum's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord {
    known: String,
}

impl UnknownWord {
    /// It should have been one of these.
    pub fn not_in(known: &[&str]) -> Self {
        Self { known: listed(known) }
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {}", self.known)
    }
}

impl std::error::Error for UnknownWord {}

/// Words as a sentence lists them: `a, b or c`.
pub fn listed(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

/// Declares an enum and how each variant is spelled, everywhere.
macro_rules! words {
    (
        $(#[$attribute:meta])*
        pub enum $Name:ident { $($(#[$of_word:meta])* $Word:ident = $spelled:tt,)+ }
    ) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        $(#[$attribute])*
        pub enum $Name {
            $($(#[$of_word])* #[serde(rename = $spelled)] $Word,)+
        }

        impl $Name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$Word),+];

            /// How every one is spelled.
            pub const WORDS: &[&str] = &[$($spelled),+];

            /// How it is spelled in JSON, in SQL rows and in texts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Word => $spelled),+ }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $Name {
            type Err = $crate::words::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::words::UnknownWord> {
                match text {
                    $($spelled => Ok(Self::$Word),)+
                    _ => Err($crate::words::UnknownWord::not_in(Self::WORDS)),
                }
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::delivery::Trigger;

    #[test]
    fn a_word_is_spelled_alike_everywhere() {
        for (trigger, word) in Trigger::ALL.iter().zip(Trigger::WORDS) {
            assert_eq!((trigger.as_str(), trigger.to_string().as_str()), (*word, *word));
            assert_eq!(word.parse(), Ok(*trigger));
            assert_eq!(serde_json::to_string(trigger).expect("a word"), format!("\"{word}\""));
            let read: Trigger = serde_json::from_str(&format!("\"{word}\"")).expect("a word");
            assert_eq!(read, *trigger);
        }
    }

    #[test]
    fn who_gives_another_word_is_told_the_known_ones() {
        let error = "Event".parse::<Trigger>().expect_err("spelled otherwise");
        assert_eq!(error.to_string(), "must be event, resend, replay or test");
        assert_eq!((super::listed(&["a"]), super::listed(&[])), ("a".to_owned(), String::new()));
    }
}
