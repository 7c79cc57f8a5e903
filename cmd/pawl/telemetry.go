package main

import (
	"context"
	"fmt"

	"github.com/bitvault/pawl/internal/telemetry"
)

// measure begins the spans and metrics of a run, where the environment asks for any. It is called by what works on a database, so that
// nothing else pays for it.
func (a *app) measure() error {
	if a.span != nil {
		return nil
	}
	yes, problem := telemetry.Wanted(a.env)
	if problem != "" {
		a.telemetryProblem(problem)
	}
	if !yes {
		return nil
	}
	var err error
	a.telemetry, err = telemetry.Start(context.Background(), a.env, pawlVersion(), func(err error) { a.telemetryProblem(err.Error()) })
	if err != nil {
		return &usageError{message: err.Error(), hint: "see the OTEL_ variables in the environment"}
	}
	a.span = a.telemetry.Begin(nil, a.command, "")
	return nil
}

// telemetryProblem tells what could not be sent. It keeps nothing from working.
func (a *app) telemetryProblem(text string) {
	if a.logs() {
		a.logger().Warn().Str("problem", text).Msg("telemetry not sent")
		return
	}
	fmt.Fprintf(a.stderr, "note: telemetry not sent: %s\n", text)
}

// finish ends the run's span and sends what is left.
func (a *app) finish(err error) {
	code := exitOK
	if err != nil {
		code = exitCode(err)
	}
	a.span.End(code, err)
	if err := a.telemetry.Close(); err != nil {
		a.telemetryProblem(err.Error())
	}
}
