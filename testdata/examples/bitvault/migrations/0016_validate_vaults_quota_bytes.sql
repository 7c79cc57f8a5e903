-- Reads the whole table, under a lock that stops neither reads nor writes.
ALTER TABLE vaults VALIDATE CONSTRAINT vaults_quota_bytes_present;
