-- What connectors and stations have been, for reports over months. Rows are changes only: each holds until
-- the next one of the same thing. Times are by our clock, which may be set: what then lies in the future is
-- replaced by what comes. Of one millisecond the last change counts. Rows go with their station, and by
-- retention; the one that holds at its border stays.

-- What connectors have told of themselves; connector 0 is the station as a whole.
CREATE TABLE connector_history (
    station_id   TEXT    NOT NULL,
    connector_id INTEGER NOT NULL,
    -- By the station's own time, as far as its clock can be relied on.
    at_ms        INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    -- NULL: no error.
    error_code   TEXT    CHECK (error_code <> 'NoError'),
    PRIMARY KEY (station_id, connector_id, at_ms)
) STRICT, WITHOUT ROWID;

-- Whether stations could be reached: `silent` is one whose socket stayed open, from its last message on.
CREATE TABLE presence_history (
    station_id TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    presence   TEXT    NOT NULL CHECK (presence IN ('connected', 'disconnected', 'silent')),
    PRIMARY KEY (station_id, at_ms)
) STRICT, WITHOUT ROWID;

-- Why a connector may have been down, by what an operator has ordered or the station has told.
CREATE TABLE downtime_causes (
    station_id   TEXT    NOT NULL,
    at_ms        INTEGER NOT NULL,
    -- 0: all of the station.
    connector_id INTEGER NOT NULL,
    -- `inoperative`, `operative`: the station has accepted to be so. `power_loss`: a session ended by it.
    cause        TEXT    NOT NULL CHECK (cause IN ('inoperative', 'operative', 'power_loss')),
    PRIMARY KEY (station_id, at_ms, connector_id, cause)
) STRICT, WITHOUT ROWID;

-- What is known already begins the history.
INSERT INTO connector_history (station_id, connector_id, at_ms, status, error_code)
SELECT c.station_id, c.connector_id,
       c.as_of_ms + coalesce((SELECT value FROM meta WHERE key = 'wall_offset_ms'), 0),
       c.status, CASE WHEN c.error_code <> 'NoError' THEN c.error_code END
FROM connectors c
WHERE c.status IS NOT NULL AND EXISTS (SELECT 1 FROM stations s WHERE s.station_id = c.station_id);

INSERT INTO presence_history (station_id, at_ms, presence)
SELECT station_id,
       CASE WHEN connected = 1 AND offline = 0 THEN coalesce(connected_at_ms, last_seen_at_ms)
            ELSE coalesce(last_seen_at_ms, connected_at_ms) END,
       CASE WHEN connected = 0 THEN 'disconnected' WHEN offline = 1 THEN 'silent' ELSE 'connected' END
FROM stations
WHERE coalesce(last_seen_at_ms, connected_at_ms) IS NOT NULL;
