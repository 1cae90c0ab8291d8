-- Pauses of webhooks: since when, and until when if somebody said so.
ALTER TABLE webhooks ADD COLUMN paused_at_ms INTEGER
    CHECK (paused_at_ms IS NULL OR status = 'paused');
ALTER TABLE webhooks ADD COLUMN paused_until_ms INTEGER
    CHECK (paused_until_ms IS NULL OR paused_at_ms IS NOT NULL);
-- The end of the last pause: waits that are counted from before it are counted from it.
ALTER TABLE webhooks ADD COLUMN resumed_at_ms INTEGER;
