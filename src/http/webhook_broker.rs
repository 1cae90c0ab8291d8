//! The fields of a webhook whose URL names a broker, and that no other webhook has them.

use super::ApiState;
use outbound::broker_url::{BrokerUrl, BrokerUrlError};
use outbound::brokers::{TopicTemplate, credentials_problem};
use outbound::destination::Refusal;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook::WebhookInput;
use vocabulary::broker::{BrokerCredentials, CloudEventsMode};
use vocabulary::delivery::BodyFormat;

/// Whether the caller gave a member. Errors name given members only, or else the URL that they go badly with.
type IsGiven<'a> = &'a (dyn Fn(&str) -> bool + Sync);

/// Checks them, and fills in what has a default.
pub(super) async fn check(
    state: &ApiState,
    input: &mut WebhookInput,
    given: IsGiven<'_>,
    errors: &mut Vec<FieldError>,
) {
    let broker = match BrokerUrl::parse(&input.url) {
        None => return without_broker(input, given, errors),
        Some(Ok(broker)) => broker,
        Some(Err(BrokerUrlError::UserInfo)) => {
            errors.push(FieldError::new("credentials", BrokerUrlError::UserInfo.to_string()));
            return;
        }
        Some(Err(error)) => return errors.push(FieldError::new("url", error.to_string())),
    };
    let mut wrong = |field: &str, message: String| errors.push(FieldError::new(field, message));
    if given("topic") || given("url") {
        let topic =
            input.topic.as_deref().ok_or_else(|| "is required where the url is a broker's".to_owned());
        if let Err(message) = topic.and_then(|topic| TopicTemplate::parse(topic, broker.protocol)) {
            wrong("topic", message);
        }
    }
    for (field, is_there) in
        [("secret_header", input.secret_header.is_some()), ("secret_value", input.secret_value.is_some())]
    {
        if is_there && (given(field) || given("url")) {
            let message = "is for endpoints only: a broker is given credentials, and custom_headers";
            wrong(if given(field) { field } else { "url" }, format!("{field} {message}"));
        }
    }
    let problem = input.credentials.as_ref().and_then(|given| credentials_problem(broker.protocol, given));
    if let Some((member, message)) = problem.filter(|_| given("credentials") || given("url")) {
        let field = ["credentials", member].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        wrong(&field.join("."), message.to_owned());
    }
    match (input.format == BodyFormat::CloudEvents, input.cloudevents_mode) {
        (true, None) => input.cloudevents_mode = Some(CloudEventsMode::Structured),
        // It had this format before.
        (false, Some(_)) if !given("cloudevents_mode") => input.cloudevents_mode = None,
        (false, Some(_)) => wrong("cloudevents_mode", "is for the format cloudevents only".to_owned()),
        _ => {}
    }
    if given("url") || given("credentials") {
        let is_sent = input.credentials.as_ref().is_some_and(BrokerCredentials::are_sent);
        if let Err(refusal) = broker.check_creation(state.poster.guard(), is_sent).await {
            match (given("url"), &refusal) {
                (false, Refusal::CredentialsInClear { .. }) => {
                    wrong("credentials", format!("the url does not go with them: {refusal}"));
                }
                (false, _) => {}
                (true, _) => wrong("url", refusal.to_string()),
            }
        }
    }
}

/// An endpoint has no field of brokers. What a change of the URL alone leaves behind has to be taken out by
/// name, except for credentials, which nobody sees and which go nowhere else.
fn without_broker(input: &mut WebhookInput, given: IsGiven<'_>, errors: &mut Vec<FieldError>) {
    if !given("credentials") {
        input.credentials = None;
    }
    for (field, is_there) in [
        ("topic", input.topic.is_some()),
        ("credentials", input.credentials.is_some()),
        ("cloudevents_mode", input.cloudevents_mode.is_some()),
    ] {
        match is_there {
            true if given(field) => {
                let message =
                    "is for brokers only (nats://, tls://), and the url is an endpoint's: null takes it out";
                errors.push(FieldError::new(field, message));
            }
            true => {
                let message = format!("{field} is for brokers only: null takes it out");
                errors.push(FieldError::new("url", message));
            }
            false => {}
        }
    }
}
