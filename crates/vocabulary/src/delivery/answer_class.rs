//! What an endpoint answers, by the first digit of its status.

use crate::words::words;

words! {
    /// What the last attempt of a delivery was answered.
    pub enum AnswerClass {
        /// It was taken.
        Taken = "2xx",
        /// It was to be sent elsewhere; redirects are not followed.
        Redirected = "3xx",
        /// The endpoint said that the request was wrong.
        Refused = "4xx",
        /// The endpoint said that it failed itself.
        Broken = "5xx",
        /// Nothing was answered: a time-out, a connection that failed.
        Nothing = "none",
    }
}

impl AnswerClass {
    /// The first and the last status of the class; `None` where there was no answer.
    pub const fn codes(self) -> Option<(u16, u16)> {
        match self {
            Self::Taken => Some((200, 299)),
            Self::Redirected => Some((300, 399)),
            Self::Refused => Some((400, 499)),
            Self::Broken => Some((500, 599)),
            Self::Nothing => None,
        }
    }
}
