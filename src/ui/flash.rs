//! A message about what was just done, from the answer of a form to the page that comes after it.

use http::HeaderMap;

use super::components::chip::Tone;
use super::components::layout::Message;
use crate::http::{BrowserSessions, cookie};

/// The name of the cookie.
const NAME: &str = "chargehook_message";

/// What messages are sealed for.
const PURPOSE: &str = "message to a browser";

/// The longest message; a cookie has at most four kilobytes.
const MAX_CHARS: usize = 600;

/// The header that sets a message; `None` if it cannot be sealed, and is left out.
pub(super) fn set(sessions: &BrowserSessions, message: &Message) -> Option<String> {
    let tone = match message.tone {
        Tone::Bad => '!',
        Tone::Warn => '?',
        _ => '+',
    };
    let text: String = std::iter::once(tone).chain(message.text.chars().take(MAX_CHARS)).collect();
    let value = sessions.seal(PURPOSE, text.as_bytes()).ok()?;
    Some(format!("{NAME}={value}; Path=/ui; Max-Age=60; HttpOnly; SameSite=Strict"))
}

/// The message of a request.
pub(super) fn of(sessions: &BrowserSessions, headers: &HeaderMap) -> Option<Message> {
    let content = String::from_utf8(sessions.open(PURPOSE, cookie(headers, NAME)?)?).ok()?;
    let tone = match content.chars().next()? {
        '!' => Tone::Bad,
        '?' => Tone::Warn,
        _ => Tone::Ok,
    };
    Some(Message { tone, text: content.chars().skip(1).collect() })
}

/// The header that removes it: a message is shown once.
pub(super) fn clear() -> String {
    format!("{NAME}=; Path=/ui; Max-Age=0; HttpOnly; SameSite=Strict")
}
