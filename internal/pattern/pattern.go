// Package pattern has regular expressions that are compiled when they are first asked for: most runs use few of them, and a run that
// has nothing to do would spend a tenth of its time on the others.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy gives a function for the compiled expression. That panics where the expression cannot be compiled.
func Lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
