package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
)

// The exit codes are an interface: a Job's podFailurePolicy goes by them.
const (
	exitOK        = 0
	exitRefused   = 1
	exitUsage     = 2
	exitUnknown   = 3
	exitTransient = 4
	exitFailure   = 5
	// exitPipe is what a shell gives for a process that SIGPIPE ended.
	exitPipe = 141
)

// usageError is a command line or a configuration that cannot be right.
type usageError struct {
	message, hint string
}

func (e *usageError) Error() string { return e.message }

func exitCode(err error) int {
	var (
		silent      silentError
		interrupted interruptedError
		usage       *usageError
		config      *migrate.ConfigError
		file        *migrate.FileError
		refused     *migrate.RefusedError
		unfit       *migrate.UnfitError
		blocked     *migrate.BlockedError
		transient   *migrate.TransientError
		manifest    *evidence.ManifestError
		drift       *migrate.DriftUnknownError
	)
	switch {
	case errors.As(err, &silent):
		return silent.code
	case errors.As(err, &drift):
		return exitUnknown
	case readerGone(err):
		return exitPipe
	case errors.As(err, &interrupted):
		return 128 + int(interrupted.signal)
	case errors.As(err, &usage), errors.As(err, &config), errors.As(err, &manifest):
		return exitUsage
	case errors.As(err, &file):
		if file.Syntax {
			return exitFailure
		}
		return exitUsage
	case errors.As(err, &blocked):
		if blocked.Unknown {
			return exitUnknown
		}
		return exitRefused
	case errors.As(err, &refused), errors.As(err, &unfit):
		return exitRefused
	case errors.As(err, &transient):
		return exitTransient
	}
	return exitFailure
}

// readerGone reports whether who read the output has seen enough, as `head` does. A connection that breaks is something else.
func readerGone(err error) bool {
	var file *fs.PathError
	return errors.As(err, &file) && file.Op == "write" && errors.Is(file.Err, syscall.EPIPE)
}

// report prints an error for a person: the message, the place in the file with a caret, and what to do.
func (a *app) report(err error) {
	var silent silentError
	if errors.As(err, &silent) || readerGone(err) {
		return
	}
	lines := []string{"pawl: " + err.Error()}
	lines = append(lines, details(err)...)
	for i := range lines {
		lines[i] = redact(lines[i])
	}
	if a.logs() {
		a.logger().Error().Int("exit", exitCode(err)).Strs("detail", lines[1:]).Msg(redact(err.Error()))
		return
	}
	fmt.Fprintln(a.stderr, strings.Join(lines, "\n"))
}

func details(err error) []string {
	var lines []string
	add := func(text string) {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				lines = append(lines, "  "+line)
			}
		}
	}
	var (
		usage     *usageError
		config    *migrate.ConfigError
		file      *migrate.FileError
		statement *migrate.StatementError
		integrity *migrate.IntegrityError
		refused   *migrate.RefusedError
		unfit     *migrate.UnfitError
		transient *migrate.TransientError
		drift     *migrate.DriftUnknownError
	)
	if errors.As(err, &drift) {
		add(drift.Hint)
		return lines
	}
	switch {
	case errors.As(err, &statement):
		add(statement.Excerpt())
		add(statement.Hint())
		add(statement.Aftermath())
	case errors.As(err, &file):
		add(file.Excerpt())
		add(file.Hint)
	case errors.As(err, &integrity):
		add(integrity.Hint)
	case errors.As(err, &refused):
		add(refused.Hint)
	case errors.As(err, &unfit):
		add(unfit.Hint())
	case errors.As(err, &transient):
		add(transient.Hint)
	case errors.As(err, &config):
		add(config.Hint)
	case errors.As(err, &usage):
		add(usage.hint)
	}
	return lines
}
