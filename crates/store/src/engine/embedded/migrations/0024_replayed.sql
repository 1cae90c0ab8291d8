-- The replay or bulk resend that has made a delivery due, and what it was before that (JSON; NULL: it was
-- made for it), so that what was not tried since can be taken back.
ALTER TABLE deliveries ADD COLUMN replay_seq INTEGER;
ALTER TABLE deliveries ADD COLUMN before_replay TEXT CHECK (before_replay IS NULL OR replay_seq IS NOT NULL);
CREATE INDEX deliveries_of_replays ON deliveries (replay_seq, seq)
    WHERE replay_seq IS NOT NULL AND status = 'scheduled';

-- It was canceled, and some of what it made may still have to be taken back.
ALTER TABLE replays ADD COLUMN takes_back INTEGER NOT NULL DEFAULT 0
    CHECK (takes_back IN (0, 1) AND (takes_back = 0 OR status = 'canceled'));
CREATE INDEX replays_taking_back ON replays (seq) WHERE takes_back = 1;
