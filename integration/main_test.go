package integration

import (
	"testing"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgserver/docker"
	"github.com/bitvault/pawl/internal/pgtest"
)

func TestMain(m *testing.M) {
	pgtest.MainWith(m, pgserver.Options{Container: docker.Start})
}
