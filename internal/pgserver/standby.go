package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby starts a streaming replica of the server, which takes queries but no
// writes. It ends with this server, or by its own Stop.
//
// It copies the data directory between the two calls of the low-level backup
// interface (manual, "Making a Base Backup Using the Low Level API") instead of
// running pg_basebackup, which the fetched binaries do not include.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	if s.local == nil {
		return nil, errNotOurs("copied")
	}
	replica, err := prepareLocal(s.local.bin, Options{
		Dir: filepath.Dir(s.local.dir), Password: s.local.password, Settings: s.local.settings,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare a standby: %w", err)
	}
	standby := &Server{Major: s.Major, Version: s.Version, Origin: s.Origin, local: replica}
	if err := s.copyTo(ctx, replica); err != nil {
		return nil, errors.Join(fmt.Errorf("copy the server to a standby: %w", err), standby.Stop())
	}
	if err := replica.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the standby: %w", err), standby.Stop())
	}
	standby.admin = replica.url()
	if err := s.awaitStandby(ctx, slotName(replica)); err != nil {
		return nil, errors.Join(err, standby.Stop())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standbys = append(s.standbys, standby)
	return standby, nil
}

func (s *Server) copyTo(ctx context.Context, replica *local) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	// PostgreSQL 15 renamed the functions and dropped the exclusive mode.
	begin, end := `select pg_backup_start('standby', fast => true)::text`, `select labelfile from pg_backup_stop(wait_for_archive => false)`
	if s.Major < 15 {
		begin, end = `select pg_start_backup('standby', true, false)::text`, `select labelfile from pg_stop_backup(false, false)`
	}
	slot := slotName(replica)
	if _, err := conn.Exec(ctx, `select pg_create_physical_replication_slot($1, true)`, slot); err != nil {
		return fmt.Errorf("make a replication slot: %w", err)
	}
	var ignored, label string
	if err := conn.QueryRow(ctx, begin).Scan(&ignored); err != nil {
		return fmt.Errorf("begin the backup: %w", err)
	}
	if err := copyTree(s.local.data(), replica.data(), replica.owner, skipInBackup); err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, end).Scan(&label); err != nil {
		return fmt.Errorf("end the backup: %w", err)
	}
	replica.settings["primary_conninfo"] = s.replicationInfo()
	replica.settings["primary_slot_name"] = slot
	for name, content := range map[string]string{"backup_label": label, "standby.signal": ""} {
		path := filepath.Join(replica.data(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := replica.owner.give(path); err != nil {
			return err
		}
	}
	return nil
}

// replicationInfo is the libpq connection string by which a standby follows.
func (s *Server) replicationInfo() string {
	config, err := pgx.ParseConfig(s.admin)
	if err != nil {
		return "" // every connection so far was made with it
	}
	info := fmt.Sprintf("host=%s port=%d user=%s sslmode=disable", config.Host, config.Port, config.User)
	if config.Password != "" {
		info += " password='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(config.Password) + "'"
	}
	return info
}

// awaitStandby waits until the replica follows the log as it is written.
func (s *Server) awaitStandby(ctx context.Context, slot string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var streams bool
		err := conn.QueryRow(ctx, `select exists (
			select from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid
			where s.slot_name = $1 and r.state = 'streaming')`, slot).Scan(&streams)
		if err != nil {
			return fmt.Errorf("wait for the standby to stream: %w", err)
		}
		if streams {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the standby to stream: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func slotName(replica *local) string {
	return strings.ReplaceAll(filepath.Base(replica.dir), "-", "_")
}

// skipInBackup names what the manual says a base backup leaves out, by its
// path in the data directory. A directory of these is made, but empty.
func skipInBackup(path string) bool {
	switch path {
	case "postmaster.pid", "postmaster.opts", "backup_label":
		return true
	}
	switch filepath.Dir(path) {
	case "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans":
		return true
	case "pg_wal":
		return filepath.Base(path) != "archive_status"
	case "pg_wal/archive_status":
		return true
	}
	return strings.HasPrefix(filepath.Base(path), "pgsql_tmp")
}

// copyTree copies a data directory whose files may change or vanish meanwhile,
// which the log makes good.
func copyTree(from, to string, owner *account, skip func(path string) bool) error {
	return filepath.WalkDir(from, func(source string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("copy the data directory: %w", err)
		}
		relative, err := filepath.Rel(from, source)
		if err != nil {
			return fmt.Errorf("copy the data directory: %w", err)
		}
		target := filepath.Join(to, relative)
		switch {
		case skip(relative) && entry.IsDir():
			return filepath.SkipDir
		case skip(relative):
			return nil
		case entry.IsDir():
			if err := os.Mkdir(target, 0o700); err != nil {
				return fmt.Errorf("copy the data directory: %w", err)
			}
		case entry.Type().IsRegular():
			content, err := os.ReadFile(source)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("copy the data directory: %w", err)
			}
			if err := os.WriteFile(target, content, 0o600); err != nil {
				return fmt.Errorf("copy the data directory: %w", err)
			}
		default:
			return nil
		}
		return owner.give(target)
	})
}
