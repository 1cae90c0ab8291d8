//! Local authorisation lists (OCPP 1.6 §5.15).

use std::collections::HashMap;

use super::{Given, Wrong};

/// Adds what is wrong with the entries of a `SendLocalList`.
pub(super) fn check(given: Given<'_>, wrong: &mut Wrong) {
    let full = given.text("updateType") == Some("Full");
    let mut seen = HashMap::new();
    for (index, entry) in given.objects("localAuthorizationList") {
        let path = format!("localAuthorizationList.{index}");
        let entry = Given { object: entry, path: &path };
        if full && !entry.has("idTagInfo") {
            wrong.add(
                entry.path_of("idTagInfo"),
                "is required in a Full list; only in a Differential one does leaving it out remove the tag",
            );
        }
        let Some(id_tag) = entry.text("idTag") else { continue };
        if let Some(first) = seen.insert(id_tag.to_lowercase(), index) {
            let field = entry.path_of("idTag");
            wrong.add_unless_known(&field, || {
                format!("is the tag of entry {first} again: letter case does not tell tags apart")
            });
        }
    }
}
