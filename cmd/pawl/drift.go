package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/migrate"
)

// showDrift compares the database with what its migrations give. Where names the throwaway server; empty takes the ledger's snapshot
// of a database that was taken over, or else an embedded server.
func (a *app) showDrift(ctx context.Context, m *migrate.Migrator, where string) error {
	o := migrate.DriftOptions{FromSnapshot: where == ""}
	if where == "" {
		where = "embedded"
	}
	o.Shadow = func(ctx context.Context, needs migrate.ShadowNeeds) (*migrate.Shadow, error) {
		return driftShadow(ctx, where, needs)
	}
	d, err := m.Drift(ctx, o)
	if err != nil {
		return err
	}
	if a.json() {
		type line struct {
			Change string `json:"change"`
			Line   string `json:"line"`
		}
		out := struct {
			Version     int      `json:"version"`
			Database    string   `json:"database"`
			Against     string   `json:"against"`
			Drifted     bool     `json:"drifted"`
			Differences []line   `json:"differences"`
			Notes       []string `json:"notes"`
		}{1, d.Database, d.Against, len(d.Differences) > 0, []line{}, append([]string{}, d.Notes...)}
		for _, x := range d.Differences {
			change := "missing"
			if x.Added {
				change = "extra"
			}
			out.Differences = append(out.Differences, line{change, x.Line})
		}
		if err := writeJSON(a.stdout, out); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "database %s against %s\n", d.Database, d.Against)
		for _, x := range d.Differences {
			fmt.Fprintln(a.stdout, x)
		}
		for _, n := range d.Notes {
			fmt.Fprintf(a.stdout, "note: %s\n", n)
		}
		if len(d.Differences) == 0 {
			fmt.Fprintln(a.stdout, "no drift")
		} else {
			fmt.Fprintf(a.stdout, "differences: %d (+ is in the database alone, - is what it lacks)\n", len(d.Differences))
		}
	}
	if len(d.Differences) > 0 {
		return silentError{exitFailure}
	}
	return nil
}

// driftShadow makes an empty database; on a server of pawl's own with the roles that the real one has.
func driftShadow(ctx context.Context, where string, needs migrate.ShadowNeeds) (*migrate.Shadow, error) {
	config, stop, err := shadowDatabase(ctx, where, needs.Major)
	if err != nil {
		return nil, err
	}
	s := &migrate.Shadow{Config: config, Close: stop}
	if where != "embedded" {
		return s, nil
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the shadow: %w", err), stop())
	}
	for _, role := range slices.DeleteFunc(needs.Roles, func(r string) bool { return r == config.User }) {
		kind := ""
		if role == needs.Owner {
			// It may do here what somebody did for it there, such as making extensions.
			kind = " superuser"
		}
		if _, err := conn.Exec(ctx, "create role "+pgx.Identifier{role}.Sanitize()+kind); err != nil {
			return nil, errors.Join(fmt.Errorf("make role %q on the shadow: %w", role, err), conn.Close(ctx), stop())
		}
	}
	s.Roles = true
	if err := conn.Close(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("close the connection to the shadow: %w", err), stop())
	}
	return s, nil
}
