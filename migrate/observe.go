package migrate

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/bitvault/pawl/phases/evidence"
)

// Explains makes, from all that the ledger knows a consumer to send, what tells whether a text is explained by it.
type Explains func(*evidence.Manifest) func(text string) bool

// Observe takes a snapshot of pg_stat_statements into the ledger, and compares what consumers' roles sent with their
// manifests. Roles of Options are recorded first.
func (m *Migrator) Observe(ctx context.Context, explains Explains) (*evidence.Observation, error) {
	var o *evidence.Observation
	err := m.registry(ctx, "observe", func(s *session) error {
		if err := m.recordRoles(ctx, s); err != nil {
			return err
		}
		roles, err := evidence.ConsumerRoles(ctx, s.conn)
		if err != nil {
			return classify(ctx, "read the consumers' roles", err)
		}
		by := map[string]func(string) bool{}
		for _, consumer := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(roles))...)))) {
			manifest, err := evidence.StoredManifest(ctx, s.conn, consumer)
			if err != nil {
				return classify(ctx, "read the manifests", err)
			}
			by[consumer] = explains(manifest)
		}
		o, err = evidence.Observe(ctx, s.conn, roles, func(consumers []string, text string) bool {
			return slices.ContainsFunc(consumers, func(c string) bool { return by[c](text) })
		}, m.opts.PawlVersion)
		if errors.Is(err, evidence.ErrNotObservable) {
			return &ConfigError{
				Message: "pg_stat_statements is not installed in this database",
				Hint:    "put it into shared_preload_libraries, restart, and run `create extension pg_stat_statements`",
			}
		}
		return classify(ctx, "observe", err)
	})
	return o, err
}

// recordRoles adds the roles that the options name to those the ledger knows.
func (m *Migrator) recordRoles(ctx context.Context, s *session) error {
	for _, consumer := range slices.Sorted(maps.Keys(m.opts.Roles)) {
		if len(m.opts.Roles[consumer]) == 0 {
			continue
		}
		if err := evidence.AddRoles(ctx, s.conn, consumer, m.opts.Roles[consumer], m.opts.PawlVersion); err != nil {
			return classify(ctx, "record the consumers' roles", err)
		}
	}
	return nil
}

// SetRoles says under which login roles a consumer connects, in place of what was known.
func (m *Migrator) SetRoles(ctx context.Context, consumer string, roles []string) error {
	return m.registry(ctx, "release", func(s *session) error {
		return classify(ctx, "record the consumer's roles", evidence.SetRoles(ctx, s.conn, consumer, roles, m.opts.PawlVersion))
	})
}

// Roles gives for each login role that is known the consumers that connect under it.
func (m *Migrator) Roles(ctx context.Context) (map[string][]string, error) {
	var roles map[string][]string
	err := m.reading(ctx, func(s *session, _ *Ledger) error {
		var err error
		roles, err = evidence.ConsumerRoles(ctx, s.conn)
		return classify(ctx, "read the consumers' roles", err)
	})
	return roles, err
}
