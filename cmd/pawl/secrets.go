package main

import (
	"regexp"

	"github.com/bitvault/pawl/internal/pattern"
)

// secrets find a password where a text repeats a URL, a connection string or a statement: in a URL behind the user, behind password=
// and its like, and behind PASSWORD in SQL. The second group is the secret.
var secrets = [...]func() *regexp.Regexp{
	pattern.Lazy(`(?i)(postgres(?:ql)?:/{0,2}[^\s:/@?]*:)([^\s@]*(?:@[^\s@]*)*)(@)`),
	pattern.Lazy(`(?i)((?:ssl)?pass(?:word|wd|file)?\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&'"]+)()`),
	pattern.Lazy(`(?i)(password\s+)(e?'(?:[^']|'')*'?)()`),
}

// redact takes passwords out of a message that may repeat what the user gave.
func redact(text string) string {
	for _, p := range secrets {
		text = p().ReplaceAllString(text, "${1}…${3}")
	}
	return text
}
