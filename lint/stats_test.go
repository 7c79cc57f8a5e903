package lint

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizedRulesExist(t *testing.T) {
	t.Parallel()
	for name := range sized {
		r, ok := Find(name)
		require.True(t, ok, name)
		require.NotEmpty(t, r.Kinds, "%s looks at no operation, so that no table's size can count", name)
		require.False(t, r.Contract, "%s is about code, whatever the size", name)
	}
}

func TestSizesInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		table TableStats
		want  string
		small bool
	}{
		{TableStats{Rows: 0, Bytes: 0}, "about 0 rows, 0 kB", true},
		{TableStats{Rows: 1, Bytes: 8192, IndexBytes: 8192}, "about 1 row, 16 kB", true},
		{TableStats{Rows: 10_000, Bytes: 10 << 20}, "about 10 thousand rows, 10 MB", true},
		{TableStats{Rows: 10_001, Bytes: 10 << 20}, "about 10 thousand rows, 10 MB", false},
		{TableStats{Rows: 400, Bytes: 10 << 20, IndexBytes: 8192}, "about 400 rows, 10 MB", false},
		{TableStats{Rows: 1_250_000, Bytes: 1288490188}, "about 1.2 million rows, 1.2 GB", false},
		{TableStats{Rows: 123_456_789_012, Bytes: 48 << 40}, "about 123 billion rows, 48 TB", false},
		{TableStats{Rows: -1, Bytes: 8192}, "8 kB", false},
	} {
		require.Equal(t, c.want, c.table.String())
		require.Equal(t, c.small, c.table.small(), c.want)
	}
}
