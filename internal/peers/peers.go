// Package peers builds other migration tools from the Go module proxy, for tests and benchmarks that put pawl beside
// them or take a database over from them. They are the tools' own programs, as their users run them.
package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Tool is one program. Versions are pinned, so that a comparison means the same everywhere.
type Tool struct {
	// Name is what the program is called.
	Name string
	// Package and Version are what `go install` takes; Tags leave out drivers for other databases.
	Package, Version, Tags string
}

// Goose reads NNNN_name.sql files with `-- +goose Up` in them: goose -dir DIR postgres URL up.
func Goose() Tool {
	return Tool{
		Name: "goose", Package: "github.com/pressly/goose/v3/cmd/goose", Version: "v3.30.1",
		Tags: "no_clickhouse,no_libsql,no_mssql,no_mysql,no_sqlite3,no_vertica,no_ydb",
	}
}

// GolangMigrate reads NNNN_name.up.sql files: migrate -path DIR -database pgx5://… up.
func GolangMigrate() Tool {
	return Tool{Name: "migrate", Package: "github.com/golang-migrate/migrate/v4/cmd/migrate", Version: "v4.20.1", Tags: "pgx5"}
}

// Tern reads NNN_name.sql files, numbered without a gap: tern migrate -m DIR --conn-string URL.
func Tern() Tool { return Tool{Name: "tern", Package: "github.com/jackc/tern/v2", Version: "v2.3.4"} }

// All are the tools in the order in which tables show them.
func All() []Tool { return []Tool{Goose(), GolangMigrate(), Tern()} }

// Build gives the path of a tool's program. It is built once and kept in the user's cache directory.
func (t Tool) Build(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a directory to build %s in: %w", t.Name, err)
	}
	dir := filepath.Join(cache, "pawl", "peers")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a directory to build %s in: %w", t.Name, err)
	}
	target := filepath.Join(dir, t.Name+"-"+t.Version)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	// Whoever builds at the same time builds the same, and the last one's file stays.
	scratch, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", fmt.Errorf("make a directory to build %s in: %w", t.Name, err)
	}
	defer os.RemoveAll(scratch)
	build := exec.CommandContext(ctx, "go", "install", "-tags", t.Tags, t.Package+"@"+t.Version) //nolint:gosec // constants
	build.Env = append(os.Environ(), "GOBIN="+scratch, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build %s %s: %w", t.Name, t.Version, err), errors.New(strings.TrimSpace(string(out))))
	}
	if err := os.Rename(filepath.Join(scratch, t.program()), target); err != nil {
		return "", fmt.Errorf("keep %s: %w", t.Name, err)
	}
	return target, nil
}

// program is what `go install` calls the binary: the last element of the path that is no version.
func (t Tool) program() string {
	name := path.Base(t.Package)
	if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(t.Package))
	}
	return name
}

// File gives the name and the text of one migration as the tool reads it. Number counts from 1.
func (t Tool) File(number int, name, up string) (file, text string) {
	switch t.Name {
	case "goose":
		return fmt.Sprintf("%04d_%s.sql", number, name), "-- +goose Up\n" + up + "\n"
	case "migrate":
		return fmt.Sprintf("%04d_%s.up.sql", number, name), up + "\n"
	}
	return fmt.Sprintf("%04d_%s.sql", number, name), up + "\n"
}

// Up gives the command that applies the files of a directory to the database of a postgres:// URL.
func (t Tool) Up(ctx context.Context, program, dir, url string) *exec.Cmd {
	switch t.Name {
	case "goose":
		return exec.CommandContext(ctx, program, "-dir", dir, "postgres", url, "up")
	case "migrate":
		return exec.CommandContext(ctx, program, "-path", dir, "-database", "pgx5://"+strings.TrimPrefix(url, "postgres://"), "up")
	}
	return exec.CommandContext(ctx, program, "migrate", "-m", dir, "--conn-string", url)
}
