package migrate

import (
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
)

// checkAtlas compares the rows with the files. A sum is of all files that stood before its own when it was applied: all that are here, or,
// where some came later, those that were applied no later or that a baseline stands for.
func (h *history) checkAtlas(m *Migrator, byVersion map[Version]*Migration, squashed []Version) {
	if h.tool.name != "atlas" {
		return
	}
	applied, base := map[string]historyRow{}, ""
	for _, r := range h.rows {
		if r.upTo || slices.Contains(squashed, r.version) {
			base = max(base, r.label)
		}
		if f := byVersion[r.version]; f != nil {
			applied[f.Name] = r
		}
	}
	slices.SortStableFunc(h.rows, func(a, b historyRow) int { return strings.Compare(a.label, b.label) })
	texts := atlasTexts(m.files)
	now := map[string]string{}
	for _, one := range atlasHashes(texts) {
		now[one.name] = one.hash
	}
	// From the first file on that is not the same, and where files were taken away, nothing can be told of the sums that follow.
	open := false
	for i, r := range h.rows {
		f := byVersion[r.version]
		if f == nil {
			open = open || !r.upTo && !slices.Contains(squashed, r.version)
			continue
		}
		later := func(t atlasText) bool {
			other, ok := applied[t.name]
			label, _, _ := strings.Cut(strings.TrimSuffix(t.name, ".sql"), "_")
			return t.name > f.Name || ok && other.at.After(r.at) || !ok && label > base
		}
		switch state := &h.rows[i].state; {
		case r.sum == "":
			*state = ChecksumNone
		case now[f.Name] == r.sum, lastHash(atlasHashes(slices.DeleteFunc(slices.Clone(texts), later))) == r.sum:
			*state = ChecksumVerified
		case open:
			*state = ChecksumUnread
		default:
			*state, open = ChecksumChanged, true
		}
	}
}

func lastHash(list []atlasHash) string {
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1].hash
}

// atlasHash is one line of atlas.sum: the sum is of all names and texts up to this file's.
type atlasHash struct{ name, hash string }

var atlasIgnored = pattern.Lazy(`(?m)\A(?:--[^\n]*\n)*?--\s*atlas:sum\s+ignore\b`)

// atlasText is a file of the directory.
type atlasText struct {
	name string
	text []byte
}

// atlasTexts reads the files that atlas.sum is of, in its order.
func atlasTexts(fsys fs.FS) []atlasText {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil
	}
	var list []atlasText
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil
		}
		list = append(list, atlasText{name, text})
	}
	return list
}

func atlasHashes(texts []atlasText) []atlasHash {
	var list []atlasHash
	sum := sha256.New()
	for _, t := range texts {
		_, _ = sum.Write([]byte(t.name))
		if atlasIgnored().Match(t.text) {
			continue
		}
		_, _ = sum.Write(t.text)
		list = append(list, atlasHash{t.name, base64.StdEncoding.EncodeToString(sum.Sum(nil))})
	}
	return list
}

// atlasCheckpoints names the files that are checkpoints.
func atlasCheckpoints(fsys fs.FS) []string {
	var list []string
	for _, t := range atlasTexts(fsys) {
		if checkpoint(t.text) {
			list = append(list, t.name)
		}
	}
	return list
}

// checkAtlasSum gives the first file that is not as atlas.sum has it; empty where all are, or where there is no atlas.sum.
func checkAtlasSum(fsys fs.FS) string {
	text, err := fs.ReadFile(fsys, "atlas.sum")
	if err != nil {
		return ""
	}
	kept := map[string]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		if i := strings.LastIndex(line, " h1:"); i > 0 {
			kept[line[:i]] = line[i+len(" h1:"):]
		}
	}
	for _, f := range atlasHashes(atlasTexts(fsys)) {
		// What is new since needs no line; it shows in the sums of all that stand behind it.
		if hash, listed := kept[f.name]; listed && hash != f.hash {
			return f.name
		}
		delete(kept, f.name)
	}
	for name := range kept {
		return name
	}
	return ""
}
