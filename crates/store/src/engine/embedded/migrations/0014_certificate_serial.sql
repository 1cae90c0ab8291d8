-- The number of the one certificate that opens for a station, in hex without leading zeros; NULL: any that names
-- it.
ALTER TABLE stations ADD COLUMN certificate_serial TEXT;

-- Certificates that were sent to stations (CertificateSigned) and that no connection has shown yet. They open
-- beside the stored one, until they are used, refused, or too many.
CREATE TABLE certificate_renewals (
    command_id    TEXT    PRIMARY KEY,
    station_id    TEXT    NOT NULL,
    serial_number TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX certificate_renewals_by_station ON certificate_renewals (station_id);
