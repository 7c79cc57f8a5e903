-- The end of the split. vault_usage goes first: its body is text, PostgreSQL would let it stand and fail when called.
-- pawl:phase contract
DROP TRIGGER files_sync_blob ON files;
DROP FUNCTION files_sync_blob();
DROP FUNCTION vault_usage(bigint);
ALTER TABLE files
    DROP COLUMN size_bytes,
    DROP COLUMN sha256;
