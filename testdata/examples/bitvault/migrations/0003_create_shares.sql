CREATE TYPE share_permission AS ENUM ('read', 'write');

CREATE TABLE shares (
    token       text PRIMARY KEY,
    file_id     bigint NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    created_by  bigint NOT NULL REFERENCES users (id),
    permission  share_permission NOT NULL DEFAULT 'read',
    expires_at  timestamptz NOT NULL,
    notified_at timestamptz
);

CREATE INDEX shares_file_id_idx ON shares (file_id);
CREATE INDEX shares_created_by_idx ON shares (created_by);
CREATE INDEX shares_expires_at_idx ON shares (expires_at);
