-- Contents stored before the trigger.
-- pawl:backfill table=files batch=1000
INSERT INTO blobs (storage_key, size_bytes, sha256, stored_at)
SELECT storage_key, size_bytes, sha256, created_at
FROM files
WHERE NOT EXISTS (SELECT FROM blobs WHERE blobs.storage_key = files.storage_key)
ON CONFLICT (storage_key) DO NOTHING;
