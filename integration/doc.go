// Package integration holds the tests of pawl as a whole against real servers:
// PostgreSQL 14 to 18, a Kubernetes API, Argo CD's engine. It has no code of
// its own beside them.
package integration
