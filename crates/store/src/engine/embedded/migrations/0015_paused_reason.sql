-- Why a webhook is paused, where nobody has asked for it.
ALTER TABLE webhooks ADD COLUMN paused_reason TEXT
    CHECK (paused_reason IS NULL OR status = 'paused');
