-- What was metered in a transaction: one row for each moment of a message, with everything sampled then.
-- A row per value would cost six times as much to write. `samples` is a JSON array of objects with the
-- members value, value_base, measurand, context, phase, location, format, unit and derived; those that have
-- OCPP's default (see store/meter_values.rs) are left out.
CREATE TABLE meter_values (
    seq            INTEGER PRIMARY KEY,
    transaction_id INTEGER NOT NULL,
    -- The charger's time; NULL: it named none that can be read.
    occurred_at_ms INTEGER,
    received_at_ms INTEGER NOT NULL,
    -- What the values are in order by: the first of these two that there is. No generated column: for
    -- those SQLite reads the whole row, where the index would do.
    at_ms          INTEGER NOT NULL CHECK (at_ms = coalesce(occurred_at_ms, received_at_ms)),
    -- One of them is a signed document, which bills rest on.
    signed         INTEGER NOT NULL CHECK (signed IN (0, 1)),
    samples        TEXT    NOT NULL
) STRICT;

CREATE INDEX meter_values_in_order ON meter_values (transaction_id, at_ms);
CREATE INDEX meter_values_signed ON meter_values (transaction_id) WHERE signed = 1;
-- Without a time only the text tells a repetition.
CREATE INDEX meter_values_timeless ON meter_values (transaction_id, samples) WHERE occurred_at_ms IS NULL;

-- Whose word the end of a transaction is: the charger's, an operator's, or nobody's.
ALTER TABLE transactions ADD COLUMN ended_by TEXT CHECK (ended_by IN ('stop', 'close', 'orphan'));
-- When something was last heard of a transaction that another start has orphaned.
ALTER TABLE transactions ADD COLUMN orphan_news_at_ms INTEGER;
-- Tells changes of the same millisecond apart, in the order they were made: what is polled for is never
-- changed behind the place where a poller stands.
ALTER TABLE transactions ADD COLUMN change_seq INTEGER NOT NULL DEFAULT 0;

UPDATE transactions SET change_seq = transaction_id,
                        ended_by = CASE WHEN status = 'completed' THEN 'stop' END,
                        orphan_news_at_ms = CASE WHEN status = 'active' AND orphaned = 1 THEN updated_at_ms END;

DROP INDEX transactions_by_update;
CREATE INDEX transactions_by_update ON transactions (updated_at_ms, change_seq);
CREATE INDEX transactions_orphaned ON transactions (orphan_news_at_ms) WHERE orphaned = 1 AND status = 'active';
