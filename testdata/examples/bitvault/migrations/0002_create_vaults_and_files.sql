CREATE TABLE vaults (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id    bigint NOT NULL REFERENCES users (id),
    name        text NOT NULL,
    quota_bytes bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner_id, name)
);

-- Content lives in an object store under storage_key, which is derived from the SHA-256:
-- files with the same content share one key.
CREATE TABLE files (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vault_id     bigint NOT NULL REFERENCES vaults (id),
    path         text NOT NULL,
    version      integer NOT NULL DEFAULT 1,
    storage_key  text NOT NULL,
    size_bytes   bigint NOT NULL CHECK (size_bytes >= 0),
    sha256       bytea NOT NULL,
    thumbnail_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz,
    UNIQUE (vault_id, path)
);

CREATE INDEX files_deleted_at_idx ON files (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE FUNCTION vault_usage(vault bigint) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
        SELECT coalesce(sum(size_bytes), 0)::bigint
        FROM files
        WHERE vault_id = vault AND deleted_at IS NULL
    $$;
