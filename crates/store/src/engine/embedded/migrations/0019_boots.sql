-- Boots that nobody asked for (store/boots.rs): the moments of the latest ones, a JSON array, by the hand that never
-- jumps.
ALTER TABLE stations ADD COLUMN recent_boots TEXT NOT NULL DEFAULT '[]';

-- The station was told or made to boot, so that its next boot is no surprise. Of what booted before nobody knows why.
ALTER TABLE stations ADD COLUMN boot_expected INTEGER NOT NULL DEFAULT 1 CHECK (boot_expected IN (0, 1));

-- Older versions called two boots within half a minute a loop, whoever had asked for them.
UPDATE stations SET flags = (SELECT json_group_array(value) FROM json_each(flags) WHERE value <> 'boot_loop')
WHERE flags LIKE '%boot_loop%';
