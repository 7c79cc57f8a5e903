-- The readers' side of the split: what asked files for sizes asks these.
-- vault_usage stays as it is for the releases that call it.
CREATE FUNCTION vault_used_bytes(vault bigint) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
        SELECT coalesce(sum(blobs.size_bytes), 0)::bigint
        FROM files
        JOIN blobs USING (storage_key)
        WHERE files.vault_id = vault AND files.deleted_at IS NULL
    $$;

CREATE VIEW shared_files AS
SELECT shares.token,
       shares.permission,
       shares.expires_at,
       files.id AS file_id,
       files.path,
       files.storage_key,
       blobs.size_bytes,
       users.email_address AS shared_by
FROM shares
JOIN files ON files.id = shares.file_id
JOIN blobs ON blobs.storage_key = files.storage_key
JOIN users ON users.id = shares.created_by
WHERE files.deleted_at IS NULL;
