-- Who was refused, and why: what `why` tells of stations that do not get in.

-- Refused handshakes, by the identity that was offered, be there such a station or not. Those that were
-- refused longest ago make room for new ones (stations/refusals.rs).
CREATE TABLE refused_handshakes (
    identity    TEXT    PRIMARY KEY,
    -- The station's owner when it was last refused; NULL: nobody's, or there is no such station.
    owner_id    TEXT,
    -- The last reason; `http_status` NULL: it was refused before it could ask for anything.
    reason      TEXT    NOT NULL,
    http_status INTEGER,
    remote_addr TEXT    NOT NULL,
    count       INTEGER NOT NULL CHECK (count > 0),
    first_at_ms INTEGER NOT NULL,
    last_at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX refused_handshakes_by_age ON refused_handshakes (last_at_ms);
CREATE INDEX refused_handshakes_by_any_case ON refused_handshakes (lower(identity));

-- Connections that ended before they named anybody (no TLS, mostly), by their IP address.
CREATE TABLE refused_addresses (
    address     TEXT    PRIMARY KEY,
    reason      TEXT    NOT NULL,
    -- The same for people.
    words       TEXT    NOT NULL,
    count       INTEGER NOT NULL CHECK (count > 0),
    first_at_ms INTEGER NOT NULL,
    last_at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX refused_addresses_by_age ON refused_addresses (last_at_ms);

-- Sessions of a tag, the newest first.
CREATE INDEX transactions_by_tag ON transactions (id_tag_key, transaction_id) WHERE id_tag_key IS NOT NULL;
