-- What the energy register of a session has told so far (store/energy/track.rs), and what its meter is weighed by.
ALTER TABLE transactions ADD COLUMN first_register_wh INTEGER;
ALTER TABLE transactions ADD COLUMN first_register_at_ms INTEGER;
-- The newest reading that does not follow from the others.
ALTER TABLE transactions ADD COLUMN odd_register_wh INTEGER;
ALTER TABLE transactions ADD COLUMN odd_register_at_ms INTEGER;
-- Which register it is: of several that a charger sends the smaller number is the better one.
ALTER TABLE transactions ADD COLUMN register_source INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ADD COLUMN register_peak_w INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ADD COLUMN register_followed INTEGER NOT NULL DEFAULT 0 CHECK (register_followed IN (0, 1));
ALTER TABLE transactions ADD COLUMN register_broken INTEGER NOT NULL DEFAULT 0 CHECK (register_broken IN (0, 1));
-- meterStart or meterStop was sent with decimals, where OCPP has whole Wh.
ALTER TABLE transactions ADD COLUMN meter_decimals INTEGER NOT NULL DEFAULT 0 CHECK (meter_decimals IN (0, 1));
-- What the connector's meter had come to before; NULL: nothing is known, or it counts each session anew.
ALTER TABLE transactions ADD COLUMN meter_before_wh INTEGER;
-- started_at_ms, stopped_at_ms are times of arrival: the charger's own could not be read.
ALTER TABLE transactions ADD COLUMN start_untimed INTEGER NOT NULL DEFAULT 0 CHECK (start_untimed IN (0, 1));
ALTER TABLE transactions ADD COLUMN stop_untimed INTEGER NOT NULL DEFAULT 0 CHECK (stop_untimed IN (0, 1));

UPDATE transactions SET start_untimed = 1 WHERE start_timestamp_text IS NULL;
UPDATE transactions SET stop_untimed = 1 WHERE ended_by = 'stop' AND stop_timestamp_text IS NULL;
-- Of what runs now the last reading so far is the first that is kept.
UPDATE transactions SET first_register_wh = last_register_wh, first_register_at_ms = last_register_at_ms
WHERE status = 'active';

-- What went before a session on its connector, and what followed.
CREATE INDEX transactions_by_connector ON transactions (station_id, connector_id, started_at_ms);
