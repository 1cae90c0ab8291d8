-- What was changed through the API, and by `chargehook keys`: who, what, when. A row is written before the
-- request runs and settled with its answer; a request that was refused takes its row back.
-- Retention removes rows by at_ms, the oldest seq first.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms       INTEGER NOT NULL,
    -- The API key; NULL: the command line on the data directory.
    key_id      TEXT,
    key_name    TEXT,
    remote_addr TEXT,
    -- The operation's name in the OpenAPI document.
    action      TEXT    NOT NULL,
    method      TEXT,
    path        TEXT,
    -- What it is about: the first segment of the path, and what the path or the answer names.
    resource    TEXT    NOT NULL,
    resource_id TEXT,
    -- What came of it, if that is another thing: the command that was sent to a station.
    result_id   TEXT,
    -- The customer that can see it.
    owner_id    TEXT,
    -- JSON: names of the members of the request's body.
    fields      TEXT    NOT NULL DEFAULT '[]',
    -- HTTP status of the answer; NULL: it was not answered yet, or never.
    status      INTEGER,
    CHECK ((key_id IS NULL) = (key_name IS NULL))
) STRICT;

CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_by_owner ON audit (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX audit_by_key ON audit (key_id, seq) WHERE key_id IS NOT NULL;
CREATE INDEX audit_by_resource ON audit (resource, seq);
