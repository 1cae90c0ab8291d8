-- How far retention has come. `events`, `deliveries`, `commands` and `transactions`: the newest one that was
-- removed by any rule. `log`: the newest event that was removed by the rule for all events, before which the log
-- is not complete any more. `outcomes`: the newest delivery that was removed before its event.
CREATE TABLE horizons (
    kind TEXT    PRIMARY KEY CHECK (kind IN ('events', 'log', 'deliveries', 'outcomes', 'commands', 'transactions')),
    seq  INTEGER NOT NULL,
    id   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids of removed events that something still names: repeats of them, or transactions whose start or stop may
-- be repeated.
CREATE TABLE removed_events (
    seq            INTEGER PRIMARY KEY,
    id             TEXT    NOT NULL,
    transaction_id INTEGER
) STRICT;

CREATE INDEX removed_events_by_transaction ON removed_events (transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX events_by_first ON events (duplicate_of) WHERE duplicate_of IS NOT NULL;
