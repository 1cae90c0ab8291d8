//! CALLs of the charger: recognises and reads them, and refuses what the mode does not permit.

use serde_json::value::RawValue;

use super::repeats::Fingerprint;
use super::{Action, Answering, Append, NO_OBJECT, Now, Pending, Session};
use vocabulary::ocpp::fact::Fact;
use vocabulary::ocpp::frame::{self, ErrorCode, MessageId, Unserveable};
use vocabulary::ocpp::message::{Inbound, MessageAction};
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::ocpp::reading::Reading;
use vocabulary::ocpp::rejection::{Refused, Rejection};
use vocabulary::ocpp::{Validation, Violation};

/// Violations of an envelope that the specification allows: an empty payload may be `null`.
const LEGAL_ODDITIES: &[&str] = &["payload"];

/// The violation of an empty list in place of an object. It is read as an object, except in the strict mode.
const EMPTY_ARRAY: &str = "empty_array";

/// Why a CALL is answered with a CALLERROR.
struct CallRefusal {
    reason: Unserveable,
    code: ErrorCode,
    description: String,
    /// What was odd about the action and the payload.
    violations: Vec<Violation>,
}

impl Session {
    /// A CALL of the charger's; `violations` are those of its envelope.
    pub(super) fn call(
        &mut self,
        now: Now,
        text: &str,
        call: frame::Call,
        mut violations: Vec<Violation>,
    ) -> Vec<Action> {
        let fingerprint = Fingerprint::of(text);
        if let Some(again) = self.answered.again(&call.id, fingerprint, now.monotonic) {
            return vec![Action::Send(again)];
        }
        let recognised = MessageAction::recognise(self.protocol, &call.action);
        let is_a_clock = recognised.as_ref().is_some_and(|(action, _)| action.asks_for_the_time());
        let answering =
            Answering { id: call.id.clone(), fingerprint, received_at: now.monotonic, is_a_clock };
        let read = self.accepted_action(&call.action, recognised, &violations);
        let read = read.and_then(|(action, mapped)| {
            let reading = Reading { validation: self.validation, received_at: now.wall, zone: self.zone };
            read_call(call.id.clone(), action, mapped, call.payload, &reading)
        });
        if self.answered.knows(&call.id) {
            violations.push(Violation::message("reused_message_id"));
        }
        match read {
            Ok(mut inbound) => {
                violations.append(&mut inbound.violations);
                inbound.violations = violations;
                let boot = matches!(inbound.message.fact(), Fact::Booted(_));
                self.pending = Some(Pending { call: Some(answering), boot, ..Pending::default() });
                vec![Action::Append(Append::Call(Box::new(inbound)))]
            }
            Err(refusal) => {
                // The refusal already says so.
                if refusal.reason == Unserveable::PayloadNotAnObject {
                    violations.retain(|odd| odd.code() != EMPTY_ARRAY);
                }
                violations.extend(refusal.violations);
                let refused =
                    Refused { message_id: call.id, code: refusal.code, description: refusal.description };
                let rejection = Rejection {
                    raw: Some(text.to_owned()),
                    size: text.len(),
                    reason: refusal.reason,
                    answer: Some(refused.clone()),
                    violations,
                };
                let pending = Pending { call: Some(answering), refused: Some(refused), ..Pending::default() };
                self.append_rejection(rejection, pending)
            }
        }
    }

    /// The action of a CALL, if there is such an action and, in the strict mode, nothing is wrong with its
    /// name and its envelope.
    fn accepted_action(
        &self,
        name: &str,
        recognised: Option<(MessageAction, Option<Violation>)>,
        envelope: &[Violation],
    ) -> Result<(MessageAction, Option<Violation>), CallRefusal> {
        let unknown = || {
            let (reason, code) = (Unserveable::UnknownAction, ErrorCode::NotImplemented);
            CallRefusal {
                reason,
                code,
                description: no_such_action(self.protocol, name),
                violations: Vec::new(),
            }
        };
        let malformed = |reason, description: &str| {
            let (code, description) = (ErrorCode::FormationViolation, description.to_owned());
            CallRefusal { reason, code, description, violations: Vec::new() }
        };
        let (action, mapped) = recognised.ok_or_else(unknown)?;
        if self.validation != Validation::Strict {
            return Ok((action, mapped));
        }
        // Names of actions are exact by the specification, and so is the envelope.
        if mapped.is_some() {
            return Err(unknown());
        }
        if envelope.iter().any(|odd| odd.code() == EMPTY_ARRAY) {
            return Err(malformed(Unserveable::PayloadNotAnObject, NO_OBJECT));
        }
        match envelope.iter().find(|odd| !LEGAL_ODDITIES.contains(&odd.code())) {
            Some(odd) => Err(malformed(Unserveable::SchemaViolation, &odd.problem)),
            None => Ok((action, mapped)),
        }
    }
}

/// Reads the payload of a CALL; `mapped` is what was odd about the name of its action.
fn read_call(
    id: MessageId,
    action: MessageAction,
    mapped: Option<Violation>,
    payload: Box<RawValue>,
    reading: &Reading,
) -> Result<Inbound, CallRefusal> {
    let mut violations: Vec<Violation> = mapped.into_iter().collect();
    match Inbound::read(id, action, payload, reading) {
        Ok(mut inbound) => {
            violations.append(&mut inbound.violations);
            inbound.violations = violations;
            Ok(inbound)
        }
        Err(refusal) => {
            violations.extend(refusal.violations);
            let (code, description) = (refusal.code, refusal.description);
            Err(CallRefusal { reason: Unserveable::SchemaViolation, code, description, violations })
        }
    }
}

/// Why an action is refused that nobody sends, or only the gateway.
fn no_such_action(protocol: Protocol, action: &str) -> String {
    format!("charge points send no \"{}\" in {}", shorten(action), protocol.title())
}

/// A charger's text for an error message, short and on one line.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(50).collect()
}
