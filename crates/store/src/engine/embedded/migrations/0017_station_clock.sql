-- What a station's clock shows (ocpp/v16/station_clock.rs): messages that agree on how far it is behind, too few
-- of them to be certain; JSON. NULL: there are none.
ALTER TABLE stations ADD COLUMN clock_doubt TEXT;

-- Older versions took the delay of a message that had waited for a clock that is behind.
UPDATE stations SET clock_skew_ms = NULL,
    flags = (SELECT json_group_array(value) FROM json_each(flags) WHERE value <> 'clock_skew')
WHERE clock_skew_ms < -10000;
