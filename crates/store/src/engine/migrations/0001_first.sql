-- The first schema. Times are Unix milliseconds (UTC) and end in _ms. JSON is kept as its own text and never
-- written anew. Ids are spelled as the API spells them.
--
-- Moments that something waits for (`due_at_ms`, `scheduled_at_ms`, `first_tried_at_ms` of deliveries;
-- `resumed_at_ms`, `failing_since_ms` of webhooks; `expires_at_ms`, `outcome_due_ms` of commands; `as_of_ms`
-- of connectors; `recent_boots` of stations) are times of a clock that does not jump when the system's clock
-- is set. How far the system's clock is ahead of it is the row `wall_offset_ms` of `meta`; no row: not at
-- all.

-- Single facts of the installation, such as the last transaction number: a number or a text.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER,
    text  TEXT,
    CHECK ((value IS NULL) <> (text IS NULL))
) STRICT, WITHOUT ROWID;

-- ── Stations ──────────────────────

CREATE TABLE stations (
    seq                   INTEGER PRIMARY KEY AUTOINCREMENT,
    station_id            TEXT    NOT NULL UNIQUE,
    name                  TEXT,
    owner_id              TEXT,
    -- Created through the API: only these are also found under another letter case.
    provisioned           INTEGER NOT NULL DEFAULT 0 CHECK (provisioned IN (0, 1)),
    -- JSON array of argon2id verifiers (PHC strings); NULL: no password.
    password_verifiers    TEXT,
    min_security_profile  INTEGER NOT NULL DEFAULT 0 CHECK (min_security_profile BETWEEN 0 AND 3),
    -- What `min_security_profile` was before a connection with a higher profile raised it; NULL: it is as it
    -- was written.
    profile_raised_from   INTEGER CHECK (profile_raised_from BETWEEN 0 AND 2),
    certificate_name      TEXT,
    -- The number of the one certificate that the station is let in with, in hex without leading zeros; NULL:
    -- any certificate with its name.
    certificate_serial    TEXT,
    boot_status           TEXT    NOT NULL DEFAULT 'accepted'
                                  CHECK (boot_status IN ('accepted', 'pending', 'rejected')),
    blocked               INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
    validation            TEXT    CHECK (validation IN ('lenient', 'strict', 'off')),
    time_zone             TEXT,
    message_size_bytes    INTEGER CHECK (message_size_bytes > 0),
    ping                  INTEGER NOT NULL DEFAULT 1 CHECK (ping IN (0, 1)),
    metadata              TEXT    NOT NULL DEFAULT '{}',
    -- The live connection. The generation keeps the end of an old socket from ending the new one.
    connected             INTEGER NOT NULL DEFAULT 0 CHECK (connected IN (0, 1)),
    connection_generation INTEGER NOT NULL DEFAULT 0,
    connected_at_ms       INTEGER,
    last_seen_at_ms       INTEGER,
    offline               INTEGER NOT NULL DEFAULT 0 CHECK (offline IN (0, 1)),
    remote_addr           TEXT,
    protocol              TEXT,
    security_profile      INTEGER CHECK (security_profile BETWEEN 0 AND 3),
    -- What the charger has said of itself.
    booted_at_ms          INTEGER,
    -- The answer to its last boot: a charger that was told `Pending` stays so until it boots again.
    booted_as             TEXT    CHECK (booted_as IN ('accepted', 'pending', 'rejected')),
    vendor                TEXT,
    model                 TEXT,
    serial_number         TEXT,
    firmware_version      TEXT,
    firmware_status       TEXT,
    diagnostics_status    TEXT,
    log_status            TEXT,
    local_list_version    INTEGER,
    clock_skew_ms         INTEGER,
    -- Messages that agree on how far the station's clock is behind, too few of them to be certain
    -- (station_clock.rs of the vocabulary): JSON; NULL: there are none.
    clock_doubt           TEXT,
    -- JSON array: the oddities of the station (station_state/flags.rs).
    flags                 TEXT    NOT NULL DEFAULT '[]',
    -- JSON array: what the station has shown it cannot do (`unsupported:Action`).
    abilities             TEXT    NOT NULL DEFAULT '[]',
    -- JSON array: the moments of its latest boots that nobody had requested.
    recent_boots          TEXT    NOT NULL DEFAULT '[]',
    -- The station was told or made to boot, so that its next boot counts as requested.
    boot_expected         INTEGER NOT NULL DEFAULT 0 CHECK (boot_expected IN (0, 1)),
    created_at_ms         INTEGER NOT NULL,
    updated_at_ms         INTEGER NOT NULL
) STRICT;

CREATE INDEX stations_by_owner ON stations (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX stations_by_any_case ON stations (lower(station_id)) WHERE provisioned = 1;
CREATE INDEX stations_connected ON stations (seq) WHERE connected = 1;

-- The last station_seq given. It stands apart from `stations`, so that a deleted station that comes back goes
-- on counting, and so that a message rewrites a few bytes only.
CREATE TABLE station_sequences (
    station_id TEXT    PRIMARY KEY,
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
    -- When the connector came to be as it is, as far as its station's clock can be relied on.
    as_of_ms          INTEGER NOT NULL,
    PRIMARY KEY (station_id, connector_id)
) STRICT, WITHOUT ROWID;

-- A station's configuration as it was last read or set. Keys that differ in letter case only are the same
-- key.
CREATE TABLE configuration_keys (
    station_id     TEXT    NOT NULL,
    -- What a key is looked up by.
    folded_key     TEXT    NOT NULL CHECK (folded_key = lower(key)),
    key            TEXT    NOT NULL,
    value          TEXT,
    readonly       INTEGER CHECK (readonly IN (0, 1)),
    -- 0: the station has said that it knows no such key.
    known          INTEGER NOT NULL CHECK (known IN (0, 1)),
    -- It was set, and takes effect with the next boot.
    pending_reboot INTEGER NOT NULL DEFAULT 0 CHECK (pending_reboot IN (0, 1)),
    read_at_ms     INTEGER,
    set_at_ms      INTEGER,
    PRIMARY KEY (station_id, folded_key)
) STRICT, WITHOUT ROWID;

-- Passwords that stations were told to use from now on, until it is clear whether they do. An 'ordered' one
-- counts for nothing yet. An 'open' one lets the station in beside the old one until either is used, a 'kept'
-- one until itself is used.
CREATE TABLE key_rotations (
    command_id TEXT PRIMARY KEY,
    station_id TEXT NOT NULL,
    -- Argon2id (PHC string), as in stations.password_verifiers.
    verifier   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('ordered', 'open', 'kept'))
) STRICT, WITHOUT ROWID;

CREATE INDEX key_rotations_by_station ON key_rotations (station_id);

-- Certificates that were sent to stations (CertificateSigned) and that no connection has shown yet. They let
-- the station in beside the stored one, until they are used, refused, or too many.
CREATE TABLE certificate_renewals (
    command_id    TEXT PRIMARY KEY,
    station_id    TEXT NOT NULL,
    serial_number TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX certificate_renewals_by_station ON certificate_renewals (station_id);

-- What stations hold because we told them to, as far as their answers tell.
CREATE TABLE reservations (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT    NOT NULL UNIQUE,
    station_id     TEXT    NOT NULL,
    -- The number that OCPP knows it by; the same number again replaces it.
    reservation_id INTEGER NOT NULL,
    -- The station's owner when it was reserved.
    owner_id       TEXT,
    -- The ReserveNow it came from.
    command_id     TEXT    NOT NULL,
    connector_id   INTEGER NOT NULL,
    id_tag         TEXT    NOT NULL,
    parent_id_tag  TEXT,
    expiry_date_ms INTEGER NOT NULL,
    -- That one has expired follows from its date.
    status         TEXT    NOT NULL CHECK (status IN ('active', 'used', 'canceled', 'rejected', 'unknown')),
    transaction_id INTEGER,
    created_at_ms  INTEGER NOT NULL,
    updated_at_ms  INTEGER NOT NULL,
    UNIQUE (station_id, reservation_id),
    CHECK ((status = 'used') = (transaction_id IS NOT NULL))
) STRICT;

CREATE INDEX reservations_by_owner ON reservations (owner_id, seq) WHERE owner_id IS NOT NULL;

-- ── Commands ──────────────────────

-- Commands to stations. The queue is this table: a row is `queued` before it is claimed, `sent` from the
-- commit before its frame leaves, and something else for ever after.
CREATE TABLE commands (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT    NOT NULL UNIQUE,
    station_id        TEXT    NOT NULL,
    -- The station's owner when it was created.
    owner_id          TEXT,
    action            TEXT    NOT NULL,
    -- Without secrets.
    payload           TEXT    NOT NULL,
    -- The whole payload of a queued command that has secrets, sealed; NULL: it has none, or it is not queued
    -- any more.
    sealed_payload    TEXT    CHECK (sealed_payload IS NULL OR status = 'queued'),
    timeout_ms        INTEGER NOT NULL CHECK (timeout_ms > 0),
    -- Whether it outlives the connection it was created for.
    queue             INTEGER NOT NULL CHECK (queue IN (0, 1)),
    -- JSON object; NULL: none.
    metadata          TEXT,
    -- What whoever requested it should know of it: a JSON array of texts; NULL: nothing.
    warnings          TEXT,
    requested_by_id   TEXT    NOT NULL,
    requested_by_name TEXT    NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('queued', 'sent', 'completed', 'error', 'timeout',
                                                         'connection_lost', 'expired', 'canceled')),
    -- The connection it was created for, then the one it was sent on; 0: none.
    generation        INTEGER NOT NULL,
    expires_at_ms     INTEGER NOT NULL,
    response          TEXT,
    accepted          INTEGER CHECK (accepted IN (0, 1)),
    -- JSON {code, description, details}.
    error             TEXT,
    -- JSON array; NULL: nothing was odd.
    violations        TEXT,
    -- A response that came after the end.
    late_response     TEXT    CHECK (late_response IS NULL OR completed_at_ms IS NOT NULL),
    -- What became of an accepted remote start, and until when that is open.
    outcome           TEXT    CHECK (outcome IN ('started', 'not_started')),
    outcome_due_ms    INTEGER,
    transaction_id    INTEGER,
    created_at_ms     INTEGER NOT NULL,
    sent_at_ms        INTEGER,
    completed_at_ms   INTEGER,
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
-- In the order they went over the wire: the position of log/messages/command_message.rs.
CREATE INDEX commands_on_the_wire ON commands (station_id, (sent_at_ms << 21) | (seq & 2097151))
    WHERE sent_at_ms IS NOT NULL;
CREATE INDEX commands_by_owner ON commands (owner_id, seq) WHERE owner_id IS NOT NULL;

-- ── Transactions ──────────────────

CREATE TABLE transactions (
    transaction_id       INTEGER PRIMARY KEY CHECK (transaction_id BETWEEN 1 AND 2147483647),
    station_id           TEXT    NOT NULL,
    connector_id         INTEGER,
    owner_id             TEXT,
    id_tag               TEXT,
    -- What the tag is compared by (`id_tag_key` in Rust), whatever letter case or stray bytes a charger has
    -- sent.
    id_tag_key           TEXT,
    id_tag_status        TEXT    NOT NULL,
    reservation_id       INTEGER,
    command_id           TEXT,
    status               TEXT    NOT NULL CHECK (status IN ('active', 'completed')),
    -- Another transaction has begun on its connector.
    orphaned             INTEGER NOT NULL DEFAULT 0 CHECK (orphaned IN (0, 1)),
    -- When something was last heard of an orphaned transaction.
    orphan_activity_at_ms INTEGER,
    -- Who has said that it ended: the charger, an operator, or nobody.
    ended_by             TEXT    CHECK (ended_by IN ('stop', 'close', 'orphan')),
    inferred             INTEGER NOT NULL DEFAULT 0 CHECK (inferred IN (0, 1)),
    started_at_ms        INTEGER,
    -- started_at_ms is the time of arrival: the charger's own could not be read.
    start_untimed        INTEGER NOT NULL DEFAULT 0 CHECK (start_untimed IN (0, 1)),
    stopped_at_ms        INTEGER,
    -- The same of stopped_at_ms.
    stop_untimed         INTEGER NOT NULL DEFAULT 0 CHECK (stop_untimed IN (0, 1)),
    meter_start_wh       INTEGER,
    meter_stop_wh        INTEGER,
    -- meterStart or meterStop was sent with decimals, where OCPP has whole Wh.
    meter_decimals       INTEGER NOT NULL DEFAULT 0 CHECK (meter_decimals IN (0, 1)),
    -- What the connector's meter had come to before; NULL: nothing is known, or it counts each session anew.
    meter_before_wh      INTEGER,
    -- What the energy register of the session has told so far (sessions/energy/track.rs): the first and the
    -- last reading that follow from each other, and the newest one that does not.
    first_register_wh    INTEGER,
    first_register_at_ms INTEGER,
    last_register_wh     INTEGER,
    last_register_at_ms  INTEGER,
    odd_register_wh      INTEGER,
    odd_register_at_ms   INTEGER,
    -- Which register it is: of several that a charger sends the smaller number is the better one.
    register_source      INTEGER NOT NULL DEFAULT 0,
    register_peak_w      INTEGER NOT NULL DEFAULT 0,
    register_followed    INTEGER NOT NULL DEFAULT 0 CHECK (register_followed IN (0, 1)),
    register_broken      INTEGER NOT NULL DEFAULT 0 CHECK (register_broken IN (0, 1)),
    stop_reason          TEXT,
    stop_id_tag          TEXT,
    -- The text of the timestamps as sent: with the other fields they tell a retry from another message.
    start_timestamp_text TEXT,
    stop_timestamp_text  TEXT,
    -- What the stop named: another number where the start's answer was lost.
    stop_transaction_id  INTEGER,
    start_event_seq      INTEGER NOT NULL,
    stop_event_seq       INTEGER,
    revision             INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0),
    created_at_ms        INTEGER NOT NULL,
    updated_at_ms        INTEGER NOT NULL,
    -- Tells changes of the same millisecond apart, in the order they were made: a poller never misses a
    -- change behind the place where it stands.
    change_seq           INTEGER NOT NULL DEFAULT 0,
    completed_at_ms      INTEGER,
    CHECK ((status = 'completed') = (completed_at_ms IS NOT NULL)),
    CHECK ((status = 'completed') = (ended_by IS NOT NULL)),
    CHECK (orphaned = 0 OR orphan_activity_at_ms IS NOT NULL),
    CHECK ((id_tag IS NULL) = (id_tag_key IS NULL)),
    CHECK ((first_register_wh IS NULL) = (first_register_at_ms IS NULL)),
    CHECK ((first_register_wh IS NULL) = (last_register_wh IS NULL)),
    CHECK ((last_register_wh IS NULL) = (last_register_at_ms IS NULL)),
    CHECK ((odd_register_wh IS NULL) = (odd_register_at_ms IS NULL)),
    CHECK (stop_event_seq IS NULL OR ended_by = 'stop')
) STRICT;

CREATE INDEX transactions_active ON transactions (station_id, connector_id) WHERE status = 'active';
CREATE INDEX transactions_active_tag ON transactions (id_tag_key) WHERE status = 'active';
CREATE INDEX transactions_orphaned ON transactions (orphan_activity_at_ms)
    WHERE orphaned = 1 AND status = 'active';
CREATE INDEX transactions_by_start ON transactions (station_id, start_timestamp_text);
CREATE INDEX transactions_by_stop ON transactions (station_id, stop_timestamp_text) WHERE stop_event_seq IS NOT NULL;
-- What went before a session on its connector, and what followed.
CREATE INDEX transactions_by_connector ON transactions (station_id, connector_id, started_at_ms);
CREATE INDEX transactions_by_update ON transactions (updated_at_ms, change_seq);
CREATE INDEX transactions_by_owner ON transactions (owner_id, transaction_id) WHERE owner_id IS NOT NULL;

-- What was metered in a transaction: one row for each moment of a message, with everything sampled then. A
-- row per value would cost six times as much to write. `samples` is a JSON array of objects with the members
-- value, value_base, measurand, context, phase, location, format, unit and derived; those that have OCPP's
-- default (see sessions/meter_values.rs) are left out.
CREATE TABLE meter_values (
    seq            INTEGER PRIMARY KEY,
    transaction_id INTEGER NOT NULL,
    -- The charger's time; NULL: it named none that can be read.
    occurred_at_ms INTEGER,
    received_at_ms INTEGER NOT NULL,
    -- What the values are in order by: the first of these two that there is. No generated column: for those
    -- SQLite reads the whole row, where the index would do.
    at_ms          INTEGER NOT NULL CHECK (at_ms = coalesce(occurred_at_ms, received_at_ms)),
    -- One of them is a signed document, by which receivers prove what was charged for.
    signed         INTEGER NOT NULL CHECK (signed IN (0, 1)),
    samples        TEXT    NOT NULL
) STRICT;

CREATE INDEX meter_values_in_order ON meter_values (transaction_id, at_ms);
CREATE INDEX meter_values_signed ON meter_values (transaction_id) WHERE signed = 1;
-- Without a time only the text tells a repetition.
CREATE INDEX meter_values_timeless ON meter_values (transaction_id, samples) WHERE occurred_at_ms IS NULL;

-- ── Id tags ───────────────────────

-- Id tags that were registered through the API. A tag belongs to an owner, or to nobody ('' here, so that
-- uniqueness counts it). `tag_key` is what it is looked up by, whatever letter case a charger sends.
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

-- The authorisation endpoint's last answer about each tag: it stands in for one that does not come. An answer
-- that is given anew gets a new row at the end, so that rows go from the oldest to the newest.
CREATE TABLE authorization_answers (
    seq            INTEGER PRIMARY KEY,
    -- The station's owner; '' is nobody, as in `id_tags`.
    owner_id       TEXT    NOT NULL,
    tag_key        TEXT    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('Accepted', 'Blocked', 'Expired', 'Invalid')),
    expiry_date_ms INTEGER,
    parent_id_tag  TEXT,
    answered_at_ms INTEGER NOT NULL,
    UNIQUE (owner_id, tag_key)
) STRICT;

-- ── Events ────────────────────────

-- AUTOINCREMENT, because cursors and streams count on a seq being used once, whatever retention removes.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    event           TEXT    NOT NULL,
    category        TEXT    NOT NULL CHECK (category IN ('ocpp', 'command', 'station', 'transaction', 'webhook',
                                                         'system', 'custom')),
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
    -- Whom an event that came through the API is for: 'broadcast', 'webhook:7' or 'url'; NULL: whoever
    -- subscribes.
    target          TEXT    CHECK (target IN ('broadcast', 'url') OR target LIKE 'webhook:%'),
    -- JSON object, sealed; NULL: none.
    custom_headers  TEXT,
    CHECK (duplicate_of IS NULL OR station_seq IS NULL)
) STRICT;

CREATE INDEX events_by_station ON events (station_id, seq) WHERE station_id IS NOT NULL;
CREATE INDEX events_by_type ON events (event, seq);
CREATE INDEX events_by_owner ON events (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX events_by_transaction ON events (transaction_id, seq) WHERE transaction_id IS NOT NULL;
CREATE INDEX events_by_first ON events (duplicate_of) WHERE duplicate_of IS NOT NULL;
-- Stops that belong to no known transaction: a retry is recognised by its text.
CREATE INDEX events_unattached_stops ON events (station_id, seq)
    WHERE event = 'StopTransaction' AND transaction_id IS NULL AND duplicate_of IS NULL;
CREATE UNIQUE INDEX events_by_idempotency_key ON events (coalesce(owner_id, ''), idempotency_key)
    WHERE idempotency_key IS NOT NULL AND duplicate_of IS NULL;

-- Ids of removed events that something still names: repeats of them, or transactions whose start or stop may
-- be repeated.
CREATE TABLE removed_events (
    seq            INTEGER PRIMARY KEY,
    id             TEXT    NOT NULL,
    transaction_id INTEGER
) STRICT;

CREATE INDEX removed_events_by_transaction ON removed_events (transaction_id) WHERE transaction_id IS NOT NULL;

-- How far retention has come. `events`, `deliveries`, `commands`, `transactions`, `replays`: the newest one
-- that was removed by any rule. `log`: the newest event that was removed by the rule for all events, before
-- which the log is not complete any more. `outcomes`: the newest delivery that was removed before its event.
CREATE TABLE horizons (
    kind TEXT    PRIMARY KEY CHECK (kind IN ('events', 'log', 'deliveries', 'outcomes', 'commands', 'transactions',
                                             'replays')),
    seq  INTEGER NOT NULL,
    id   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- ── Webhooks and deliveries ───────

-- AUTOINCREMENT: a webhook's number is never given to another.
CREATE TABLE webhooks (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    name                 TEXT    NOT NULL CHECK (name <> ''),
    url                  TEXT    NOT NULL,
    status               TEXT    NOT NULL CHECK (status IN ('active', 'paused', 'disabled', 'auto_disabled')),
    disabled_reason      TEXT,
    -- Since when it is paused, until when if somebody said so, and why if nobody has requested it.
    paused_at_ms         INTEGER,
    paused_until_ms      INTEGER CHECK (paused_until_ms IS NULL OR status = 'paused'),
    paused_reason        TEXT    CHECK (paused_reason IS NULL OR status = 'paused'),
    -- The end of the last pause: waits that are counted from before it are counted from it.
    resumed_at_ms        INTEGER,
    -- JSON arrays of patterns.
    events               TEXT    NOT NULL,
    stations             TEXT    NOT NULL,
    owner_id             TEXT,
    secret_header        TEXT,
    -- Sealed, as are the next two secrets.
    secret_value         TEXT    CHECK (secret_value IS NULL OR secret_header IS NOT NULL),
    signing_secret       TEXT    NOT NULL,
    -- JSON object; only `{}` is not sealed.
    custom_headers       TEXT    NOT NULL,
    -- No CHECK: a version may add a format without a step of the schema. The row's reader refuses others.
    format               TEXT    NOT NULL,
    filter               TEXT,
    ordering             TEXT    NOT NULL CHECK (ordering IN ('none', 'station')),
    ordering_max_wait_ms INTEGER NOT NULL CHECK (ordering_max_wait_ms >= 0),
    timeout_ms           INTEGER NOT NULL CHECK (timeout_ms > 0),
    -- JSON array of durations as they were written (["30s", "1m"]).
    retry_schedule       TEXT    NOT NULL,
    max_in_flight        INTEGER NOT NULL CHECK (max_in_flight > 0),
    rate_limit           TEXT,
    last_sequence        INTEGER NOT NULL DEFAULT 0 CHECK (last_sequence >= 0),
    -- The newest event when it was created: what came before is not for it.
    created_seq          INTEGER NOT NULL DEFAULT 0,
    -- Since when every delivery has failed; NULL: the last one succeeded, or there was none.
    failing_since_ms     INTEGER,
    -- Quarters of the way to being disabled that a WebhookFailing event has told of.
    failing_told         INTEGER NOT NULL DEFAULT 0 CHECK (failing_told >= 0),
    created_at_ms        INTEGER NOT NULL,
    updated_at_ms        INTEGER NOT NULL,
    CHECK ((status = 'paused') = (paused_at_ms IS NOT NULL)),
    CHECK ((status IN ('disabled', 'auto_disabled')) = (disabled_reason IS NOT NULL))
) STRICT;

-- Secrets that were rotated away and still sign until they expire; sealed.
CREATE TABLE webhook_previous_secrets (
    webhook_id     INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    signing_secret TEXT    NOT NULL,
    expires_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, signing_secret)
) STRICT, WITHOUT ROWID;

-- Where deliveries go that have a URL of their own: those to one origin share a lane. An origin goes with its
-- last delivery.
CREATE TABLE origins (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE deliveries (
    seq                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT    NOT NULL UNIQUE,
    event_seq          INTEGER NOT NULL,
    -- Outlives the webhook. NULL: sent to `url`, which came with the event and is of the origin `origin_id`.
    webhook_id         INTEGER,
    sequence           INTEGER,
    url                TEXT,
    origin_id          INTEGER,
    -- What signs a delivery that has a URL of its own, sealed; NULL: nothing does.
    secret             TEXT    CHECK (secret IS NULL OR origin_id IS NOT NULL),
    status             TEXT    NOT NULL CHECK (status IN ('scheduled', 'processing', 'retry', 'success', 'failed',
                                                          'discarded')),
    -- Why nothing more is sent of a discarded delivery. It stays when the delivery is sent again.
    discarded_because  TEXT    CHECK (discarded_because IN ('canceled', 'webhook_disabled', 'webhook_deleted')),
    -- Position in the retry schedule; attempt numbers go on when it starts anew.
    step               INTEGER NOT NULL DEFAULT 0 CHECK (step >= 0),
    attempts           INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- What the next attempt is made for.
    trigger            TEXT    NOT NULL DEFAULT 'event' CHECK (trigger IN ('event', 'resend', 'replay')),
    -- What replays and bulk resends bring back goes behind everything else of its webhook, and is out of its
    -- station's order.
    bulk               INTEGER NOT NULL DEFAULT 0 CHECK (bulk IN (0, 1)),
    due_at_ms          INTEGER,
    -- The station in whose order it is sent; NULL: it waits for no other. A resend leaves the order.
    order_station      TEXT,
    -- When the schedule began: with a resend it begins anew.
    scheduled_at_ms    INTEGER NOT NULL,
    -- Since when a delivery in order holds up others.
    first_tried_at_ms  INTEGER,
    last_error_code    TEXT,
    last_error_message TEXT,
    -- The replay or bulk resend that has made it due, and what it was before that (JSON; NULL: it was created
    -- for the replay), so that what was not tried since can be taken back.
    replay_seq         INTEGER,
    before_replay      TEXT    CHECK (before_replay IS NULL OR replay_seq IS NOT NULL),
    created_at_ms      INTEGER NOT NULL,
    completed_at_ms    INTEGER,
    CHECK ((webhook_id IS NULL) = (url IS NOT NULL)),
    CHECK ((webhook_id IS NULL) = (origin_id IS NOT NULL)),
    CHECK ((status IN ('success', 'failed', 'discarded')) = (completed_at_ms IS NOT NULL)),
    CHECK ((status IN ('scheduled', 'retry')) = (due_at_ms IS NOT NULL)),
    CHECK (status <> 'discarded' OR discarded_because IS NOT NULL),
    CHECK (attempts = 0 OR first_tried_at_ms IS NOT NULL),
    CHECK (bulk = 0 OR order_station IS NULL)
) STRICT;

CREATE INDEX deliveries_due ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND order_station IS NULL AND bulk = 0;
CREATE INDEX deliveries_due_in_bulk ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND order_station IS NULL AND bulk = 1;
CREATE INDEX deliveries_due_direct ON deliveries (origin_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 0;
CREATE INDEX deliveries_due_direct_in_bulk ON deliveries (origin_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 1;
CREATE INDEX deliveries_resent ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status = 'scheduled' AND trigger = 'resend' AND bulk = 0;
CREATE INDEX deliveries_in_order ON deliveries (webhook_id, order_station, seq)
    WHERE status IN ('scheduled', 'retry', 'processing') AND order_station IS NOT NULL;
CREATE INDEX deliveries_processing ON deliveries (seq) WHERE status = 'processing';
CREATE INDEX deliveries_failed ON deliveries (seq) WHERE status = 'failed';
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, seq);
CREATE INDEX deliveries_by_origin ON deliveries (origin_id) WHERE origin_id IS NOT NULL;
CREATE INDEX deliveries_by_event ON deliveries (event_seq);
CREATE INDEX deliveries_of_replays ON deliveries (replay_seq, seq)
    WHERE replay_seq IS NOT NULL AND status = 'scheduled';

-- One row per try. No duration: it was cut off, or is under way.
CREATE TABLE attempts (
    delivery_seq     INTEGER NOT NULL REFERENCES deliveries (seq) ON DELETE CASCADE,
    number           INTEGER NOT NULL CHECK (number > 0),
    trigger          TEXT    NOT NULL CHECK (trigger IN ('event', 'resend', 'replay')),
    started_at_ms    INTEGER NOT NULL,
    duration_ms      INTEGER,
    status_code      INTEGER,
    error_code       TEXT,
    error_message    TEXT,
    response_headers TEXT,
    response_body    TEXT,
    PRIMARY KEY (delivery_seq, number)
) STRICT, WITHOUT ROWID;

-- Replays of a webhook's past, and deliveries that were sent again by filter.
CREATE TABLE replays (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT    NOT NULL UNIQUE,
    -- The customer that can see it.
    owner_id          TEXT,
    -- The webhook it is for; NULL: whichever the filter finds.
    webhook_id        INTEGER,
    -- JSON: what is brought back.
    selection         TEXT    NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('running', 'done', 'canceled')),
    -- It was canceled, and some of what it made may still have to be taken back.
    takes_back        INTEGER NOT NULL DEFAULT 0 CHECK (takes_back IN (0, 1)),
    matched           INTEGER NOT NULL CHECK (matched >= 0),
    done              INTEGER NOT NULL DEFAULT 0,
    -- Rows up to this one have been looked at, of those up to the last one when it was requested.
    position          INTEGER NOT NULL,
    end_position      INTEGER NOT NULL,
    requested_by_id   TEXT    NOT NULL,
    requested_by_name TEXT    NOT NULL,
    -- When it was requested: what came to its end later is not part of it.
    requested_at_ms   INTEGER NOT NULL,
    created_at_ms     INTEGER NOT NULL,
    completed_at_ms   INTEGER,
    CHECK ((status = 'running') = (completed_at_ms IS NULL)),
    CHECK (takes_back = 0 OR status = 'canceled')
) STRICT;

CREATE INDEX replays_running ON replays (seq) WHERE status = 'running';
CREATE INDEX replays_taking_back ON replays (seq) WHERE takes_back = 1;
CREATE INDEX replays_by_owner ON replays (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX replays_by_webhook ON replays (webhook_id, seq) WHERE webhook_id IS NOT NULL;

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

-- ── Access ────────────────────────

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

-- Answers to requests that carried an Idempotency-Key; hash and body are sealed. No status: the request is
-- still running.
CREATE TABLE idempotent_requests (
    api_key_id      TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    request_hash    BLOB    NOT NULL,
    status          INTEGER,
    headers         TEXT,
    body            BLOB,
    created_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (api_key_id, idempotency_key),
    CHECK ((status IS NULL) = (headers IS NULL)),
    CHECK ((status IS NULL) = (body IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotent_requests_by_age ON idempotent_requests (created_at_ms);

-- What was changed through the API, and by `chargehook keys`: who, what, when. A row is written before the
-- request runs and settled with its answer; a request that was refused takes its row back. Retention removes
-- rows by at_ms, the oldest seq first.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms       INTEGER NOT NULL,
    -- The API key; NULL: the command line on the data directory.
    key_id      TEXT,
    key_name    TEXT,
    remote_addr TEXT,
    -- The operation's name in the OpenAPI document.
    action      TEXT    NOT NULL,
    method      TEXT    CHECK (method IN ('POST', 'PUT', 'PATCH', 'DELETE')),
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
    CHECK ((key_id IS NULL) = (key_name IS NULL)),
    CHECK ((key_id IS NULL) = (method IS NULL)),
    CHECK ((method IS NULL) = (path IS NULL))
) STRICT;

CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_by_owner ON audit (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX audit_by_key ON audit (key_id, seq) WHERE key_id IS NOT NULL;
CREATE INDEX audit_by_resource ON audit (resource, seq);
