-- The end of the rename. The column takes its unique constraint along: ON CONFLICT (email) goes with it.
-- pawl:phase contract
DROP TRIGGER users_sync_email ON users;
DROP FUNCTION users_sync_email();
ALTER TABLE users DROP COLUMN email;
