-- The first schema. Times are Unix milliseconds (UTC) and end in _ms; JSON is kept as its own text,
-- never written anew; ids are spelled as the API spells them.

-- Single facts of the installation: the next transaction's number.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- ── Stations ────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE stations (
    seq                   INTEGER PRIMARY KEY AUTOINCREMENT,
    station_id            TEXT    NOT NULL UNIQUE,
    name                  TEXT,
    owner_id              TEXT,
    -- Made through the API: only these are also found under another letter case.
    provisioned           INTEGER NOT NULL DEFAULT 0 CHECK (provisioned IN (0, 1)),
    -- JSON array of argon2id verifiers (PHC strings); NULL: no password.
    password_verifiers    TEXT,
    min_security_profile  INTEGER NOT NULL DEFAULT 0 CHECK (min_security_profile BETWEEN 0 AND 3),
    certificate_name      TEXT,
    boot_status           TEXT    NOT NULL DEFAULT 'accepted' CHECK (boot_status IN ('accepted', 'pending', 'rejected')),
    blocked               INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
    validation            TEXT    CHECK (validation IN ('lenient', 'strict', 'off')),
    time_zone             TEXT,
    message_size_bytes    INTEGER,
    ping                  INTEGER NOT NULL DEFAULT 1 CHECK (ping IN (0, 1)),
    metadata              TEXT    NOT NULL DEFAULT '{}',
    -- The live connection; the generation keeps an old socket's end from ending the new one.
    connected             INTEGER NOT NULL DEFAULT 0 CHECK (connected IN (0, 1)),
    connection_generation INTEGER NOT NULL DEFAULT 0,
    connected_at_ms       INTEGER,
    last_seen_at_ms       INTEGER,
    offline               INTEGER NOT NULL DEFAULT 0 CHECK (offline IN (0, 1)),
    remote_addr           TEXT,
    protocol              TEXT,
    security_profile      INTEGER,
    -- What the charger told of itself.
    booted_at_ms          INTEGER,
    vendor                TEXT,
    model                 TEXT,
    serial_number         TEXT,
    firmware_version      TEXT,
    clock_skew_ms         INTEGER,
    firmware_status       TEXT,
    diagnostics_status    TEXT,
    log_status            TEXT,
    local_list_version    INTEGER,
    flags                 TEXT    NOT NULL DEFAULT '[]',
    created_at_ms         INTEGER NOT NULL,
    updated_at_ms         INTEGER NOT NULL
) STRICT;

CREATE INDEX stations_by_owner ON stations (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX stations_by_any_case ON stations (station_id COLLATE NOCASE) WHERE provisioned = 1;
CREATE INDEX stations_connected ON stations (seq) WHERE connected = 1;

-- The last station_seq given; apart from `stations`, so that a deleted station that comes back goes on
-- counting, and so that a message rewrites a few bytes only.
CREATE TABLE station_sequences (
    station_id TEXT PRIMARY KEY,
    last       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connectors (
    station_id        TEXT    NOT NULL,
    connector_id      INTEGER NOT NULL,
    status            TEXT,
    error_code        TEXT,
    info              TEXT,
    vendor_error_code TEXT,
    occurred_at_ms    INTEGER,
    updated_at_ms     INTEGER NOT NULL,
    PRIMARY KEY (station_id, connector_id)
) STRICT, WITHOUT ROWID;

-- ── Transactions ────────────────────────────────────────────────────────────────────────────────

CREATE TABLE transactions (
    transaction_id        INTEGER PRIMARY KEY CHECK (transaction_id BETWEEN 1 AND 2147483647),
    station_id            TEXT    NOT NULL,
    connector_id          INTEGER,
    owner_id              TEXT,
    id_tag                TEXT,
    id_tag_status         TEXT    NOT NULL,
    reservation_id        INTEGER,
    command_id            TEXT,
    status                TEXT    NOT NULL CHECK (status IN ('active', 'completed')),
    orphaned              INTEGER NOT NULL DEFAULT 0 CHECK (orphaned IN (0, 1)),
    inferred              INTEGER NOT NULL DEFAULT 0 CHECK (inferred IN (0, 1)),
    started_at_ms         INTEGER,
    stopped_at_ms         INTEGER,
    meter_start_wh        INTEGER,
    meter_stop_wh         INTEGER,
    -- The newest reading of the energy import register, in Wh, and the moment it is of.
    last_register_wh      INTEGER,
    last_register_at_ms   INTEGER,
    stop_reason           TEXT,
    stop_id_tag           TEXT,
    -- The text of the timestamps as sent: with the other fields they tell a retry from another message.
    start_timestamp_text  TEXT,
    stop_timestamp_text   TEXT,
    -- What the stop named: another number where the start's answer was lost.
    stop_transaction_id   INTEGER,
    start_event_seq       INTEGER NOT NULL,
    stop_event_seq        INTEGER,
    revision              INTEGER NOT NULL DEFAULT 0,
    created_at_ms         INTEGER NOT NULL,
    updated_at_ms         INTEGER NOT NULL,
    completed_at_ms       INTEGER,
    CHECK ((status = 'completed') = (completed_at_ms IS NOT NULL))
) STRICT;

CREATE INDEX transactions_active ON transactions (station_id, connector_id) WHERE status = 'active';
CREATE INDEX transactions_active_tag ON transactions (id_tag COLLATE NOCASE) WHERE status = 'active';
CREATE INDEX transactions_by_start ON transactions (station_id, start_timestamp_text);
CREATE INDEX transactions_by_stop ON transactions (station_id, stop_timestamp_text) WHERE stop_event_seq IS NOT NULL;
CREATE INDEX transactions_by_update ON transactions (updated_at_ms);
CREATE INDEX transactions_by_owner ON transactions (owner_id, transaction_id) WHERE owner_id IS NOT NULL;

-- ── Events ──────────────────────────────────────────────────────────────────────────────────────

-- AUTOINCREMENT, because cursors and streams count on a seq being used once, whatever retention removes.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    event           TEXT    NOT NULL,
    category        TEXT    NOT NULL,
    protocol        TEXT,
    station_id      TEXT,
    station_seq     INTEGER,
    owner_id        TEXT,
    timestamp_ms    INTEGER NOT NULL,
    occurred_at_ms  INTEGER,
    transaction_id  INTEGER,
    payload         TEXT    NOT NULL,
    message_id      TEXT,
    response        TEXT,
    -- JSON array; NULL: nothing was odd.
    violations      TEXT,
    duplicate_of    INTEGER,
    idempotency_key TEXT,
    test            INTEGER NOT NULL DEFAULT 0 CHECK (test IN (0, 1)),
    -- JSON object; NULL: none.
    custom_headers  TEXT,
    CHECK (duplicate_of IS NULL OR station_seq IS NULL)
) STRICT;

CREATE INDEX events_by_station ON events (station_id, seq) WHERE station_id IS NOT NULL;
CREATE INDEX events_by_type ON events (event, seq);
CREATE INDEX events_by_owner ON events (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX events_by_transaction ON events (transaction_id, seq) WHERE transaction_id IS NOT NULL;
-- Stops that belong to no known transaction: a retry is recognised by its text.
CREATE INDEX events_unattached_stops ON events (station_id, seq)
    WHERE event = 'StopTransaction' AND transaction_id IS NULL AND duplicate_of IS NULL;
CREATE UNIQUE INDEX events_by_idempotency_key ON events (coalesce(owner_id, ''), idempotency_key)
    WHERE idempotency_key IS NOT NULL AND duplicate_of IS NULL;

-- ── Webhooks and deliveries ─────────────────────────────────────────────────────────────────────

-- AUTOINCREMENT: a webhook's number is never given to another.
CREATE TABLE webhooks (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    name                 TEXT    NOT NULL,
    url                  TEXT    NOT NULL,
    status               TEXT    NOT NULL CHECK (status IN ('active', 'paused', 'disabled', 'auto_disabled')),
    disabled_reason      TEXT,
    events               TEXT    NOT NULL,
    stations             TEXT    NOT NULL,
    owner_id             TEXT,
    secret_header        TEXT,
    secret_value         TEXT,
    signing_secret       TEXT    NOT NULL,
    format               TEXT    NOT NULL CHECK (format IN ('flat', 'envelope', 'standard', 'cloudevents')),
    custom_headers       TEXT    NOT NULL,
    filter               TEXT,
    ordering             TEXT    NOT NULL CHECK (ordering IN ('none', 'station')),
    ordering_max_wait_ms INTEGER NOT NULL,
    timeout_ms           INTEGER NOT NULL,
    -- JSON array of durations as they were written (["30s", "1m"]).
    retry_schedule       TEXT    NOT NULL,
    max_in_flight        INTEGER NOT NULL,
    rate_limit           TEXT,
    last_sequence        INTEGER NOT NULL DEFAULT 0,
    -- The newest event when it was made: what came before is not for it.
    created_seq          INTEGER NOT NULL DEFAULT 0,
    -- Since when every delivery has failed; NULL: the last one succeeded, or there was none.
    failing_since_ms     INTEGER,
    -- Quarters of the way to being disabled that a WebhookFailing event has told of.
    failing_told         INTEGER NOT NULL DEFAULT 0,
    created_at_ms        INTEGER NOT NULL,
    updated_at_ms        INTEGER NOT NULL
) STRICT;

-- Secrets that were rotated away and still sign until they expire.
CREATE TABLE webhook_previous_secrets (
    webhook_id     INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    signing_secret TEXT    NOT NULL,
    expires_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, signing_secret)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    seq                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT    NOT NULL UNIQUE,
    event_seq          INTEGER NOT NULL,
    -- Outlives the webhook. NULL: sent to `url`, which came with the event.
    webhook_id         INTEGER,
    sequence           INTEGER,
    url                TEXT,
    status             TEXT    NOT NULL CHECK (status IN ('scheduled', 'processing', 'retry', 'success', 'failed', 'discarded')),
    -- Position in the retry schedule; attempt numbers go on when it starts anew.
    step               INTEGER NOT NULL DEFAULT 0,
    attempts           INTEGER NOT NULL DEFAULT 0,
    -- What the next attempt is made for.
    trigger            TEXT    NOT NULL DEFAULT 'event' CHECK (trigger IN ('event', 'resend', 'replay')),
    due_at_ms          INTEGER,
    -- The station in whose order it is sent; NULL: it waits for no other. A resend leaves the order.
    order_station      TEXT,
    -- When the schedule began: with a resend it begins anew.
    scheduled_at_ms    INTEGER NOT NULL,
    last_error_code    TEXT,
    last_error_message TEXT,
    created_at_ms      INTEGER NOT NULL,
    completed_at_ms    INTEGER,
    CHECK ((webhook_id IS NULL) = (url IS NOT NULL)),
    CHECK ((status IN ('success', 'failed', 'discarded')) = (completed_at_ms IS NOT NULL)),
    CHECK ((status IN ('scheduled', 'retry')) = (due_at_ms IS NOT NULL))
) STRICT;

CREATE INDEX deliveries_due ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND order_station IS NULL;
CREATE INDEX deliveries_resent ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status = 'scheduled' AND trigger = 'resend';
CREATE INDEX deliveries_in_order ON deliveries (webhook_id, order_station, seq)
    WHERE status IN ('scheduled', 'retry', 'processing') AND order_station IS NOT NULL;
CREATE INDEX deliveries_processing ON deliveries (seq) WHERE status = 'processing';
CREATE INDEX deliveries_failed ON deliveries (seq) WHERE status = 'failed';
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, seq);
CREATE INDEX deliveries_by_event ON deliveries (event_seq);

-- One row per try. No duration: it was cut off, or is under way.
CREATE TABLE attempts (
    delivery_seq     INTEGER NOT NULL REFERENCES deliveries (seq) ON DELETE CASCADE,
    number           INTEGER NOT NULL,
    trigger          TEXT    NOT NULL,
    started_at_ms    INTEGER NOT NULL,
    duration_ms      INTEGER,
    status_code      INTEGER,
    error_code       TEXT,
    error_message    TEXT,
    response_headers TEXT,
    response_body    TEXT,
    PRIMARY KEY (delivery_seq, number)
) STRICT, WITHOUT ROWID;

-- The dead letters, readable with any SQLite tool.
CREATE VIEW failed_deliveries AS
SELECT d.id            AS delivery_id,
       d.webhook_id    AS webhook_id,
       e.id            AS event_id,
       e.event         AS event,
       e.station_id    AS station_id,
       e.payload       AS payload,
       d.attempts      AS attempts,
       d.last_error_code    AS last_error_code,
       d.last_error_message AS last_error_message,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.created_at_ms / 1000.0, 'unixepoch')   AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.completed_at_ms / 1000.0, 'unixepoch') AS failed_at
FROM deliveries d
JOIN events e ON e.seq = d.event_seq
WHERE d.status = 'failed';

-- ── Access ──────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE api_keys (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    name            TEXT    NOT NULL,
    -- SHA-256 of the key; the key itself is shown once and never stored.
    key_hash        BLOB    NOT NULL UNIQUE,
    scopes          TEXT    NOT NULL,
    owner_id        TEXT,
    created_at_ms   INTEGER NOT NULL,
    expires_at_ms   INTEGER,
    last_used_at_ms INTEGER
) STRICT;

-- Answers to POSTs that carried an Idempotency-Key. No status: the request is still running.
CREATE TABLE idempotent_requests (
    api_key_id      TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    request_hash    BLOB    NOT NULL,
    status          INTEGER,
    headers         TEXT,
    body            BLOB,
    created_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (api_key_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotent_requests_by_age ON idempotent_requests (created_at_ms);
