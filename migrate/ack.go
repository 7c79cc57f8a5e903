package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// Acknowledge records that a person answers for a consumer not needing an object: for lasts from now, or until a.Until
// where lasts is zero. It gives the acknowledgement as it was stored.
func (m *Migrator) Acknowledge(ctx context.Context, a gate.Acknowledgement, lasts time.Duration, who evidence.Person) (gate.Acknowledgement, error) {
	err := m.registry(ctx, "ack", func(s *session) error {
		var err error
		a, err = evidence.Acknowledge(ctx, s.conn, a, lasts, who, m.opts.PawlVersion)
		switch {
		case errors.Is(err, evidence.ErrUnknownRelease):
			name := a.Consumer
			if a.Release != "" {
				name += "@" + a.Release
			}
			return &RefusedError{
				Message: fmt.Sprintf("nothing is registered as %s, so there is nothing to answer for", name),
				Hint:    "see `pawl release list` for consumers and releases",
			}
		case errors.Is(err, evidence.ErrPast):
			return &ConfigError{Message: "the acknowledgement would have ended before it began, by the database's clock", Hint: "give a later --until"}
		}
		return classify(ctx, "record the acknowledgement", err)
	})
	return a, err
}

// RevokeAcknowledgement takes an acknowledgement back, for a reason that is recorded.
func (m *Migrator) RevokeAcknowledgement(ctx context.Context, id int64, reason string, who evidence.Person) error {
	return m.registry(ctx, "ack", func(s *session) error {
		err := evidence.Revoke(ctx, s.conn, id, reason, who, m.opts.PawlVersion)
		if errors.Is(err, evidence.ErrUnknownAcknowledgement) {
			return &RefusedError{
				Message: fmt.Sprintf("there is no acknowledgement %d that still stands", id),
				Hint:    "see `pawl ack list`",
			}
		}
		return classify(ctx, "take the acknowledgement back", err)
	})
}

// Acknowledgements gives those that nobody has taken back, and the database's time, by which they expire.
func (m *Migrator) Acknowledgements(ctx context.Context) (list []gate.Acknowledgement, now time.Time, err error) {
	err = m.reading(ctx, func(s *session, _ *Ledger) error {
		if list, _, err = evidence.Acknowledgements(ctx, s.conn); err != nil {
			return classify(ctx, "read the acknowledgements", err)
		}
		return classify(ctx, "ask for the time", s.conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&now))
	})
	return list, now, err
}

// reading runs f on a session that only reads, if the database has a ledger. A standby will do.
func (m *Migrator) reading(ctx context.Context, f func(*session, *Ledger) error) error {
	s, err := m.dial(ctx, false)
	if err != nil {
		return err
	}
	defer s.close()
	if !s.hasLedger {
		return nil
	}
	l, err := s.ledger(ctx)
	if err != nil {
		return err
	}
	return f(s, l)
}
