-- PostgreSQL takes the validated check as proof and reads no rows; then the check has done its work.
ALTER TABLE vaults ALTER COLUMN quota_bytes SET NOT NULL;
ALTER TABLE vaults DROP CONSTRAINT vaults_quota_bytes_present;
