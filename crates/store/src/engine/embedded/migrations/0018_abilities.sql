-- What a station has shown it cannot do is no oddity: `unsupported:Action`, a list of its own (JSON).
ALTER TABLE stations ADD COLUMN abilities TEXT NOT NULL DEFAULT '[]';

UPDATE stations SET
    abilities = (SELECT json_group_array(value) FROM json_each(flags) WHERE value LIKE 'unsupported:%'),
    flags = (SELECT json_group_array(value) FROM json_each(flags) WHERE value NOT LIKE 'unsupported:%')
WHERE flags LIKE '%unsupported:%';
