//! Who may do what: API keys, the audit log, idempotent requests, and id tags.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod authorization_answers;
pub(crate) mod id_tags;
pub(crate) mod idempotency;
pub(crate) mod request_record;
pub(crate) mod running_requests;
pub(crate) mod tag_rules;
