// Package integration holds the tests that need a real PostgreSQL: what pawl promises of its runs, counted and measured
// on the server.
package integration
