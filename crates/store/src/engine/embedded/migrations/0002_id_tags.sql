-- Id tags that were registered through the API. A tag belongs to an owner, or to nobody ('' here, so that
-- uniqueness counts it); `tag_key` is what it is looked up by, whatever letter case a charger sends.
CREATE TABLE id_tags (
    seq                     INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id                TEXT    NOT NULL DEFAULT '',
    tag                     TEXT    NOT NULL,
    tag_key                 TEXT    NOT NULL,
    status                  TEXT    NOT NULL CHECK (status IN ('Accepted', 'Blocked', 'Expired', 'Invalid')),
    expiry_date_ms          INTEGER,
    parent_id_tag           TEXT,
    max_active_transactions INTEGER CHECK (max_active_transactions >= 0),
    note                    TEXT,
    created_at_ms           INTEGER NOT NULL,
    updated_at_ms           INTEGER NOT NULL,
    UNIQUE (owner_id, tag_key)
) STRICT;

-- For tags over the limit that are looked up by their first 20 characters.
CREATE INDEX id_tags_by_key ON id_tags (tag_key);
