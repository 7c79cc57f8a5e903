package migrate

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/layout"
)

// changesets puts the changesets of Liquibase's files together: a file is applied once all of its changesets are. What stands in no
// file here keeps rows of its own. Gone says of a file that it lost changesets since they were applied.
func (h *history) changesets(files []*Migration) (gone string, err error) {
	var rows []historyRow
	used := map[int]bool{}
	var again []string
	owner := map[string]string{}
	for _, f := range files {
		if f.Program {
			continue
		}
		sets := layout.Changesets(f.src)
		if whole := wholeFile(f); sets == nil || h.rowOf(f, whole, liquibaseSums(whole), used) >= 0 {
			// Some versions know the header in lower case alone, and take the file as it is otherwise.
			sets = []layout.Changeset{whole}
		}
		var done, missing []string
		var row historyRow
		sum := map[ChecksumState]int{}
		refused := 0
		for _, set := range sets {
			sums := liquibaseSums(set)
			i := h.rowOf(f, set, sums, used)
			if i < 0 {
				if !set.Elsewhere {
					missing = append(missing, set.Author+":"+set.ID)
				}
				continue
			}
			used[i] = true
			done = append(done, set.ID)
			row = h.rows[i]
			owner[row.file] = f.Name
			state := verifyLiquibase(set, sums, row.sum)
			sum[state]++
			if state == ChecksumChanged && !allows(set, row.sum) {
				refused++
			}
			if set.Again && !slices.Contains(again, f.Name) {
				again = append(again, f.Name)
			}
		}
		if len(done) == 0 {
			continue
		}
		if len(missing) > 0 {
			return "", &RefusedError{
				Message: fmt.Sprintf("of %s Liquibase has applied some changesets and not %s", f.Path, few(missing)),
				Hint:    "let Liquibase apply the rest, or put it into a file of its own (elsewhere, where it is of a context that this database is not to have); adopt then",
			}
		}
		row.version, row.name, row.allowed = f.Version, f.Name, refused == 0
		switch {
		case sum[ChecksumChanged] > 0:
			row.state = ChecksumChanged
		case sum[ChecksumVerified] == len(done):
			row.state = ChecksumVerified
		case sum[ChecksumNone] == len(done):
			row.state = ChecksumNone
		default:
			row.state = ChecksumUnread
		}
		rows = append(rows, row)
	}
	alone, unnamed := 0, false
	for i, r := range h.rows {
		if used[i] {
			continue
		}
		if name := owner[r.file]; name != "" && gone == "" {
			gone = fmt.Sprintf("Liquibase has applied %s:%s of %s, which is no longer there", r.author, r.id, name)
		}
		unnamed = unnamed || r.description == "sqlFile"
		alone++
		r.file = ""
		rows = append(rows, r)
	}
	h.rows, h.notes = rows, nil
	if alone > 0 {
		h.notes = append(h.notes, fmt.Sprintf(aloneNote, alone))
	}
	if unnamed {
		h.notes = append(h.notes, "some changesets run an SQL file (sqlFile), and this version of Liquibase does not keep which: take files that were run so as applied with --baseline VERSION")
	}
	if len(again) > 0 {
		h.notes = append(h.notes, fmt.Sprintf("%s has changesets that Liquibase runs again (runOnChange, runAlways): pawl runs a file once, so write what comes next into a file of its own", few(again)))
	}
	return gone, nil
}

const aloneNote = "%d changesets stand in no SQL file here, so nothing is compared: they are recorded as applied under versions before all files. Give the first " +
	"file of this directory what `pg_dump --schema-only` writes, and take it as applied with --baseline VERSION, so that an empty database can be made from the files"

// wholeFile is a file that Liquibase does not take for formatted SQL: one changeset, by names that it gives it.
func wholeFile(f *Migration) layout.Changeset {
	one := layout.Changeset{Author: "includeAll", ID: "raw", Parameters: bytes.Contains(f.src, []byte("${"))}
	text := strings.TrimFunc(string(f.src), func(r rune) bool { return r <= ' ' || r == '\ufeff' })
	for _, r := range []layout.Reading{{Split: true}, {Split: true, Strip: true}, {}, {Strip: true}} {
		r.SQL, r.Delimiter = text, "null"
		one.Readings = append(one.Readings, r)
	}
	return one
}

// rowOf finds the row of a changeset, -1 where there is none: by its path as well as by its names, or, should the file be named
// otherwise now, by its checksum.
func (h *history) rowOf(f *Migration, set layout.Changeset, sums []string, used map[int]bool) int {
	found, renamed := -1, []int{}
	for i, r := range h.rows {
		if used[i] {
			continue
		}
		same := slices.Contains(sums, r.sum)
		named := set.Named(r.author, r.id)
		switch {
		case named && (path.Base(r.file) == path.Base(f.Name) || set.Path != "" && cleanPath(r.file) == cleanPath(set.Path)), set.ID == "raw" && runs(r, f):
			if same {
				return i
			}
			if found < 0 {
				found = i
			}
		case named && same:
			renamed = append(renamed, i)
		}
	}
	if found < 0 && len(renamed) == 1 {
		return renamed[0]
	}
	return found
}

func cleanPath(p string) string {
	return strings.TrimPrefix(path.Clean(strings.TrimPrefix(p, "classpath:")), "/")
}

var sqlFile = pattern.Lazy(`^sqlFile (?:.*, )?path=([^,;]+)(?:,[^;]*)?$`)

// runs reports whether a row is of a changeset that runs the file and nothing else.
func runs(r historyRow, f *Migration) bool {
	m := sqlFile().FindStringSubmatch(r.description)
	return m != nil && path.Base(m[1]) == path.Base(f.Name)
}

// allows reports whether the file says that what was applied is as good as what it has.
func allows(set layout.Changeset, sum string) bool {
	return slices.ContainsFunc(set.Valid, func(v string) bool { return v == sum || strings.EqualFold(v, "any") || strings.EqualFold(v, "1:any") })
}
