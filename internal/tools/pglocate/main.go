// Command pglocate prints where a PostgreSQL server for tests would come from,
// one line for each major version given (none: any version), fetching what can
// be fetched. It fails, saying what to install, if one of them is not to be had.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"

	"github.com/bitvault/pawl/internal/pgserver"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	majors := []int{0}
	if len(args) > 0 {
		majors = nil
	}
	for _, arg := range args {
		major, err := strconv.Atoi(arg)
		if err != nil {
			return fmt.Errorf("%q is not a major version of PostgreSQL", arg)
		}
		majors = append(majors, major)
	}
	var missing []error
	for _, major := range majors {
		origin, found, err := pgserver.Locate(ctx, pgserver.Options{Major: major})
		if err != nil {
			missing = append(missing, err)
			continue
		}
		fmt.Printf("PostgreSQL %d: %s\n", found, origin)
	}
	return errors.Join(missing...)
}
