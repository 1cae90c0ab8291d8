-- What a queued command holds of secrets is sealed and stands apart: `payload` is always what may be shown.
-- NULL: it holds none, or it is not queued any more.
ALTER TABLE commands ADD COLUMN sealed_payload TEXT
    CHECK (sealed_payload IS NULL OR status = 'queued');
