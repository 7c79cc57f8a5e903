package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/peers"
	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
)

// contender is a program that applies a directory of migrations.
type contender struct {
	name string
	dir  string
	up   func(url string) *exec.Cmd

	messages, transactions int64
	wall                   []time.Duration
	noopCPU, noopWall      []time.Duration
	noopMemory             []int64
}

// contenders are pawl and the other tools, each with the same migrations in a directory of its own.
func contenders(t testing.TB, ups []string) []*contender {
	t.Helper()
	pawl := goBuild(t, "./cmd/pawl")
	dir := t.TempDir()
	for i, up := range ups {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d_step.sql", i+1)), []byte(up+"\n"), 0o600))
	}
	list := []*contender{{name: "pawl", dir: dir, up: func(url string) *exec.Cmd {
		return exec.Command(pawl, "--dir", dir, "--database-url", url, "migrate")
	}}}
	for _, tool := range peers.All() {
		program, err := tool.Build(t.Context())
		require.NoError(t, err)
		dir := peerFiles(t, tool, ups...)
		list = append(list, &contender{name: tool.Name, dir: dir, up: func(url string) *exec.Cmd {
			return tool.Up(context.Background(), program, dir, url)
		}})
	}
	return list
}

// goBuild builds a program of this repository as it is shipped.
func goBuild(t testing.TB, pkg string) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), filepath.Base(pkg))
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", target, pkg)
	build.Dir = ".."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return target
}

// BenchmarkRunner puts pawl beside goose, golang-migrate and tern: a thousand migrations, and a run that finds nothing
// to do. Messages and transactions are counted, times and memory are the best of several runs by turns.
func BenchmarkRunner(b *testing.B) {
	const count, repeats, idle = 1000, 3, 15
	ups := make([]string, count)
	for i := range ups {
		ups[i] = fmt.Sprintf("create table t%04d (id bigint primary key, name text not null);", i+1)
	}
	list := contenders(b, ups)
	measure := goBuild(b, "./internal/tools/measure")
	for b.Loop() {
		server := pgtest.Private(b, pgserver.Options{Settings: map[string]string{"autovacuum": "off"}})
		fresh := func(name string) *pgtest.DB {
			url, err := server.CreateDatabase(b.Context(), name, "")
			require.NoError(b, err)
			return &pgtest.DB{Name: name, URL: url, Server: server}
		}
		for i, c := range list {
			db := fresh(fmt.Sprintf("counted_%d", i))
			proxy, err := pgproxy.Start(db.URL)
			require.NoError(b, err)
			before := transactionsOf(b, db, 0)
			out, err := c.up(proxy.URL()).CombinedOutput()
			require.NoError(b, err, "%s: %s", c.name, out)
			c.messages, c.transactions = proxy.Messages(), transactionsOf(b, db, before+count/50)-before
			proxy.Close()
		}
		var done []*pgtest.DB
		for r := range repeats {
			for i, c := range list {
				db := fresh(fmt.Sprintf("timed_%d_%d", r, i))
				done = append(done, db)
				start := time.Now()
				out, err := c.up(db.URL).CombinedOutput()
				require.NoError(b, err, "%s: %s", c.name, out)
				c.wall = append(c.wall, time.Since(start))
			}
		}
		for range idle {
			for i, c := range list {
				cmd := c.up(done[i].URL)
				cmd.Args = append([]string{measure, cmd.Path}, cmd.Args[1:]...)
				cmd.Path = measure
				out, err := cmd.CombinedOutput()
				require.NoError(b, err, "%s: %s", c.name, out)
				var cpu, wall, memory int64
				_, err = fmt.Sscanf(string(out[bytes.LastIndex(out, []byte("measured ")):]), "measured %d %d %d", &cpu, &wall, &memory)
				require.NoError(b, err, "%s", out)
				c.noopCPU = append(c.noopCPU, time.Duration(cpu)*time.Microsecond)
				c.noopWall = append(c.noopWall, time.Duration(wall)*time.Microsecond)
				c.noopMemory = append(c.noopMemory, memory)
			}
		}
	}
	fmt.Printf("\n%-10s %14s %14s %10s   nothing to do: %10s %10s %10s\n", "1000 files", "messages/file", "transact./file", "wall", "CPU", "wall", "memory")
	for _, c := range list {
		fmt.Printf("%-10s %14.2f %14.2f %10s                  %10s %10s %7.1f MB\n", c.name, float64(c.messages)/count, float64(c.transactions)/count,
			slices.Min(c.wall).Round(10*time.Millisecond), median(c.noopCPU).Round(100*time.Microsecond), median(c.noopWall).Round(100*time.Microsecond),
			float64(median(c.noopMemory))/1024)
	}
}

func median[T int64 | time.Duration](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
