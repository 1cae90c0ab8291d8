-- The authorisation endpoint's last answer about each tag: it stands in for one that does not come. An answer
-- that is given anew gets a new row at the end, so that rows go from the oldest to the newest.
CREATE TABLE authorization_answers (
    seq            INTEGER PRIMARY KEY,
    -- The station's; '' is nobody, as in `id_tags`.
    owner_id       TEXT    NOT NULL,
    tag_key        TEXT    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('Accepted', 'Blocked', 'Expired', 'Invalid')),
    expiry_date_ms INTEGER,
    parent_id_tag  TEXT,
    answered_at_ms INTEGER NOT NULL,
    UNIQUE (owner_id, tag_key)
) STRICT;
