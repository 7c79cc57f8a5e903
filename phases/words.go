package phases

import (
	"slices"
	"strings"
)

// longestWord is how much of a word counts, which is as much as PostgreSQL keeps of a name (NAMEDATALEN).
const longestWord = 63

// Words lists the words of a statement's text that may be of a name, sorted, in lower case as far as ASCII goes: runs of
// letters, digits, _ and $, wherever they stand. A text that may write a name otherwise, by escapes or in several strings,
// has the word * as well. The function pawl.words of the ledger is the same.
func Words(text string) []string {
	words := strings.FieldsFunc(asciiLower(text), notPlain)
	for i, w := range words {
		words[i] = w[:min(len(w), longestWord)]
	}
	if disguised(text) {
		words = append(words, "*")
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// Word gives a word that every text has which spells out the name; empty for a name without any.
func Word(name string) string {
	longest := ""
	for _, w := range strings.FieldsFunc(asciiLower(name), notPlain) {
		if len(w) > len(longest) {
			longest = w
		}
	}
	return longest[:min(len(longest), longestWord)]
}

func notPlain(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '$'
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// disguised reports whether a text has escapes, or strings that a line break joins.
func disguised(text string) bool {
	if strings.Contains(text, `\`) || strings.Contains(asciiLower(text), "u&") {
		return true
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "'")
		if !found {
			return false
		}
		trimmed := strings.TrimLeft(after, " \t\r\n\f\v")
		if strings.HasPrefix(trimmed, "'") && strings.ContainsAny(after[:len(after)-len(trimmed)], "\r\n") {
			return true
		}
		rest = after
	}
}
