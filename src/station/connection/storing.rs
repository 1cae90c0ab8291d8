//! Does what the session says: stores messages, with the verdicts of others about them, then sends the
//! answers.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, warn};

use super::Connection;
use crate::station::certificate_signing;
use crate::station::closing::Closing;
use crate::station::session::{Action, Append, Input, Now};
use store::{Advice, Signing, StoreError};
use vocabulary::clock::Timestamp;
use vocabulary::log_limit::limited;
use vocabulary::ocpp::authorization::IdTagInfo;
use vocabulary::ocpp::fact::Fact;
use vocabulary::ocpp::message::Inbound;

/// A message of so many bytes takes so long to read that other sockets would have to wait.
const LONG_BYTES: usize = 64 << 10;

impl Connection {
    /// Runs the session's actions until there are no more.
    pub(super) async fn act(&mut self, now: Now, input: Input<'_>) -> Option<Closing> {
        let mut todo: VecDeque<Action> = match input.bytes() {
            // Reading it takes milliseconds, in which this thread would serve no other socket.
            LONG_BYTES.. => aside(|| self.session.handle(now, input)),
            _ => self.session.handle(now, input),
        }
        .into();
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Append(append) => match self.append(append, now.wall).await {
                    Ok(answer) => {
                        let next = self.session.handle(self.now(), Input::Stored(answer));
                        todo.extend(next);
                    }
                    // No answer: the charger keeps its message and sends it again.
                    Err(error) => {
                        limited!(warn: station.id = %self.station, "a message of {} could not be stored: {error}", self.station);
                        return Some(Closing::without_storage());
                    }
                },
                Action::Send(text) => {
                    if let Some(end) = self.send(Some(Message::text(text))).await {
                        return Some(end);
                    }
                }
                Action::Booted => {
                    self.calls.not_before = None;
                    self.calls.until_boot = false;
                }
                Action::Close(code, reason) => return Some(Closing::at_fault(code, reason)),
            }
        }
        None
    }

    async fn append(
        &mut self,
        append: Append,
        received_at: Timestamp,
    ) -> Result<Option<Box<RawValue>>, StoreError> {
        let (store, station) = (&self.stations.store, self.station.clone());
        match append {
            Append::Call(call) => {
                debug!(station.id = %station, "{station} sent {}", call.action);
                let advice = Advice {
                    verdict: self.outside_verdict(&call).await?,
                    signing: self.signing(&call).await?,
                };
                let answered = self.stations.calls.serve(station, *call, received_at, advice).await?;
                if answered.command_created {
                    self.stations.registry.tell_of_commands(&self.station);
                }
                Ok(Some(answered.payload))
            }
            Append::Rejected(rejection) => {
                debug!(station.id = %station, "{station} sent a message that is {}", rejection.reason.as_str());
                store.reject_message(station, *rejection, received_at).await.map(|()| None)
            }
            Append::CallEnded(ended) => {
                self.calls.deadline = None;
                store.end_command(station, *ended).await.map(|()| None)
            }
            Append::Unexpected(unexpected) => {
                debug!(station.id = %station, "{station} sent an answer that nobody waits for");
                store.unexpected_answer(station, *unexpected, received_at).await.map(|()| None)
            }
        }
    }

    /// The authorisation endpoint's verdict on the message's tag, if there is an endpoint and a tag.
    async fn outside_verdict(&self, call: &Inbound) -> Result<Option<IdTagInfo>, StoreError> {
        let Some(call_out) = &self.stations.call_out else { return Ok(None) };
        // Boxed: the future of a connection, which lives for days, keeps no room for an HTTP request.
        Box::pin(async {
            let Some(question) = self.stations.store.question(self.station.clone(), call).await? else {
                return Ok(None);
            };
            Ok(call_out.ask(&self.station, call.action, &question).await)
        })
        .await
    }

    /// The certificate authority's answer, if the message asks for a certificate.
    async fn signing(&self, call: &Inbound) -> Result<Option<Signing>, StoreError> {
        let Fact::CertificateRequested { csr } = call.message.fact() else { return Ok(None) };
        let profile = self.admitted.connected.security_profile;
        Box::pin(certificate_signing::answer(&self.stations, &self.station, profile, csr)).await
    }
}

/// Runs something long while another thread takes over this one's other tasks.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        // There is no other thread.
        _ => work(),
    }
}
