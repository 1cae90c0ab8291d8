//! The authorisation call-out: the operator's endpoint is asked for a verdict before a message with an id tag
//! is stored. This is the one place where a charger waits for an integrator, so it waits with a deadline. Any
//! failure counts as no answer, and the store then decides by itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use outbound::destination::PrivateUrl;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::lock;
use super::settings::Authorization;
use outbound::headers;
use outbound::post::{Poster, Request, WholeAnswer};
use outbound::signature::SigningSecret;
use store::Question;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::id::{AuthorizationId, IdMint, StationId};
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagInfo};
use vocabulary::ocpp::message::MessageAction;

/// Questions that may be open at once. No further ones are asked.
const OPEN_MAX: usize = 256;

/// The largest answer that is read. A verdict takes a few hundred bytes.
const ANSWER_MAX_BYTES: usize = 16 << 10;

/// Time between two warnings that the endpoint does not answer as it should.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The `type` of a question, and its `X-Webhook-Event`.
const KIND: &str = "authorize";

/// Results of the questions since the start.
#[derive(Debug, Default)]
pub struct CallOutCounts {
    /// Answered with a verdict.
    pub answered: AtomicU64,
    /// No answer came in time, or it was no verdict.
    pub unanswered: AtomicU64,
    /// Not asked, because too many were open.
    pub skipped: AtomicU64,
}

/// Asks the endpoint.
pub(super) struct CallOut {
    url: PrivateUrl,
    signing_secret: SigningSecret,
    timeout: Duration,
    poster: Poster,
    clock: Clock,
    open: Semaphore,
    mint: Mutex<IdMint>,
    warned_at: Mutex<Option<Timestamp>>,
    counts: Arc<CallOutCounts>,
}

/// A question as the endpoint reads it.
#[derive(Serialize)]
struct Body<'a> {
    id: AuthorizationId,
    r#type: &'static str,
    action: &'static str,
    station_id: &'a str,
    connector_id: Option<i64>,
    owner_id: Option<&'a str>,
    id_tag: &'a str,
    registered: bool,
}

/// An answer as the endpoint writes it. Other members are ignored.
#[derive(Deserialize)]
struct EndpointAnswer {
    status: AuthorizationStatus,
    expiry_date: Option<Timestamp>,
    parent_id_tag: Option<String>,
}

impl CallOut {
    /// `None` if no endpoint is configured.
    pub(super) fn new(
        settings: &Authorization,
        poster: Poster,
        clock: Clock,
        counts: Arc<CallOutCounts>,
    ) -> Option<Self> {
        let (url, signing_secret) = settings.endpoint()?;
        Some(Self {
            url: url.clone(),
            signing_secret: signing_secret.clone(),
            timeout: settings.timeout.0,
            poster,
            clock,
            open: Semaphore::new(OPEN_MAX),
            mint: Mutex::default(),
            warned_at: Mutex::default(),
            counts,
        })
    }

    /// The endpoint's verdict; `None` if it gives none. It takes the timeout at most.
    pub(super) async fn ask(
        &self,
        station: &StationId,
        action: MessageAction,
        question: &Question,
    ) -> Option<IdTagInfo> {
        let Ok(_permit) = self.open.try_acquire() else {
            self.counts.skipped.fetch_add(1, Relaxed);
            self.warn(format_args!("{OPEN_MAX} questions wait for its answer: no more are asked"));
            return None;
        };
        let now = self.clock.now();
        let id = AuthorizationId::from_value(lock(&self.mint).next(now));
        let body = Body {
            id,
            r#type: KIND,
            action: action.as_str(),
            station_id: station.as_str(),
            connector_id: question.connector_id,
            owner_id: question.owner_id.as_deref(),
            id_tag: &question.id_tag,
            registered: question.registered,
        };
        let body = Bytes::from(serde_json::to_vec(&body).ok()?);
        let headers = headers::of_question(id, KIND, now.unix_s(), &self.signing_secret, &body);
        let (url, timeout) = (self.url.0.clone(), self.timeout);
        let request = Request { url, headers, body, timeout, carries_secret: false };
        let verdict = match self.poster.ask(request, ANSWER_MAX_BYTES).await {
            Ok(WholeAnswer { status, body }) => verdict(status, &body, self.clock.now()),
            Err(outcome) => Err(outcome.error().map_or_else(String::new, |error| error.message)),
        };
        match verdict {
            Ok(info) => {
                self.counts.answered.fetch_add(1, Relaxed);
                debug!(station.id = %station, "the authorisation endpoint answered {}", info.status);
                Some(info)
            }
            Err(reason) => {
                self.counts.unanswered.fetch_add(1, Relaxed);
                self.warn(format_args!("{reason}"));
                None
            }
        }
    }

    /// Warns, once a minute at most, that there is no answer.
    fn warn(&self, reason: std::fmt::Arguments<'_>) {
        let now = self.clock.now();
        let mut warned_at = lock(&self.warned_at);
        if warned_at.is_none_or(|at| now.since(at) >= WARN_EVERY) {
            *warned_at = Some(now);
            let unanswered = self.counts.unanswered.load(Relaxed);
            warn!(
                unanswered,
                "authorization.url gives no verdict, so that its last answers, the registered tags and \
                 authorization.fallback decide: {reason}"
            );
        }
    }
}

/// The verdict that an answer holds, or why it holds none.
fn verdict(status: u16, body: &[u8], now: Timestamp) -> Result<IdTagInfo, String> {
    if status != 200 {
        return Err(format!("the endpoint answered {status}, where only 200 is a verdict"));
    }
    let told: EndpointAnswer =
        serde_json::from_slice(body).map_err(|error| format!("the answer is no verdict: {error}"))?;
    let EndpointAnswer { status, expiry_date, parent_id_tag } = told;
    if status == AuthorizationStatus::Accepted && expiry_date.is_some_and(|expiry| expiry <= now) {
        return Err("the answer is Accepted with an expiry_date that is over".to_owned());
    }
    Ok(IdTagInfo { status, expiry_date, parent_id_tag: parent_id_tag.filter(|parent| !parent.is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outbound::destination::Guard;
    use vocabulary::ocpp::protocol::Protocol;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

    #[test]
    fn a_verdict_is_a_200_with_a_known_status() {
        let told =
            verdict(200, br#"{"status":"Accepted","expiry_date":"2099-01-01T00:00:00Z","more":1}"#, NOW)
                .expect("a verdict");
        assert_eq!(told.status, AuthorizationStatus::Accepted);
        assert_eq!(told.expiry_date.map(|at| at.to_string()).as_deref(), Some("2099-01-01T00:00:00.000Z"));
        let told = verdict(200, br#"{"status":"Blocked","expiry_date":null,"parent_id_tag":""}"#, NOW);
        assert_eq!(told, Ok(IdTagInfo::bare(AuthorizationStatus::Blocked)));
        let told = verdict(200, br#"{"status":"Expired","expiry_date":"2020-01-01T00:00:00Z"}"#, NOW);
        assert_eq!(told.map(|told| told.status), Ok(AuthorizationStatus::Expired));
    }

    #[tokio::test]
    async fn no_more_than_a_bounded_number_of_questions_are_open() {
        let settings = Authorization {
            url: Some("https://8.8.8.8/authorize".parse().expect("a URL")),
            signing_secret: Some(SigningSecret::generate().expect("random")),
            ..Authorization::default()
        };
        let poster = Poster::new(Guard::default(), None).expect("a poster");
        let call_out = CallOut::new(&settings, poster, Clock::manual(NOW), Arc::default());
        let call_out = call_out.expect("there is an endpoint");
        let _open = call_out.open.try_acquire_many(OPEN_MAX as u32).expect("all of them");
        let question =
            Question { owner_id: None, connector_id: None, id_tag: "T".to_owned(), registered: false };
        let station = StationId::new("CP").expect("legal");
        let (action, _) = MessageAction::recognise(Protocol::default(), "Authorize").expect("an action");
        assert_eq!(call_out.ask(&station, action, &question).await, None);
        assert_eq!(call_out.counts.skipped.load(Relaxed), 1);
    }

    #[test]
    fn anything_else_is_no_answer() {
        for (status, body) in [
            (204, r#"{"status":"Accepted"}"#),
            (201, r#"{"status":"Accepted"}"#),
            (500, r#"{"status":"Accepted"}"#),
            (200, ""),
            (200, "ok"),
            (200, "{}"),
            (200, r#"{"status":"accepted"}"#),
            (200, r#"{"status":"Maybe"}"#),
            (200, r#"{"status":"Accepted","expiry_date":"soon"}"#),
            (200, r#"{"status":"Accepted","expiry_date":"2020-01-01T00:00:00Z"}"#),
            (200, r#"{"status":"Accepted","parent_id_tag":7}"#),
        ] {
            assert!(verdict(status, body.as_bytes(), NOW).is_err(), "{status} {body}");
        }
    }
}
