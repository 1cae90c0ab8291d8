-- What `min_security_profile` was before a connection with a higher profile raised it; NULL: it is as it was written.
ALTER TABLE stations ADD COLUMN profile_raised_from INTEGER CHECK (profile_raised_from BETWEEN 0 AND 2);
