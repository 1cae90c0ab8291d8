//! How the vocabulary's own types (moments, durations, ids) appear in the OpenAPI document: as text
//! with a format or a pattern, so that a wrong one is found by the schema like any other wrong field.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Timestamp;
use crate::id::{
    ApiKeyId, BulkCommandId, CommandId, DeliveryId, EventId, ReplayId, ReservationId, StationId,
};
use crate::ocpp::boot_status::BootStatus;
use crate::ocpp::{Validation, Violation};
use crate::subscription::pattern::MAX_PATTERN_BYTES;
use crate::units::{ByteSize, Span};

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn schema(object: ObjectBuilder) -> RefOr<Schema> {
    Schema::Object(object.build()).into()
}

/// A moment by which lists are narrowed: a time, or a duration back from now. [`crate::units::moment`] reads
/// it.
pub struct Bound;

impl PartialSchema for Bound {
    fn schema() -> RefOr<Schema> {
        let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        let ago = text().pattern(Some(SPAN_PATTERN)).description(Some("How long ago"));
        let either = AnyOfBuilder::new()
            .item(time.description(Some("RFC 3339")))
            .item(ago)
            .description(Some("A time (RFC 3339), or a duration back from now"))
            .examples(["2026-04-14T12:34:56.789Z", "2h"]);
        Schema::AnyOf(either.build()).into()
    }
}

impl ToSchema for Bound {}

/// A name or pattern of a list: [`crate::subscription`] reads it.
pub struct Pattern;

const SPAN_PATTERN: &str = "^[0-9]{1,9} ?(ms|s|m|h|d)$";

macro_rules! appears_as {
    ($($name:ident => $object:expr;)*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                schema($object)
            }
        }

        impl ToSchema for $name {}
    )*};
}

appears_as! {
    Timestamp => text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("RFC 3339; written in UTC with milliseconds"))
        .examples(["2026-04-14T12:34:56.789Z"]);
    Span => text()
        .pattern(Some(SPAN_PATTERN))
        .description(Some("A duration: a whole number and one of the units ms, s, m, h, d"))
        .examples(["30s"]);
    ByteSize => text()
        .pattern(Some("^[0-9]{1,9} ?(B|KiB|MiB|GiB)$"))
        .description(Some("A size: a whole number and one of the units B, KiB, MiB, GiB"))
        .examples(["64KiB"]);
    StationId => text()
        .min_length(Some(1))
        .max_length(Some(StationId::MAX_CHARS))
        .pattern(Some(r"^(?!\s*(import|summary|\.\.?)\s*$)[^/:\x00-\x1f\x7f-\x9f]*$"))
        .description(Some("A charging station's identity: 1 to 64 characters, no control characters, no / and no :; not \
            import, summary, . or .., which paths use for something else"))
        .examples(["WALLBOX_001"]);
    Pattern => text()
        .min_length(Some(1))
        .max_length(Some(MAX_PATTERN_BYTES))
        .description(Some("A name, or a pattern in which `*` stands for any run of characters"));
    EventId => text()
        .pattern(Some("^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
        .description(Some("Sorts by the order in which events were committed"))
        .examples(["evt_01jrs0m6nxk3v1c8d9e0f2g4h6"]);
    DeliveryId => text()
        .pattern(Some("^dlv_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
        .description(Some("Sorts by the order in which deliveries were committed"))
        .examples(["dlv_01jrs0m6nxk3v1c8d9e0f2g4h6"]);
    CommandId => text()
        .pattern(Some("^cmd_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
        .examples(["cmd_01jrs0m6nxk3v1c8d9e0f2g4h6"]);
    BulkCommandId => text()
        .pattern(Some("^blk_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
        .description(Some("Names a bulk command: a command to each of many stations"))
        .examples(["blk_01jrs0m6nxk3v1c8d9e0f2g4h6"]);
    ReplayId => text()
        .pattern(Some("^rpl_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
        .description(Some("Names a replay, or a bulk resend"))
        .examples(["rpl_01jrs0m6nxk3v1c8d9e0f2g4h6"]);
    ReservationId => text()
        .pattern(Some("^rsv_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
        .examples(["rsv_01jrs0m6nxk3v1c8d9e0f2g4h6"]);
    ApiKeyId => text()
        .pattern(Some("^key_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
        .description(Some("Names an API key; it is not the key itself"))
        .examples(["key_01jrs0m6nxk3v1c8d9e0f2g4h6"]);
    BootStatus => text()
        .enum_values(Some(["accepted", "pending", "rejected"]))
        .description(Some("What a station's boot is answered with"));
    Validation => text()
        .enum_values(Some(["lenient", "strict", "off"]))
        .description(Some("How strictly messages are read"));
    Violation => ObjectBuilder::new()
        .description(Some("Something about a message that is not as the specification wants it"))
        .property(
            "field",
            ObjectBuilder::new()
                .schema_type(utoipa::openapi::schema::SchemaType::Array(vec![Type::String, Type::Null]))
                .description(Some("Dotted path of the field; null for the message as a whole")),
        )
        .property("problem", text().description(Some("A short code, sometimes followed by words")))
        .required("field")
        .required("problem");
}

/// Declares the schema of a `PATCH` body: the properties of another one, none of them required, none with a
/// default, some of them left out.
macro_rules! all_optional {
    ($name:ident, $full:ident, without [$($left_out:literal),*]) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::api::text::optional($full::schema(), &[$($left_out),*])
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
            ) {
                $full::schemas(schemas);
            }
        }
    };
}

pub(super) use all_optional;

/// `full` with every property optional and without default, and some of them left out.
pub(super) fn optional(full: RefOr<Schema>, left_out: &[&str]) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = full else { return full };
    object.required.clear();
    object.description = Some("Only what is given is changed".to_owned());
    object.properties.retain(|name, _| !left_out.contains(&name.as_str()));
    for property in object.properties.values_mut() {
        match property {
            RefOr::T(Schema::Object(property)) => property.default = None,
            RefOr::T(Schema::Array(property)) => property.default = None,
            RefOr::Ref(property) => property.default = None,
            _ => {}
        }
    }
    RefOr::T(Schema::Object(object))
}
