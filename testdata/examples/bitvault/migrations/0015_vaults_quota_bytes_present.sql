-- Takes from writers: an INSERT that leaves quota_bytes out fails from here on.
-- Vaults that such a release made after the backfill need the backfill once more, or their next UPDATE fails.
-- pawl:phase contract
-- pawl:assert SELECT NOT EXISTS (SELECT FROM vaults WHERE quota_bytes IS NULL)
ALTER TABLE vaults
    ADD CONSTRAINT vaults_quota_bytes_present CHECK (quota_bytes IS NOT NULL) NOT VALID;
