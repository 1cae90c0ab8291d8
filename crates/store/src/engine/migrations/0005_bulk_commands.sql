-- Commands to many stations.

CREATE TABLE bulk_commands (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT    NOT NULL UNIQUE,
    -- The customer that the key was bound to: its stations alone are reached.
    owner_id          TEXT,
    -- JSON object; NULL: the stations were named.
    filter            TEXT,
    action            TEXT    NOT NULL,
    -- Without secrets.
    payload           TEXT    NOT NULL,
    -- The whole payload, if it has secrets, sealed, and the verifier of the password in it; both only as
    -- long as stations wait for their turn.
    sealed_payload    TEXT    CHECK (sealed_payload IS NULL OR is_open = 1),
    key_verifier      TEXT    CHECK (key_verifier IS NULL OR is_open = 1),
    -- A JSON array of texts; NULL: nothing.
    warnings          TEXT,
    rate              TEXT    NOT NULL,
    offline           TEXT    NOT NULL CHECK (offline IN ('skip', 'queue')),
    timeout_ms        INTEGER NOT NULL CHECK (timeout_ms > 0),
    -- How long a command may wait for its station; NULL: it may not.
    expires_in_ms     INTEGER CHECK ((expires_in_ms IS NULL) = (offline = 'skip')),
    -- JSON object; NULL: none.
    metadata          TEXT,
    requested_by_id   TEXT    NOT NULL,
    requested_by_name TEXT    NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('running', 'done', 'canceled')),
    -- Stations wait for their turn; or, of a canceled one, queued commands may still have to be canceled.
    is_open           INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    matched           INTEGER NOT NULL CHECK (matched >= 0),
    -- Stations up to this one had their turn.
    position          INTEGER NOT NULL DEFAULT 0 CHECK (position BETWEEN 0 AND matched),
    -- Counted in the transactions that send and end the commands.
    sent              INTEGER NOT NULL DEFAULT 0 CHECK (sent BETWEEN 0 AND matched),
    accepted          INTEGER NOT NULL DEFAULT 0,
    rejected          INTEGER NOT NULL DEFAULT 0,
    failed            INTEGER NOT NULL DEFAULT 0,
    skipped           INTEGER NOT NULL DEFAULT 0,
    created_at_ms     INTEGER NOT NULL,
    completed_at_ms   INTEGER,
    CHECK (accepted + rejected + failed + skipped <= matched),
    CHECK ((completed_at_ms IS NOT NULL) = (accepted + rejected + failed + skipped = matched)),
    CHECK (status = 'canceled' OR (status = 'done') = (completed_at_ms IS NOT NULL)),
    CHECK (status <> 'done' OR is_open = 0)
) STRICT;

CREATE INDEX bulk_commands_open ON bulk_commands (seq) WHERE is_open = 1;
CREATE INDEX bulk_commands_by_owner ON bulk_commands (owner_id, seq) WHERE owner_id IS NOT NULL;

-- The stations of a bulk command, in the order of their turns; they go with it.
CREATE TABLE bulk_command_stations (
    bulk_seq   INTEGER NOT NULL REFERENCES bulk_commands (seq) ON DELETE CASCADE,
    position   INTEGER NOT NULL CHECK (position > 0),
    station_id TEXT    NOT NULL,
    -- What came of its turn; neither: it had none.
    command_id TEXT,
    skipped    TEXT    CHECK (skipped IN ('not_connected', 'never_booted', 'pending', 'rejected', 'full', 'gone')),
    CHECK (command_id IS NULL OR skipped IS NULL),
    PRIMARY KEY (bulk_seq, position)
) STRICT, WITHOUT ROWID;

ALTER TABLE commands ADD COLUMN bulk_id TEXT;

CREATE INDEX commands_of_bulk ON commands (bulk_id, seq) WHERE bulk_id IS NOT NULL;
CREATE INDEX commands_queued_of_bulk ON commands (bulk_id, seq) WHERE bulk_id IS NOT NULL AND status = 'queued';

-- The horizon of bulk commands is a kind of its own. A table's CHECK cannot be changed in place.
CREATE TABLE horizons_of_more_kinds (
    kind TEXT    PRIMARY KEY CHECK (kind IN ('events', 'log', 'deliveries', 'outcomes', 'commands', 'transactions',
                                             'replays', 'bulk_commands')),
    seq  INTEGER NOT NULL,
    id   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO horizons_of_more_kinds (kind, seq, id) SELECT kind, seq, id FROM horizons;
DROP TABLE horizons;
ALTER TABLE horizons_of_more_kinds RENAME TO horizons;
