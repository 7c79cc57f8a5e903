package migrate

import (
	"fmt"
	"path"
	"slices"
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
