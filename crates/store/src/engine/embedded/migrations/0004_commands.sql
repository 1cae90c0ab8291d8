-- Commands to stations. The queue is this table: a row is `queued` before it is claimed, `sent` from the commit
-- before its frame leaves, and something else for ever after.
CREATE TABLE commands (
    seq                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT    NOT NULL UNIQUE,
    station_id         TEXT    NOT NULL,
    -- The station's when it was made.
    owner_id           TEXT,
    action             TEXT    NOT NULL,
    -- As it is sent; from then on without secrets.
    payload            TEXT    NOT NULL,
    timeout_ms         INTEGER NOT NULL CHECK (timeout_ms > 0),
    -- Whether it outlives the connection it was made for.
    queue              INTEGER NOT NULL CHECK (queue IN (0, 1)),
    -- JSON object; NULL: none.
    metadata           TEXT,
    requested_by_id    TEXT    NOT NULL,
    requested_by_name  TEXT    NOT NULL,
    status             TEXT    NOT NULL CHECK (status IN ('queued', 'sent', 'completed', 'error', 'timeout',
                                                          'connection_lost', 'expired', 'canceled')),
    -- The connection it was made for, then the one it was sent on; 0: none.
    generation         INTEGER NOT NULL,
    expires_at_ms      INTEGER NOT NULL,
    response           TEXT,
    accepted           INTEGER CHECK (accepted IN (0, 1)),
    -- JSON {code, description, details}.
    error              TEXT,
    -- JSON array; NULL: nothing was odd.
    violations         TEXT,
    late_response      TEXT,
    -- What became of an accepted remote start, and until when that is open.
    outcome            TEXT    CHECK (outcome IN ('started', 'not_started')),
    outcome_due_ms     INTEGER,
    transaction_id     INTEGER,
    created_at_ms      INTEGER NOT NULL,
    sent_at_ms         INTEGER,
    completed_at_ms    INTEGER,
    CHECK ((status IN ('queued', 'sent')) = (completed_at_ms IS NULL)),
    CHECK (status <> 'sent' OR sent_at_ms IS NOT NULL),
    CHECK (outcome IS NULL OR outcome_due_ms IS NULL)
) STRICT;

CREATE INDEX commands_queued ON commands (station_id, seq) WHERE status = 'queued';
CREATE INDEX commands_expiring ON commands (expires_at_ms) WHERE status = 'queued';
CREATE INDEX commands_sent ON commands (station_id) WHERE status = 'sent';
CREATE INDEX commands_outcome_due ON commands (outcome_due_ms) WHERE outcome_due_ms IS NOT NULL;
CREATE INDEX commands_awaiting_outcome ON commands (station_id, seq) WHERE outcome_due_ms IS NOT NULL;
CREATE INDEX commands_by_station ON commands (station_id, seq);
-- In the order they went over the wire: the position of store/messages.rs.
CREATE INDEX commands_on_the_wire ON commands (station_id, (sent_at_ms << 21) | (seq & 2097151))
    WHERE sent_at_ms IS NOT NULL;
CREATE INDEX commands_by_owner ON commands (owner_id, seq) WHERE owner_id IS NOT NULL;

-- What the last boot was answered with: a charger that was told `Pending` stays so until it boots again.
ALTER TABLE stations ADD COLUMN booted_as TEXT CHECK (booted_as IN ('accepted', 'pending', 'rejected'));
UPDATE stations SET booted_as = boot_status WHERE booted_at_ms IS NOT NULL;
