-- What only many nodes need, beside the tables that every engine has.

-- The log has one head. Whoever appends holds this row until the commit, so that ids, rows and sequences grow
-- in commit order over all nodes.
CREATE TABLE head (
    one              BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    -- The newest of all ids, 16 bytes.
    newest_id        BYTEA   NOT NULL CHECK (octet_length(newest_id) = 16),
    newest_event     BIGINT  NOT NULL,
    -- How often a webhook was created, changed or deleted.
    webhooks_version BIGINT  NOT NULL
);

INSERT INTO head (newest_id, newest_event, webhooks_version)
VALUES (decode('00000000000000000000000000000000', 'hex'), 0, 0);

-- What commits tell other nodes: JSON (signals/told.rs of the store).
CREATE TABLE signals (
    seq   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch BIGINT NOT NULL,
    told  TEXT   NOT NULL
);

-- Which node sends the deliveries of which webhook, or of which origin (a number below zero).
CREATE TABLE lane_leases (
    webhook_id BIGINT PRIMARY KEY,
    epoch      BIGINT NOT NULL
);

CREATE INDEX lane_leases_by_node ON lane_leases (epoch);

-- The latest changes of webhooks, by the version that they made.
CREATE TABLE webhook_changes (
    version    BIGINT PRIMARY KEY,
    webhook_id BIGINT NOT NULL
);

-- The dead letters, readable with any tool.
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
       to_timestamp(d.created_at_ms / 1000.0)   AS created_at,
       to_timestamp(d.completed_at_ms / 1000.0) AS failed_at
FROM deliveries d
JOIN events e ON e.seq = d.event_seq
WHERE d.status = 'failed';
