package layout

import (
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
)

// Name is what a file's name says of a migration.
type Name struct {
	// Tool is the tool that names files so; empty where several do.
	Tool string
	// Version is as the name writes it, with dots between its parts; empty for a repeatable migration.
	Version string
	// Title is what stands behind the version.
	Title string
	// Down is true for a file that undoes another: x.down.sql, diesel's down.sql, Flyway's U12__x.sql.
	Down bool
	// Repeatable is true for Flyway's R__x.sql, which runs again whenever its text changes.
	Repeatable bool
	// Baseline is true for Flyway's B12__x.sql, which stands for everything up to its version.
	Baseline bool
}

var (
	flywayName = pattern.Lazy(`^([VUB])(\d+(?:[._]\d+)*)__(.*)\.sql$`)
	repeatable = pattern.Lazy(`^R__(.+)\.sql$`)
	// prismaName is that of a directory which holds one migration.sql.
	prismaName = pattern.Lazy(`^(\d+)_(.+)$`)
	goProgram  = pattern.Lazy(`^(\d+)_(.+)\.go$`)
)

// ParseName reads the name of a file; ok is false where it is not that of a migration.
func ParseName(base string) (n Name, ok bool) {
	if n, ok := numbered(base); ok {
		return n, true
	}
	if m := flywayName().FindStringSubmatch(base); m != nil {
		return Name{
			Tool: "flyway", Version: strings.ReplaceAll(m[2], "_", "."), Title: m[3], Down: m[1] == "U", Baseline: m[1] == "B",
		}, true
	}
	if m := repeatable().FindStringSubmatch(base); m != nil {
		return Name{Tool: "flyway", Title: m[1], Repeatable: true}, true
	}
	if strings.HasSuffix(base, ".down.sql") || base == "down.sql" {
		return Name{Down: true}, true
	}
	return Name{}, false
}

// numbered reads 0042_what_it_does.sql, with .up or .down before the end, and Atlas' 0042.sql: by hand, for a run that has nothing to do spends a tenth of its
// time on a thousand names otherwise.
func numbered(base string) (n Name, ok bool) {
	rest := strings.TrimLeft(base, "0123456789")
	title, ok := strings.CutSuffix(rest, ".sql")
	if !ok || len(rest) == len(base) {
		return Name{}, false
	}
	if title == "" {
		return Name{Version: base[:len(base)-len(rest)]}, true
	}
	if len(title) < len("_x") || title[0] != '_' {
		return Name{}, false
	}
	n = Name{Version: base[:len(base)-len(rest)], Title: title[1:]}
	for _, way := range []string{".up", ".down"} {
		if t, ok := strings.CutSuffix(n.Title, way); ok && t != "" {
			n.Title, n.Down = t, way == ".down"
			break
		}
	}
	return n, true
}

// ParseDir reads the name of a directory that holds one migration, as Prisma has them.
func ParseDir(base string) (n Name, ok bool) {
	if m := prismaName().FindStringSubmatch(base); m != nil {
		return Name{Tool: "prisma", Version: m[1], Title: m[2]}, true
	}
	return Name{}, false
}

// ParseProgram reads the name of a migration that is a Go program, as goose has them.
func ParseProgram(base string) (n Name, ok bool) {
	if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
		return Name{}, false
	}
	if m := goProgram().FindStringSubmatch(base); m != nil {
		return Name{Tool: "goose", Version: m[1], Title: m[2]}, true
	}
	return Name{}, false
}
