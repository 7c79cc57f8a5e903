// Package phases holds pawl's vocabulary and its facts about PostgreSQL: what each kind of operation means for code
// that is already deployed (Phase), what it does to traffic while it runs (Effect), and what it takes from code
// (Take). It imports the standard library only, builds without cgo, does no I/O and keeps no state.
package phases
