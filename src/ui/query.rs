//! The query of a page: what narrows its lists. Links that change one part of it keep the rest.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use url::form_urlencoded::{self, Serializer};

/// Names and values in order. An empty value counts as none: forms send one for every field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the text behind the question mark.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The first value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// What of it a call of the API takes: `names` are parameters that both spell the same; the page's place
    /// in a list goes along.
    pub(super) fn parameters(&self, names: &[&str]) -> Vec<(&str, &str)> {
        let taken = |name: &str| names.contains(&name) || ["cursor", "order"].contains(&name);
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.filter(|(name, _)| taken(name)).collect()
    }

    /// All of it.
    pub(super) fn all(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Whether any of these narrows the list.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }

    /// Every value of this name.
    pub(super) fn every(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
    }

    /// This query, in which some values are others, or none.
    pub(super) fn with(&self, changes: &[(&str, Option<&str>)]) -> Self {
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let kept = self.0.iter().filter(|(name, _)| !is_changed(name)).cloned();
        let set = changes.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
        Self(kept.chain(set).collect())
    }

    /// A link to `path` with this query, in which some values are others, or none.
    pub(super) fn link(&self, path: &str, changes: &[(&str, Option<&str>)]) -> String {
        match Serializer::new(String::new()).extend_pairs(self.with(changes).0).finish() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_what_they_do_not_change() {
        let query = Query::parse("q=a+b&connected=&vendor=X%26Y&cursor=abc&tab=log");
        assert_eq!((query.get("q"), query.get("connected")), (Some("a b"), None));
        assert_eq!(query.parameters(&["q", "vendor"]), [("q", "a b"), ("vendor", "X&Y"), ("cursor", "abc")]);
        assert_eq!(query.link("/ui/x", &[("cursor", None), ("tab", None)]), "/ui/x?q=a+b&vendor=X%26Y");
        assert_eq!(
            query.link("/ui/x", &[("q", Some("é"))]),
            "/ui/x?vendor=X%26Y&cursor=abc&tab=log&q=%C3%A9"
        );
        assert_eq!(Query::default().link("/ui/x", &[]), "/ui/x");
    }
}
