-- What is told at a glance, without counting rows by the million.

-- How many deliveries came to their end by being sent, by the quarter of an hour they ended in.
CREATE TABLE delivery_tallies (
    began_at_ms INTEGER NOT NULL CHECK (began_at_ms % 900000 = 0),
    -- 0: those to URLs that came with their events.
    webhook_id  INTEGER NOT NULL CHECK (webhook_id >= 0),
    -- The webhook's owner then, or the event's if there is no webhook; '' is nobody.
    owner_id    TEXT    NOT NULL DEFAULT '',
    succeeded   INTEGER NOT NULL CHECK (succeeded >= 0),
    failed      INTEGER NOT NULL CHECK (failed >= 0),
    PRIMARY KEY (began_at_ms, webhook_id, owner_id)
) STRICT, WITHOUT ROWID;

-- Those of the last two days, among the newest five million.
INSERT INTO delivery_tallies (began_at_ms, webhook_id, owner_id, succeeded, failed)
SELECT d.completed_at_ms / 900000 * 900000, coalesce(d.webhook_id, 0),
       coalesce(CASE WHEN d.webhook_id IS NULL THEN e.owner_id ELSE h.owner_id END, ''),
       sum(d.status = 'success'), sum(d.status = 'failed')
FROM deliveries d
LEFT JOIN webhooks h ON h.id = d.webhook_id
LEFT JOIN events e ON e.seq = d.event_seq AND d.webhook_id IS NULL
WHERE d.seq > (SELECT coalesce(max(seq), 0) - 5000000 FROM deliveries)
  AND d.status IN ('success', 'failed') AND d.completed_at_ms >= (unixepoch() - 172800) * 1000
GROUP BY 1, 2, 3;

-- The dead letters of each webhook.
CREATE INDEX deliveries_failed_by_webhook ON deliveries (webhook_id, seq) WHERE status = 'failed';
