-- When a connector came to be as it is, as far as its station's clock can be relied on, by the hand that never jumps.
-- NULL: as older versions found it.
ALTER TABLE connectors ADD COLUMN as_of_ms INTEGER;
