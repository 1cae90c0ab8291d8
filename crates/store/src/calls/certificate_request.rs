//! A request for a certificate.

use super::{Answered, CallTx};
use crate::error::Result;
use crate::stations::certificate_signing::{self, ChainOrder, Signing};
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::message::{Inbound, Message};

impl CallTx<'_, '_> {
    /// A request for a certificate. One that is granted brings forth the command that sends it, after the
    /// answer.
    pub(super) fn certificate_request(&mut self, mut call: Inbound, message: &Message) -> Result<Answered> {
        let refused = match self.advice.signing.take() {
            // There is no authority: whoever subscribes to the event may have one.
            None => None,
            Some(Signing::Refused { reason }) => Some(reason),
            Some(Signing::Signed { .. }) if self.known.boot_status == BootStatus::Rejected => {
                Some("not_accepted: its boots are answered Rejected".to_owned())
            }
            Some(Signing::Signed { chain }) => {
                let protocol = call.action.protocol();
                match certificate_signing::order(self.w, self.station, protocol, &chain)? {
                    ChainOrder::Queued => {
                        self.certificate_granted = true;
                        None
                    }
                    ChainOrder::Refused(reason) => Some(reason),
                }
            }
        };
        call.violations.extend(refused.map(|reason| Violation::field("csr", reason)));
        let answered = self.append_and_answer(call, message, None)?;
        Ok(Answered { command_created: self.certificate_granted, ..answered })
    }
}
