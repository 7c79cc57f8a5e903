-- The worker asks which blobs no file names any more.
CREATE INDEX CONCURRENTLY files_storage_key_idx ON files (storage_key);
