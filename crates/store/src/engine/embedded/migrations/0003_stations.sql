-- Stations: where they stand, and since when they are away.

-- The place where a station stands, such as a car park.
ALTER TABLE stations ADD COLUMN site TEXT;

CREATE INDEX stations_by_site ON stations (site, seq) WHERE site IS NOT NULL;
