-- What had no bound gets one. Replays are removed some time after their end, and who asks for one then is told so:
-- they need a horizon. The check of a column cannot be altered, so the table is made anew.
CREATE TABLE new_horizons (
    kind TEXT    PRIMARY KEY CHECK (kind IN ('events', 'log', 'deliveries', 'outcomes', 'commands', 'transactions',
                                             'replays')),
    seq  INTEGER NOT NULL,
    id   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO new_horizons (kind, seq, id) SELECT kind, seq, id FROM horizons;
DROP TABLE horizons;
ALTER TABLE new_horizons RENAME TO horizons;

-- An origin goes with its last delivery.
CREATE INDEX deliveries_by_origin ON deliveries (origin_id) WHERE origin_id IS NOT NULL;

-- What bulk resends bring back goes behind what is live, for URLs of events too.
DROP INDEX deliveries_due_elsewhere;
CREATE INDEX deliveries_due_elsewhere ON deliveries (origin_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 0;
CREATE INDEX deliveries_due_elsewhere_in_bulk ON deliveries (origin_id, due_at_ms, seq)
    WHERE status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 1;
