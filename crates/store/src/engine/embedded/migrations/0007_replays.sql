-- Pauses of webhooks: since when, and until when if somebody said so.
ALTER TABLE webhooks ADD COLUMN paused_at_ms INTEGER
    CHECK (paused_at_ms IS NULL OR status = 'paused');
ALTER TABLE webhooks ADD COLUMN paused_until_ms INTEGER
    CHECK (paused_until_ms IS NULL OR paused_at_ms IS NOT NULL);
-- The end of the last pause: waits that are counted from before it are counted from it.
ALTER TABLE webhooks ADD COLUMN resumed_at_ms INTEGER;

-- What replays and bulk resends bring back goes behind everything else of its webhook, and is out of its
-- station's order.
ALTER TABLE deliveries ADD COLUMN bulk INTEGER NOT NULL DEFAULT 0
    CHECK (bulk IN (0, 1) AND (bulk = 0 OR order_station IS NULL));
DROP INDEX deliveries_due;
DROP INDEX deliveries_resent;
CREATE INDEX deliveries_due ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND order_station IS NULL AND bulk = 0;
CREATE INDEX deliveries_due_in_bulk ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND order_station IS NULL AND bulk = 1;
CREATE INDEX deliveries_resent ON deliveries (webhook_id, due_at_ms, seq)
    WHERE status = 'scheduled' AND trigger = 'resend' AND bulk = 0;

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
    matched           INTEGER NOT NULL,
    done              INTEGER NOT NULL DEFAULT 0,
    -- Rows up to this one have been looked at, of those up to the last one when it was asked for.
    position          INTEGER NOT NULL,
    end_position      INTEGER NOT NULL,
    requested_by_id   TEXT    NOT NULL,
    requested_by_name TEXT    NOT NULL,
    -- When it was asked for: what came to its end later is not part of it.
    asked_at_ms       INTEGER NOT NULL,
    created_at_ms     INTEGER NOT NULL,
    completed_at_ms   INTEGER,
    CHECK ((status = 'running') = (completed_at_ms IS NULL))
) STRICT;

CREATE INDEX replays_running ON replays (seq) WHERE status = 'running';
CREATE INDEX replays_by_owner ON replays (owner_id, seq) WHERE owner_id IS NOT NULL;
CREATE INDEX replays_by_webhook ON replays (webhook_id, seq) WHERE webhook_id IS NOT NULL;

-- Whom an ingested event is for: 'broadcast', 'webhook:7' or 'url'. NULL: whoever subscribes.
ALTER TABLE events ADD COLUMN target TEXT;

-- Where deliveries go that have a URL of their own: those to one origin share a lane.
CREATE TABLE origins (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT    NOT NULL UNIQUE
) STRICT;

ALTER TABLE deliveries ADD COLUMN origin_id INTEGER CHECK (origin_id IS NULL OR webhook_id IS NULL);
-- What signs a delivery that has a URL of its own; NULL: nothing does.
ALTER TABLE deliveries ADD COLUMN secret TEXT CHECK (secret IS NULL OR origin_id IS NOT NULL);
CREATE INDEX deliveries_due_elsewhere ON deliveries (origin_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND origin_id IS NOT NULL;
