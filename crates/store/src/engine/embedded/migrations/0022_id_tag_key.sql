-- What the tag of a transaction is compared by (`id_tag_key`, which the program teaches the connection). Sessions of
-- one tag are counted and repeated starts recognised by it, whatever stray bytes a charger has sent.
ALTER TABLE transactions ADD COLUMN id_tag_key TEXT;
UPDATE transactions SET id_tag_key = id_tag_key(id_tag) WHERE id_tag IS NOT NULL;
UPDATE OR IGNORE id_tags SET tag_key = id_tag_key(tag) WHERE tag_key <> id_tag_key(tag);
UPDATE OR REPLACE authorization_answers SET tag_key = id_tag_key(tag_key) WHERE tag_key <> id_tag_key(tag_key);

DROP INDEX transactions_active_tag;
CREATE INDEX transactions_active_tag ON transactions (id_tag_key) WHERE status = 'active';
