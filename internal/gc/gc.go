// Package gc sets how much garbage a run may leave before the first collection. It depends on next to nothing, so that it is initialized
// before the packages whose initialization would bring that collection about.
package gc

import (
	"os"
	"runtime/debug"
)

// Most runs end before 16 MB were ever used; collecting at 4 MB takes a third of the time of one that has nothing to do.
var _ = func() int {
	const percent = 400 // of the 4 MB that the runtime begins with
	if os.Getenv("GOGC") != "" {
		return 0
	}
	return debug.SetGCPercent(percent)
}()
