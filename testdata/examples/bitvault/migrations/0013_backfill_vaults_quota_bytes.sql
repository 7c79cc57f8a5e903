-- No quota has meant the standard one of 10 GiB; from the next release on every vault states its own.
-- pawl:backfill table=vaults batch=1000
UPDATE vaults
SET quota_bytes = 10737418240
WHERE quota_bytes IS NULL;
