// Package migrations holds pawl's own ledger schema as forward-only pawl migrations.
package migrations

import "embed"

// FS holds the ledger's migrations; their versions are the versions of the ledger.
//
//go:embed *.sql
var FS embed.FS

// Newest is the version of the newest ledger migration in FS, and so the newest ledger that this pawl knows.
const Newest = 6
