-- Stations: where they stand, and since when they are away; connectors: since when they are as they are.

-- The place where a station stands, such as a car park.
ALTER TABLE stations ADD COLUMN site TEXT;

-- When the newest connection ended that none had taken over, and why. Both stay while a later one lasts.
ALTER TABLE stations ADD COLUMN disconnected_at_ms INTEGER;
ALTER TABLE stations ADD COLUMN disconnect_reason TEXT
    CHECK ((disconnect_reason IS NULL) = (disconnected_at_ms IS NULL));

-- Since when nothing comes from a station: the end of its connection, or its last message where the socket
-- stayed open. NULL: it is connected and heard of, or it was never connected.
ALTER TABLE stations ADD COLUMN offline_since_ms INTEGER;

-- Before, the end of a connection was an event and nothing else. Those that are connected on record are
-- settled by the start that follows.
UPDATE stations SET disconnected_at_ms = gone.timestamp_ms,
                    disconnect_reason = coalesce(json_extract(gone.payload, '$.reason'), 'connection_lost')
FROM (SELECT station_id, max(seq) AS seq FROM events INDEXED BY events_by_type
      WHERE event = 'StationDisconnected' AND json_extract(payload, '$.replaced') = 0
      GROUP BY station_id) AS newest
     JOIN events AS gone ON gone.seq = newest.seq
WHERE stations.station_id = newest.station_id;

UPDATE stations SET disconnected_at_ms = coalesce(last_seen_at_ms, connected_at_ms),
                    disconnect_reason = 'connection_lost'
WHERE connected = 0 AND connected_at_ms IS NOT NULL AND coalesce(disconnected_at_ms, 0) < connected_at_ms;

UPDATE stations SET offline_since_ms = CASE connected WHEN 0 THEN disconnected_at_ms ELSE last_seen_at_ms END
WHERE (connected = 0 OR offline = 1) AND connected_at_ms IS NOT NULL;

CREATE INDEX stations_by_site ON stations (site, seq) WHERE site IS NOT NULL;
CREATE INDEX stations_never_connected ON stations (seq) WHERE connected_at_ms IS NULL;
CREATE INDEX stations_away ON stations (seq) WHERE connected = 0 OR offline = 1;
-- In the orders of a list: a station that is connected and heard of was seen just now.
CREATE INDEX stations_by_last_seen ON stations (
    (CASE WHEN connected = 1 AND offline = 0 THEN 9007199254740991 ELSE coalesce(last_seen_at_ms, -1) END), seq);
CREATE INDEX stations_by_silence ON stations (coalesce(offline_since_ms, -1), seq);

-- The last messages of a station that was deleted could leave connectors of no station.
DELETE FROM connectors WHERE station_id NOT IN (SELECT station_id FROM stations);

-- The number of its station: connectors of many stations are listed in their order.
ALTER TABLE connectors ADD COLUMN station_seq INTEGER NOT NULL DEFAULT 0;
-- Since when it has its status, and its error (NULL: it has none): a repeated report changes neither.
ALTER TABLE connectors ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connectors ADD COLUMN error_since_ms INTEGER;

UPDATE connectors SET station_seq = (SELECT seq FROM stations WHERE stations.station_id = connectors.station_id),
                      since_ms = as_of_ms + coalesce((SELECT value FROM meta WHERE key = 'wall_offset_ms'), 0);
UPDATE connectors SET error_since_ms = since_ms WHERE error_code <> 'NoError';

-- A list with a filter reads this index alone and fetches the rows that fit.
CREATE INDEX connectors_in_order ON connectors (station_seq, connector_id, status, error_code);
