-- What stations hold because we told them to, as far as their answers tell.

CREATE TABLE reservations (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT    NOT NULL UNIQUE,
    station_id     TEXT    NOT NULL,
    -- The number that OCPP knows it by; the same number again replaces it.
    reservation_id INTEGER NOT NULL,
    -- The station's when it was reserved.
    owner_id       TEXT,
    -- The ReserveNow it came from.
    command_id     TEXT    NOT NULL,
    connector_id   INTEGER NOT NULL,
    id_tag         TEXT    NOT NULL,
    parent_id_tag  TEXT,
    expiry_date_ms INTEGER NOT NULL,
    -- That one is over follows from its date.
    status         TEXT    NOT NULL CHECK (status IN ('active', 'used', 'canceled', 'rejected', 'unknown')),
    transaction_id INTEGER,
    created_at_ms  INTEGER NOT NULL,
    updated_at_ms  INTEGER NOT NULL,
    UNIQUE (station_id, reservation_id),
    CHECK ((status = 'used') = (transaction_id IS NOT NULL))
) STRICT;

CREATE INDEX reservations_by_owner ON reservations (owner_id, seq) WHERE owner_id IS NOT NULL;

-- Keys are told apart whatever their letter case.
CREATE TABLE configuration_keys (
    station_id     TEXT    NOT NULL,
    key            TEXT    NOT NULL COLLATE NOCASE,
    value          TEXT,
    readonly       INTEGER CHECK (readonly IN (0, 1)),
    -- 0: the station has said that it knows no such key.
    known          INTEGER NOT NULL CHECK (known IN (0, 1)),
    -- It was set, and takes effect with the next boot.
    pending_reboot INTEGER NOT NULL DEFAULT 0 CHECK (pending_reboot IN (0, 1)),
    read_at_ms     INTEGER,
    set_at_ms      INTEGER,
    PRIMARY KEY (station_id, key)
) STRICT, WITHOUT ROWID;

-- Passwords that stations were told to use from now on, until it is clear whether they do. An 'ordered' one
-- counts for nothing yet; an 'open' one lets the station in beside the old one until either is used; a 'kept'
-- one until itself is used.
CREATE TABLE key_rotations (
    command_id    TEXT    PRIMARY KEY,
    station_id    TEXT    NOT NULL,
    -- Argon2id (PHC string), as in stations.password_verifiers.
    verifier      TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('ordered', 'open', 'kept'))
) STRICT, WITHOUT ROWID;

CREATE INDEX key_rotations_by_station ON key_rotations (station_id);
