-- Moments that something waits for (`due_at_ms`, `scheduled_at_ms`, `first_tried_at_ms`, `resumed_at_ms`,
-- `failing_since_ms`, `expires_at_ms` and `outcome_due_ms` of commands) are told by a hand that does not jump when
-- the clock is set. How far the wall is ahead of it is the row `wall_ahead_ms` of `meta`; no row: not at all.

-- Since when a delivery in order holds up others; the start of its first attempt is written down by the wall.
ALTER TABLE deliveries ADD COLUMN first_tried_at_ms INTEGER;

-- Why nothing more is sent of a discarded delivery; NULL on those that older versions discarded.
ALTER TABLE deliveries ADD COLUMN discarded_because TEXT
    CHECK (discarded_because IN ('canceled', 'webhook_disabled', 'webhook_deleted'));
