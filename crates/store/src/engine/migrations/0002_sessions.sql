-- Sessions: how far the energy of each can be relied on, what it shows at this moment, and why its tag was
-- refused.

-- What the evidence in the row comes to (sessions/energy.rs), written with it, so that lists filter and sum
-- by it. Rows of an earlier version have no quality until the next start has weighed them.
ALTER TABLE transactions ADD COLUMN energy_wh INTEGER CHECK (energy_wh >= 0);
ALTER TABLE transactions ADD COLUMN energy_estimated_wh INTEGER CHECK (energy_estimated_wh >= 0);
ALTER TABLE transactions ADD COLUMN energy_quality TEXT
    CHECK (energy_quality IN ('metered', 'estimated', 'implausible', 'missing'));

-- The newest meter value of each kind, and when it was taken; shown while the session is active.
ALTER TABLE transactions ADD COLUMN power_w INTEGER;
ALTER TABLE transactions ADD COLUMN power_at_ms INTEGER CHECK ((power_at_ms IS NULL) = (power_w IS NULL));
ALTER TABLE transactions ADD COLUMN soc_percent INTEGER CHECK (soc_percent BETWEEN 0 AND 100);
ALTER TABLE transactions ADD COLUMN soc_at_ms INTEGER CHECK ((soc_at_ms IS NULL) = (soc_percent IS NULL));

-- Why its tag was refused at the start; NULL: it was accepted.
ALTER TABLE transactions ADD COLUMN id_tag_reason TEXT
    CHECK (id_tag_reason IN ('unknown', 'blocked', 'expired', 'invalid', 'other_owner', 'concurrent', 'endpoint',
                             'endpoint_unreachable'));
-- Of what was refused before, only the status is known.
UPDATE transactions
SET id_tag_reason = CASE id_tag_status WHEN 'Blocked' THEN 'blocked' WHEN 'Expired' THEN 'expired'
                                       WHEN 'ConcurrentTx' THEN 'concurrent' ELSE 'invalid' END
WHERE id_tag_status <> 'Accepted';

-- The same of the tag in an event. Without a CHECK, for which every event would be read.
ALTER TABLE events ADD COLUMN id_tag_reason TEXT;

-- What is still to be weighed, and what a person should look at.
CREATE INDEX transactions_unweighed ON transactions (transaction_id) WHERE energy_quality IS NULL;
CREATE INDEX transactions_doubtful ON transactions (transaction_id)
    WHERE energy_quality IN ('implausible', 'missing');
CREATE INDEX transactions_of_orphans ON transactions (transaction_id) WHERE orphaned = 1;
-- Everything that sums of sessions are made of, by when they ended.
CREATE INDEX transactions_by_end
    ON transactions (stopped_at_ms, owner_id, station_id, energy_quality, energy_wh, energy_estimated_wh,
                     started_at_ms)
    WHERE stopped_at_ms IS NOT NULL;
