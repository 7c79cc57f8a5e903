ALTER TABLE users ALTER COLUMN email_address SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT users_email_address_present;
