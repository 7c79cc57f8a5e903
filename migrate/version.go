package migrate

import (
	"cmp"
	"strings"
)

// Version is a migration's number in canonical form: digits without leading zeros, dots between parts where the
// source layout has them. Versions order by number, part by part, however many digits they have. A repeatable migration's
// version is R__NAME@SUM, with the beginning of its text's checksum: each text of it is a migration of its own. It comes
// after all numbers.
type Version string

// ParseVersion gives the canonical form of the digits of a file name; ok is false for anything that is not a version.
func ParseVersion(text string) (v Version, ok bool) {
	parts := strings.Split(text, ".")
	for i, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return "", false
		}
		p = strings.TrimLeft(p, "0")
		if p == "" {
			p = "0"
		}
		parts[i] = p
	}
	return Version(strings.Join(parts, ".")), true
}

const repeatablePrefix = "R__"

// repeatableVersion gives the version of one text of a repeatable migration.
func repeatableVersion(title, sum string) Version {
	return Version(repeatablePrefix + title + "@" + short(sum))
}

// Repeatable reports whether the version is that of a migration which runs again whenever its text changes.
func (v Version) Repeatable() bool { return strings.HasPrefix(string(v), repeatablePrefix) }

// Compare orders two canonical versions.
func (v Version) Compare(other Version) int {
	switch {
	case v.Repeatable() && other.Repeatable():
		return strings.Compare(string(v), string(other))
	case v.Repeatable():
		return 1
	case other.Repeatable():
		return -1
	}
	a, b := strings.Split(string(v), "."), strings.Split(string(other), ".")
	for i := range min(len(a), len(b)) {
		if c := cmp.Or(cmp.Compare(len(a[i]), len(b[i])), strings.Compare(a[i], b[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}
