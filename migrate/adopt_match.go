package migrate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
)

// before gives the version under which a migration of another tool that is no SQL file is recorded: before those of all files.
func before(v Version) Version { return "0." + v }

// match finds the files of a tool's history, and compares their checksums.
func (a *Adoption) match(h *history, m *Migrator, files []*Migration, o AdoptOptions) error {
	if h.tool.name == "atlas" {
		if name := checkAtlasSum(m.files); name != "" && !o.AcceptChanged {
			return &IntegrityError{
				Path: m.opts.Root + "/atlas.sum", Message: fmt.Sprintf("%s is not as this file has it", name),
				Hint: "restore the files as they were applied; `atlas migrate validate` says the same. --accept-changed takes them over as they are",
			}
		}
	}
	if h.tool.name == "liquibase" {
		if err := h.byFile(files); err != nil {
			return err
		}
	}
	byVersion := map[Version]*Migration{}
	for _, f := range files {
		byVersion[f.Version] = f
	}
	var changed []string
	for _, row := range h.rows {
		if row.upTo {
			a.upTo(row.version, h.tool.name, files, row)
			continue
		}
		d := Adopted{Version: row.version, Name: row.name, Origin: h.tool.name, At: row.at, By: row.by, Checksum: ChecksumNone}
		f := byVersion[row.version]
		switch {
		case row.repeat:
			f = repeated(files, row.name)
		case h.tool.programs && row.file == "":
			f, d.Version = nil, before(row.version)
		}
		if f != nil {
			d.Version, d.Name, d.Migration = f.Version, f.Name, f
			if h.verify != nil && !f.Program {
				d.Checksum = h.verify(f, row)
			}
			if d.Checksum == ChecksumChanged {
				if row.repeat {
					// It runs again, as its own tool would have it.
					continue
				}
				changed = append(changed, f.Name)
			}
		} else if row.repeat {
			continue
		}
		if d.Name == "" {
			d.Name = string(row.version)
		}
		a.Adopted = append(a.Adopted, d)
	}
	if h.upTo != "" && h.upTo != "0" {
		a.upTo(h.upTo, h.tool.name, files, historyRow{name: string(h.upTo)})
	}
	if len(changed) > 0 && !o.AcceptChanged {
		return &IntegrityError{
			Message: fmt.Sprintf("%s is not what %s applied: the checksum in %s is another", few(changed), h.tool.name, a.Table),
			Hint:    "restore the files as they were applied; if only the text differs and not what it does, --accept-changed takes them over as they are, and records that",
		}
	}
	return nil
}

// upTo takes all files up to a version as applied. Where the version has no file, it is recorded all the same.
func (a *Adoption) upTo(v Version, tool string, files []*Migration, row historyRow) {
	has := false
	for _, f := range files {
		if f.Version.Repeatable() || f.Version.Compare(v) > 0 || slices.ContainsFunc(a.Adopted, func(d Adopted) bool { return d.Version == f.Version }) {
			has = has || f.Version == v
			continue
		}
		has = has || f.Version == v
		a.Adopted = append(a.Adopted, Adopted{Version: f.Version, Name: f.Name, Migration: f, Origin: tool, At: row.at, By: row.by, Checksum: ChecksumNone})
	}
	if !has {
		a.Adopted = append(a.Adopted, Adopted{Version: v, Name: cmpOr(row.name, string(v)), Origin: tool, At: row.at, By: row.by, Checksum: ChecksumNone})
	}
}

// repeated finds a repeatable migration by the script that Flyway ran.
func repeated(files []*Migration, script string) *Migration {
	for _, f := range files {
		if f.Version.Repeatable() && path.Base(f.Name) == path.Base(script) {
			return f
		}
	}
	return nil
}

var changeset = pattern.Lazy(`(?mi)^--\s*changeset\s+([^:\s]+):(\S+)`)

// byFile puts the changesets of Liquibase's formatted SQL files together: a file is applied once all of its changesets are. The
// changesets of other files keep rows of their own.
func (h *history) byFile(files []*Migration) error {
	var rows []historyRow
	used := map[int]bool{}
	for _, f := range files {
		sets := changeset().FindAllStringSubmatch(string(f.src), -1)
		var done []historyRow
		var missing []string
		for _, set := range sets {
			i := slices.IndexFunc(h.rows, func(r historyRow) bool {
				return path.Base(r.file) == path.Base(f.Name) && strings.HasSuffix(r.name, "::"+set[2]+"::"+set[1])
			})
			if i < 0 {
				missing = append(missing, set[1]+":"+set[2])
				continue
			}
			used[i] = true
			done = append(done, h.rows[i])
		}
		switch {
		case len(done) == 0:
		case len(missing) > 0:
			return &RefusedError{
				Message: fmt.Sprintf("of %s Liquibase has applied some changesets and not %s", f.Path, few(missing)),
				Hint:    "let Liquibase apply the rest, or put it into a file of its own; adopt then",
			}
		default:
			last := done[len(done)-1]
			last.version, last.name = f.Version, f.Name
			rows = append(rows, last)
		}
	}
	for i, r := range h.rows {
		if !used[i] {
			r.file = ""
			rows = append(rows, r)
		}
	}
	h.rows = rows
	return nil
}
