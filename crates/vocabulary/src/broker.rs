//! What a webhook says of a message broker beside its URL.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words::words;

words! {
    /// How a CloudEvent is laid into a broker's message.
    pub enum CloudEventsMode {
        /// The whole event is the body.
        Structured = "structured",
        /// The payload is the body, the event's attributes are headers of the message.
        Binary = "binary",
    }
}

/// How the gateway signs in to a broker: `username` and `password`, or one of the others alone.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerCredentials {
    /// A user's name; needs `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 512)]
    pub username: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 4096)]
    pub password: Option<String>,
    /// A token of NATS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 4096)]
    pub token: Option<String>,
    /// The seed of a user's nkey of NATS, `SU…`: it signs what the server asks, and is never sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 512)]
    pub nkey: Option<String>,
    /// The content of a `.creds` file of NATS: a user's JWT and the seed of its nkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 16384)]
    pub creds: Option<String>,
}

impl fmt::Debug for BrokerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerCredentials").finish_non_exhaustive()
    }
}

impl BrokerCredentials {
    /// Whether signing in with them shows the broker, and whoever listens, the secret itself.
    pub fn are_sent(&self) -> bool {
        self.password.is_some() || self.token.is_some()
    }

    /// What is wrong with the choice of members: the member, and words.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        match (&self.username, &self.password) {
            (Some(_), None) => return Some(("password", "is required with a username")),
            (None, Some(_)) => return Some(("username", "is required with a password")),
            _ => {}
        }
        let ways = [&self.username, &self.token, &self.nkey, &self.creds];
        let given = ways.iter().filter(|way| way.is_some()).count();
        (given != 1)
            .then_some(("", "give username and password, token, nkey or creds, and one of these alone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, field: Option<&str>) {
        let credentials: BrokerCredentials = serde_json::from_str(json).expect("reads");
        assert_eq!(credentials.problem().map(|(field, _)| field), field, "{json}");
        assert!(!format!("{credentials:?}").contains("hush"));
    }

    #[test]
    fn one_way_to_sign_in_is_given() {
        check(r#"{"username":"u","password":"hush"}"#, None);
        check(r#"{"token":"hush"}"#, None);
        check(r#"{"nkey":"hush"}"#, None);
        check(r#"{"creds":"hush"}"#, None);
        check("{}", Some(""));
        check(r#"{"username":"u"}"#, Some("password"));
        check(r#"{"password":"hush"}"#, Some("username"));
        check(r#"{"username":"u","password":"hush","token":"hush"}"#, Some(""));
    }
}
