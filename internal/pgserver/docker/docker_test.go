package docker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestImageName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "postgres:16", imageName("", 16))
	require.Equal(t, "localhost:5000/pg:15", imageName("localhost:5000/pg", 15))
	require.Equal(t, "localhost:5000/pg:edge", imageName("localhost:5000/pg:edge", 15))
	require.Equal(t, "pg@sha256:0123", imageName("pg@sha256:0123", 15))
}

func TestCommandIsInOrder(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"postgres", "-c", "a=1", "-c", "b=2"}, command(map[string]string{"b": "2", "a": "1"}))
}
