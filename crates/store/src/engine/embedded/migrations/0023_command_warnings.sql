-- What whoever asked for a command should know of it: a JSON array of texts; NULL: nothing.
ALTER TABLE commands ADD COLUMN warnings TEXT;
