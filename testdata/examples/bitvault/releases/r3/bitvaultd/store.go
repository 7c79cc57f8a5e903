package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// errFull says that a file does not fit into its vault's quota.
var errFull = errors.New("quota is used up")

// defaultQuota is what a vault may hold unless its owner says otherwise.
const defaultQuota = 10 << 30

// store is all SQL that bitvaultd sends. A missing row is pgx.ErrNoRows.
type store struct {
	pool *pgxpool.Pool
}

type vault struct {
	ID         int64  `json:"id"`
	OwnerID    int64  `json:"owner_id"`
	Name       string `json:"name"`
	QuotaBytes int64  `json:"quota_bytes"`
	UsedBytes  int64  `json:"used_bytes"`
}

type file struct {
	ID         int64     `json:"id"`
	Path       string    `json:"path"`
	Version    int32     `json:"version"`
	StorageKey string    `json:"storage_key"`
	SizeBytes  int64     `json:"size_bytes"`
	SHA256     []byte    `json:"sha256"`
	CreatedAt  time.Time `json:"created_at"`
}

const (
	fileColumns = "files.id, files.path, files.version, files.storage_key, blobs.size_bytes, blobs.sha256, files.created_at"
	storedFiles = "files JOIN blobs USING (storage_key)"
)

// The texts with parts in common. A vault made by an older release may have no quota of its own.
var (
	selectVault = fmt.Sprintf("SELECT id, owner_id, name, coalesce(quota_bytes, %d), vault_used_bytes(id) FROM vaults WHERE id = $1", int64(defaultQuota))
	selectFile  = fmt.Sprintf("SELECT %s FROM %s WHERE vault_id = $1 AND path = $2 AND deleted_at IS NULL", fileColumns, storedFiles)
)

func (s *store) ping(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "SELECT 1")
	return err
}

func (s *store) createVault(ctx context.Context, owner int64, name string, quota int64) (vault, error) {
	v := vault{OwnerID: owner, Name: name, QuotaBytes: quota}
	err := s.pool.QueryRow(ctx, "INSERT INTO vaults (owner_id, name, quota_bytes) VALUES ($1, $2, $3) RETURNING id",
		owner, name, quota).Scan(&v.ID)
	return v, err
}

func (s *store) vault(ctx context.Context, id int64) (vault, error) {
	rows, err := s.pool.Query(ctx, selectVault, id)
	if err != nil {
		return vault{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[vault])
}

func (s *store) setQuota(ctx context.Context, id int64, quota int64) error {
	tag, err := s.pool.Exec(ctx, "UPDATE vaults SET quota_bytes = $2 WHERE id = $1", id, quota)
	if err == nil && tag.RowsAffected() == 0 {
		return pgx.ErrNoRows
	}
	return err
}

// putFile stores what is known of an uploaded content under a path, as the next version if the path is taken.
func (s *store) putFile(ctx context.Context, vaultID int64, f file) (file, error) {
	// A content that is there already is stored again, or the garbage collector might take it first.
	const upsertBlob = `
		INSERT INTO blobs (storage_key, size_bytes, sha256)
		VALUES ($1, $2, $3)
		ON CONFLICT (storage_key) DO UPDATE SET stored_at = now()`
	const upsertFile = `
		INSERT INTO files (vault_id, path, storage_key)
		VALUES ($1, $2, $3)
		ON CONFLICT (vault_id, path) DO UPDATE SET
			storage_key = excluded.storage_key,
			version = files.version + 1,
			thumbnail_at = NULL,
			deleted_at = NULL
		RETURNING id, version, created_at`

	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var free int64
		// The row lock makes uploads into one vault take turns: together they must not pass the quota.
		err := tx.QueryRow(ctx, "SELECT coalesce(quota_bytes, $2) - vault_used_bytes(id) FROM vaults WHERE id = $1 FOR UPDATE",
			vaultID, int64(defaultQuota)).Scan(&free)
		if err != nil {
			return err
		}
		if f.SizeBytes > free {
			return errFull
		}
		if _, err := tx.Exec(ctx, upsertBlob, f.StorageKey, f.SizeBytes, f.SHA256); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, upsertFile, vaultID, f.Path, f.StorageKey).Scan(&f.ID, &f.Version, &f.CreatedAt)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertAudit, vaultID, "file_stored", f.Path)
		return err
	})
	return f, err
}

// insertAudit logs what happened to a file on behalf of its vault's owner.
const insertAudit = "INSERT INTO audit_log (actor_id, action, subject)" +
	" SELECT owner_id, $2::audit_action, $3 FROM vaults WHERE id = $1"

func (s *store) file(ctx context.Context, vaultID int64, path string) (file, error) {
	rows, err := s.pool.Query(ctx, selectFile, vaultID, path)
	if err != nil {
		return file{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[file])
}

// files lists a vault, by path or with the largest files first.
func (s *store) files(ctx context.Context, vaultID int64, largest bool) ([]file, error) {
	list := "SELECT " + fileColumns + " FROM " + storedFiles + " WHERE vault_id = $1 AND deleted_at IS NULL ORDER BY path"
	if largest {
		list = "SELECT " + fileColumns + " FROM " + storedFiles + " WHERE vault_id = $1 AND deleted_at IS NULL ORDER BY size_bytes DESC, path"
	}
	rows, err := s.pool.Query(ctx, list, vaultID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[file])
}

// deleteFile only marks the file; the worker removes it when nobody can want it back.
func (s *store) deleteFile(ctx context.Context, vaultID int64, path string) error {
	var batch pgx.Batch
	batch.Queue("UPDATE files SET deleted_at = now() WHERE vault_id = $1 AND path = $2 AND deleted_at IS NULL", vaultID, path)
	batch.Queue("DELETE FROM shares USING files WHERE files.id = shares.file_id AND files.vault_id = $1 AND files.path = $2", vaultID, path)
	batch.Queue(insertAudit, vaultID, "file_deleted", path)
	return s.pool.SendBatch(ctx, &batch).Close()
}

// restoreFile brings back a file that was deleted and that the worker has not removed yet.
func (s *store) restoreFile(ctx context.Context, vaultID int64, path string) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE files SET deleted_at = NULL
			WHERE vault_id = $1 AND path = $2 AND deleted_at IS NOT NULL`, vaultID, path)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return pgx.ErrNoRows
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO audit_log (actor_id, action, subject)
			SELECT owner_id, 'file_restored', $2 FROM vaults WHERE id = $1`, vaultID, path)
		return err
	})
}

// moveFile gives a file another path in its vault; a file that has that path already stays.
func (s *store) moveFile(ctx context.Context, vaultID int64, from, to string) error {
	const free = "NOT EXISTS (SELECT FROM files AS other WHERE other.vault_id = $1 AND other.path = $3)"
	tag, err := s.pool.Exec(ctx,
		fmt.Sprintf("UPDATE files SET path = $3 WHERE vault_id = $1 AND path = $2 AND deleted_at IS NULL AND %s", free),
		vaultID, from, to)
	if err == nil && tag.RowsAffected() == 0 {
		return pgx.ErrNoRows
	}
	return err
}
