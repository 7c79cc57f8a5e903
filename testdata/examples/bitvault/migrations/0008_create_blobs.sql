-- What belongs to the content, not to its name, moves from files to a table of its own: one row per content.
-- stored_at is when it was last uploaded, so that the garbage collector leaves alone what is just being named.
CREATE TABLE blobs (
    storage_key text PRIMARY KEY,
    size_bytes  bigint NOT NULL CHECK (size_bytes >= 0),
    sha256      bytea NOT NULL,
    stored_at   timestamptz NOT NULL DEFAULT now()
);

-- A release that writes files.size_bytes and files.sha256 makes the blob by it; one that writes the blob first and
-- names only its key gets the old columns filled in. A key stands for one content, so the blob that exists is right.
CREATE FUNCTION files_sync_blob() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF NEW.size_bytes IS NOT NULL AND NEW.sha256 IS NOT NULL THEN
            INSERT INTO blobs (storage_key, size_bytes, sha256)
            VALUES (NEW.storage_key, NEW.size_bytes, NEW.sha256)
            ON CONFLICT (storage_key) DO UPDATE SET stored_at = now();
        END IF;
        SELECT size_bytes, sha256 INTO NEW.size_bytes, NEW.sha256
        FROM blobs
        WHERE storage_key = NEW.storage_key;
        RETURN NEW;
    END
    $$;

CREATE TRIGGER files_sync_blob
    BEFORE INSERT OR UPDATE OF storage_key, size_bytes, sha256 ON files
    FOR EACH ROW EXECUTE FUNCTION files_sync_blob();
