package lint

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// longestFingerprinted is how much of a place's text goes into its fingerprint, which is enough to tell places apart.
const longestFingerprinted = 4096

// Fingerprint gives 32 hex digits that stay the same while the rule finds the same text at a place of the file, wherever it moves
// and however its white space changes. Text is that of the file; the path goes in with slashes. Two findings of one rule on the same
// text in one file have the same fingerprint.
func (f *Finding) Fingerprint(text string) string {
	sum := sha256.New()
	sum.Write([]byte(f.Rule + "\x00" + strings.ReplaceAll(f.Path, `\`, "/") + "\x00"))
	start, end := min(f.Span.Start.Offset, len(text)), min(f.Span.End.Offset, len(text))
	if start < end {
		for word := range strings.FieldsSeq(text[start:min(end, start+longestFingerprinted)]) {
			sum.Write([]byte(word + " "))
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
