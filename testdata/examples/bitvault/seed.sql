-- Data that r1 has left behind when r2 comes: 300 users, a vault for each, most without a quota, files of which some
-- share their content, shares and a log. Run between r1's and r2's migrations; the columns are those of r1.
INSERT INTO users (email, display_name, legacy_plan)
SELECT 'user' || n || '@example.com', 'User ' || n, (ARRAY['free', 'team', 'free', 'business'])[1 + n % 4]
FROM generate_series(1, 300) AS n;

INSERT INTO vaults (owner_id, name, quota_bytes)
SELECT id, 'home', CASE WHEN id % 5 = 0 THEN id * 1048576 + 52428800 END
FROM users;

-- Every seventh content is stored by several users.
INSERT INTO files (vault_id, path, storage_key, size_bytes, sha256, created_at, deleted_at)
SELECT vaults.id,
       'folder' || n % 3 || '/file' || n || CASE WHEN n % 2 = 0 THEN '.png' ELSE '.txt' END,
       'sha256/' || encode(content.sha256, 'hex'),
       1000 + content.number * 17 % 100000,
       content.sha256,
       now() - n * interval '9 days',
       CASE WHEN n = 5 THEN now() - vaults.id % 60 * interval '1 day' END
FROM vaults
CROSS JOIN generate_series(1, 6) AS n
CROSS JOIN LATERAL (
    SELECT number, sha256(convert_to('content ' || number, 'UTF8')) AS sha256
    FROM (SELECT CASE WHEN (vaults.id * 6 + n) % 7 = 0 THEN n ELSE vaults.id * 6 + n END) AS numbered (number)
) AS content;

INSERT INTO shares (token, file_id, created_by, permission, expires_at)
SELECT 'seed-' || files.id, files.id, vaults.owner_id, (ARRAY['read', 'write'])[1 + files.id % 2]::share_permission,
       now() + files.id % 20 * interval '12 hours'
FROM files
JOIN vaults ON vaults.id = files.vault_id
WHERE files.id % 9 = 0 AND files.deleted_at IS NULL;

INSERT INTO audit_log (at, actor_id, action, subject)
SELECT created_at, id, 'user_created'::audit_action, email FROM users
UNION ALL
SELECT files.created_at, vaults.owner_id, 'file_stored', files.path
FROM files
JOIN vaults ON vaults.id = files.vault_id;
