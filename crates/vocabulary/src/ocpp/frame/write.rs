//! Writes frames.

use serde::Serialize;

use super::{ErrorCode, MessageId};

/// Writes `[2,"id","action",payload]`.
///
/// # Errors
/// Only if `payload` refuses to be written as JSON.
pub fn encode_call(id: &MessageId, action: &str, payload: &impl Serialize) -> serde_json::Result<String> {
    Ok(format!("[2,{},{},{}]", id.as_json(), serde_json::to_string(action)?, serde_json::to_string(payload)?))
}

/// Writes `[3,"id",payload]`.
///
/// # Errors
/// Only if `payload` refuses to be written as JSON.
pub fn encode_result(id: &MessageId, payload: &impl Serialize) -> serde_json::Result<String> {
    Ok(format!("[3,{},{}]", id.as_json(), serde_json::to_string(payload)?))
}

/// Writes `[4,"id","code","description",{}]`.
pub fn encode_error(id: &MessageId, code: ErrorCode, description: &str) -> String {
    format!("[4,{},\"{code:?}\",{},{{}}]", id.as_json(), serde_json::Value::from(description))
}
