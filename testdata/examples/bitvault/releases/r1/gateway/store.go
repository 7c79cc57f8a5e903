package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// errTaken says that somebody else has this address.
var errTaken = errors.New("address is taken")

// store is all SQL that the gateway sends. A missing row is pgx.ErrNoRows.
type store struct {
	pool *pgxpool.Pool
}

type user struct {
	ID          int64     `json:"id"`
	Email       string    `json:"email"`
	DisplayName string    `json:"display_name"`
	Plan        string    `json:"plan"`
	CreatedAt   time.Time `json:"created_at"`
}

const userColumns = "users.id, users.email, users.display_name, users.legacy_plan, users.created_at"

func (s *store) ping(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "SELECT 1")
	return err
}

func (s *store) createUser(ctx context.Context, email, displayName, plan string) (user, error) {
	const insertUser = "INSERT INTO users (email, display_name, legacy_plan) VALUES ($1, $2, $3) " +
		"ON CONFLICT (email) DO NOTHING RETURNING " + userColumns

	var u user
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, insertUser, email, displayName, plan)
		if err != nil {
			return err
		}
		u, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[user])
		if errors.Is(err, pgx.ErrNoRows) {
			return errTaken
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit_log (actor_id, action, subject) VALUES ($1, 'user_created', $2)`, u.ID, email)
		return err
	})
	return u, taken(err)
}

func (s *store) user(ctx context.Context, id int64) (user, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+userColumns+" FROM users WHERE id = $1", id)
	if err != nil {
		return user{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[user])
}

func (s *store) changeEmail(ctx context.Context, id int64, email string) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE users SET email = $2 WHERE id = $1", id, email)
		if err != nil {
			return taken(err)
		}
		if tag.RowsAffected() == 0 {
			return pgx.ErrNoRows
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit_log (actor_id, action, subject) VALUES ($1, 'email_changed', $2)`, id, email)
		return err
	})
}

// createSession opens a session for whoever has the address; proving that is the identity provider's part.
func (s *store) createSession(ctx context.Context, tokenHash []byte, email string) error {
	tag, err := s.pool.Exec(ctx, `
		INSERT INTO sessions (token_hash, user_id, expires_at)
		SELECT $1, id, now() + interval '12 hours' FROM users WHERE email = $2`, tokenHash, email)
	if err == nil && tag.RowsAffected() == 0 {
		return pgx.ErrNoRows
	}
	return err
}

func (s *store) sessionUser(ctx context.Context, tokenHash []byte) (user, error) {
	const bySession = "SELECT " + userColumns +
		" FROM sessions JOIN users ON users.id = sessions.user_id" +
		" WHERE sessions.token_hash = $1 AND sessions.expires_at > now()"
	rows, err := s.pool.Query(ctx, bySession, tokenHash)
	if err != nil {
		return user{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[user])
}

func (s *store) endSession(ctx context.Context, tokenHash []byte) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM sessions WHERE token_hash = $1", tokenHash)
	return err
}

type share struct {
	Token      string    `json:"token"`
	FileID     int64     `json:"file_id"`
	Permission string    `json:"permission"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// createShare shares a file of the user's own.
func (s *store) createShare(ctx context.Context, owner int64, sh share) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO shares (token, file_id, created_by, permission, expires_at)
			SELECT $1, files.id, vaults.owner_id, $4::share_permission, $5
			FROM files JOIN vaults ON vaults.id = files.vault_id
			WHERE files.id = $2 AND vaults.owner_id = $3 AND files.deleted_at IS NULL`,
			sh.Token, sh.FileID, owner, sh.Permission, sh.ExpiresAt)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return pgx.ErrNoRows
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit_log (actor_id, action, subject) VALUES ($1, 'share_created', $2)`, owner, sh.Token)
		return err
	})
}

func (s *store) shares(ctx context.Context, owner int64) ([]share, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT token, file_id, permission::text, expires_at
		FROM shares WHERE created_by = $1 AND expires_at > now() ORDER BY expires_at`, owner)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[share])
}

func (s *store) endShare(ctx context.Context, owner int64, token string) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM shares WHERE token = $1 AND created_by = $2", token, owner)
	return err
}

type sharedFile struct {
	Path       string `json:"path"`
	SizeBytes  int64  `json:"size_bytes"`
	StorageKey string `json:"storage_key"`
	Permission string `json:"permission"`
	SharedBy   string `json:"shared_by"`
}

func (s *store) openShare(ctx context.Context, token string) (sharedFile, error) {
	var f sharedFile
	err := s.pool.QueryRow(ctx, `
		SELECT files.path, files.size_bytes, files.storage_key, shares.permission::text, users.email
		FROM shares
		JOIN files ON files.id = shares.file_id
		JOIN users ON users.id = shares.created_by
		WHERE shares.token = $1 AND shares.expires_at > now() AND files.deleted_at IS NULL`, token).
		Scan(&f.Path, &f.SizeBytes, &f.StorageKey, &f.Permission, &f.SharedBy)
	return f, err
}

// taken turns a unique violation into errTaken and leaves every other error as it is.
func taken(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "23505" {
		return errTaken
	}
	return err
}
