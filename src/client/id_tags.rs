//! Registered id tags. Each belongs to one owner or to none; `owner_id` selects one of several with the same
//! name.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::id_tag::{IdTag, ImportedRow};
use vocabulary::api::why::Why;

fn whose(owner_id: Option<&str>) -> Vec<(&str, &str)> {
    owner_id.map(|owner| ("owner_id", owner)).into_iter().collect()
}

impl Client {
    /// One page of the tags.
    pub fn id_tags(&self, parameters: Parameters<'_>) -> Call<Page<IdTag>> {
        self.get(&["id-tags"], parameters)
    }

    /// A tag.
    pub fn id_tag(&self, tag: &str, owner_id: Option<&str>) -> Call<IdTag> {
        self.get(&["id-tags", tag], &whose(owner_id))
    }

    /// Registers or replaces a tag; `input` is the body of `PUT`.
    pub fn put_id_tag(&self, tag: &str, owner_id: Option<&str>, input: &impl Serialize) -> Call<IdTag> {
        self.call(self.request(Method::PUT, &["id-tags", tag], &whose(owner_id)).json(input))
    }

    /// Deletes a tag.
    pub fn delete_id_tag(&self, tag: &str, owner_id: Option<&str>) -> Call<()> {
        self.call(self.request(Method::DELETE, &["id-tags", tag], &whose(owner_id)))
    }

    /// Registers many tags; `rows` is a JSON array or a CSV, as `content_type` says (`application/json`,
    /// `text/csv`). Wrong rows are left out and named in the answer.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] if the rows cannot be read at all, or are too many.
    pub fn import_id_tags(&self, content_type: &'static str, rows: Vec<u8>) -> Call<Page<ImportedRow>> {
        let request = self.request(Method::POST, &["id-tags", "import"], &[]);
        self.call(request.header(CONTENT_TYPE, content_type).body(rows))
    }

    /// Why a tag is let in, or refused.
    pub fn why_id_tag(&self, id_tag: &str, parameters: Parameters<'_>) -> Call<Why> {
        self.get(&["id-tags", id_tag, "why"], parameters)
    }
}
