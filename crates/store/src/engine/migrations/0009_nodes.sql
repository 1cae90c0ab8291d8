-- The gateways that work on this database, each under a number of its own, which grows with every start. One
-- that has SQLite to itself is the only one.
CREATE TABLE nodes (
    epoch           INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL,
    version         TEXT    NOT NULL,
    -- A lost one is kept for an hour, to be shown.
    status          TEXT    NOT NULL CHECK (status IN ('active', 'draining', 'lost')),
    ocpp_addr       TEXT,
    api_addr        TEXT,
    -- How long it may be silent before the others count it as lost.
    lease_ms        INTEGER NOT NULL CHECK (lease_ms > 0),
    started_at_ms   INTEGER NOT NULL,
    last_seen_at_ms INTEGER NOT NULL
) STRICT;

-- The node that a station is connected to; NULL: it is not connected.
ALTER TABLE stations ADD COLUMN node_epoch INTEGER;

-- The node that serves a request which is still running.
ALTER TABLE idempotent_requests ADD COLUMN node_epoch INTEGER;

CREATE INDEX stations_by_node ON stations (node_epoch) WHERE node_epoch IS NOT NULL;
