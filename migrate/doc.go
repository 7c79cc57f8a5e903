// Package migrate is the runner: it reads migration files, plans what is to be done, asks the gate about contracts and
// applies the rest, one transaction and about one message per file. All state is in the ledger, pawl's own tables in
// schema pawl of the target database.
//
// The runner holds one session that does everything. Whatever it changes commits together with the record of it, so
// that a process which dies at any moment leaves a ledger that tells the truth.
package migrate
