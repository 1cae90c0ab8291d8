//! Which stations a body means: named ones, or those that fit the filter of the list of stations.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::ApiState;
use super::auth::Caller;
use super::problem::Result;
use super::query;
use super::stations::StationsQuery;
use store::StationFilter;
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// The most stations that one bulk command is for.
const STATIONS_MAX: usize = 100_000;

/// The stations of a request, as far as it can be read.
pub(super) enum Wanted {
    /// These.
    Named(Vec<StationId>),
    /// Those that fit; with its text, in which durations have become times.
    Filter(Box<StationFilter>, String),
    /// What is wrong was named.
    Unreadable,
}

impl Wanted {
    /// Reads them; what is wrong is added to `errors`, in which the schema has found some.
    pub(super) fn read(
        given: &Value,
        caller: &Caller,
        now: Timestamp,
        errors: &mut Vec<FieldError>,
    ) -> Result<Self> {
        match given {
            Value::Object(members) => {
                // What is wrong with a filter is known better here than to the schema of the body.
                errors.retain(|error| !error.field.starts_with("stations."));
                Self::filter(members.clone(), caller, now, errors)
            }
            _ if errors.iter().any(|error| error.field.split('.').next() == Some("stations")) => {
                Ok(Self::Unreadable)
            }
            Value::Array(named) => {
                let named = named.iter().filter_map(Value::as_str);
                Ok(Self::Named(named.filter_map(|id| StationId::new(id).ok()).collect()))
            }
            _ => Ok(Self::Unreadable),
        }
    }

    fn filter(
        mut members: Map<String, Value>,
        caller: &Caller,
        now: Timestamp,
        errors: &mut Vec<FieldError>,
    ) -> Result<Self> {
        match query::from_object::<StationsQuery>(&mut members, now) {
            Ok(query) => {
                let text = Value::Object(members).to_string();
                Ok(Self::Filter(Box::new(query.filter(caller)?), text))
            }
            Err(refused) => {
                let wrong = refused.into_problem().errors;
                errors.extend(wrong.into_iter().map(|FieldError { field, message }| {
                    FieldError::new(format!("stations.{field}").trim_end_matches('.'), message)
                }));
                Ok(Self::Unreadable)
            }
        }
    }

    /// The stations that there are, each once. A named one that the caller may not see is an error, which
    /// names its place: whoever mistypes one wants to know before the others have restarted.
    pub(super) async fn find(
        self,
        state: &ApiState,
        caller: &Caller,
        errors: &mut Vec<FieldError>,
    ) -> Result<(Vec<StationId>, Option<String>)> {
        match self {
            Self::Named(named) => {
                let visible_to = caller.owner_id.clone();
                let unknown = state.store.unknown_stations(named.clone(), visible_to).await?;
                errors.extend(
                    unknown.into_iter().map(|place| {
                        FieldError::new(format!("stations.{place}"), "there is no such station")
                    }),
                );
                let mut seen = HashSet::new();
                Ok((named.into_iter().filter(|id| seen.insert(id.clone())).collect(), None))
            }
            Self::Filter(filter, text) => match state.store.station_ids(*filter, STATIONS_MAX).await? {
                Some(stations) => Ok((stations, Some(text))),
                None => {
                    let message = format!("fits more than {STATIONS_MAX} stations: narrow it");
                    errors.push(FieldError::new("stations", message));
                    Ok((Vec::new(), None))
                }
            },
            Self::Unreadable => Ok((Vec::new(), None)),
        }
    }
}
