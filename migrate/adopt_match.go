package migrate

import (
	"fmt"
	"path"
	"slices"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/layout"
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
		gone, err := h.changesets(files)
		if err != nil {
			return err
		}
		if gone != "" && !o.AcceptChanged {
			return &IntegrityError{
				Message: gone,
				Hint:    "restore the files as they were applied; --accept-changed takes them over as they are, and records that",
			}
		}
		a.Notes = append(a.Notes, h.notes...)
	}
	byVersion := map[Version]*Migration{}
	for _, f := range files {
		byVersion[f.Version] = f
	}
	var changed []string
	squashed := a.checkpoints(h, m)
	h.checkAtlas(m, byVersion, squashed)
	var upTo []historyRow
	for _, row := range h.rows {
		if row.upTo || slices.Contains(squashed, row.version) {
			// What has a row of its own is taken from that.
			upTo = append(upTo, row)
			continue
		}
		d := Adopted{Version: row.version, Name: row.name, Origin: h.tool.name, At: row.at, By: row.by, Checksum: ChecksumNone}
		f := byVersion[row.version]
		switch {
		case row.version == "" && !row.repeat:
			// Prisma takes any name. Its file has one with a number here.
			if f = h.unnumbered(files, row); f == nil {
				a.Notes = append(a.Notes, fmt.Sprintf("%s has applied %q, which has no number and no file of the same text here: it is left out", h.tool.name, row.name))
				continue
			}
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
				if !row.allowed {
					changed = append(changed, f.Name)
				}
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
		upTo = append(upTo, historyRow{version: h.upTo, name: string(h.upTo)})
	}
	for _, row := range upTo {
		a.upTo(row, h, files)
	}
	a.noteOrder(h, files)
	a.noteParts(h)
	if len(changed) > 0 && !o.AcceptChanged {
		return &IntegrityError{
			Message: fmt.Sprintf("%s is not what %s applied: the checksum in %s is another", few(changed), h.tool.name, a.Table),
			Hint:    "restore the files as they were applied; if only the text differs and not what it does, --accept-changed takes them over as they are, and records that",
		}
	}
	return nil
}

// checkpoints are the versions of Atlas' files that stand for all that was before: a database that was made from one has no rows of those.
func (a *Adoption) checkpoints(h *history, m *Migrator) []Version {
	if h.tool.name != "atlas" {
		return nil
	}
	var list []Version
	for _, name := range atlasCheckpoints(m.files) {
		if n, ok := layout.ParseName(name); ok {
			v, _ := ParseVersion(n.Version)
			list = append(list, v)
		}
	}
	return list
}

// upTo takes all files up to a version as applied. Where the version has no file, it is recorded all the same.
func (a *Adoption) upTo(row historyRow, h *history, files []*Migration) {
	has := false
	for _, f := range files {
		has = has || f.Version == row.version
		later := f.Version.Compare(row.version) > 0
		if h.byText {
			later = f.Label > row.label
		}
		if f.Version.Repeatable() || later || slices.ContainsFunc(a.Adopted, func(d Adopted) bool { return d.Version == f.Version }) {
			continue
		}
		a.Adopted = append(a.Adopted, Adopted{Version: f.Version, Name: f.Name, Migration: f, Origin: h.tool.name, At: row.at, By: row.by, Checksum: ChecksumNone, assumed: true})
	}
	if !has {
		a.Adopted = append(a.Adopted, Adopted{Version: row.version, Name: cmpOr(row.name, string(row.version)), Origin: h.tool.name, At: row.at, By: row.by, Checksum: ChecksumNone})
	}
}

// noteOrder tells of files that the tool takes in another order: dbmate and Atlas compare versions as text.
func (a *Adoption) noteOrder(h *history, files []*Migration) {
	for i := range len(files) - 1 {
		if h.byText && files[i].Label > files[i+1].Label {
			a.Notes = append(a.Notes, fmt.Sprintf("%s orders versions as text, and pawl as numbers: %s stands before %s", h.tool.name, files[i].Name, files[i+1].Name))
			return
		}
	}
}

var dbmateUp = pattern.Lazy(`(?m)^--\s*migrate:up\b`)

// noteParts tells of files of which dbmate has run the first part alone: it records the version with that, and fails at the next.
func (a *Adoption) noteParts(h *history) {
	var names []string
	for _, d := range a.Adopted {
		if h.tool.name == "dbmate" && d.Migration != nil && len(dbmateUp().FindAllIndex(d.Migration.src, 2)) > 1 {
			names = append(names, d.Name)
		}
	}
	if len(names) > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("%s has several parts that lead forward: dbmate records the version with the first and fails at the next, so look whether the rest is there", few(names)))
	}
}

// unnumbered finds the file of a row that has no number: by what stands behind the file's, or as the one that has the row's checksum.
func (h *history) unnumbered(files []*Migration, row historyRow) *Migration {
	var same []*Migration
	for _, f := range files {
		switch n, _ := layout.ParseDir(path.Dir(f.Name)); {
		case f.Program, slices.ContainsFunc(h.rows, func(r historyRow) bool { return r.version == f.Version }):
		case n.Title == row.name:
			return f
		case h.verify(f, row) == ChecksumVerified:
			same = append(same, f)
		}
	}
	if len(same) == 1 {
		return same[0]
	}
	return nil
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
