package phases_test

import (
	"flag"
	"os"
	"testing"

	"github.com/bitvault/pawl/phases"
	"github.com/stretchr/testify/require"
)

//go:generate go test -run ^TestDocument$ . -args -update

var update = flag.Bool("update", false, "write generated files anew")

func TestDocument(t *testing.T) {
	const path = "../docs/operations.md"
	want := phases.Document()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "docs/operations.md is stale: go generate ./phases/...")
}
