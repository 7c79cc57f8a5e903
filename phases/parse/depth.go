package parse

import (
	"strings"
	"unicode/utf8"

	"github.com/pganalyze/pg_query_go/v5/parser"

	pg "github.com/pganalyze/pg_query_go/v5"
)

const (
	// maxDepth bounds how deep expressions and queries may be nested. The parser's C code walks its tree by recursion
	// and has no check of its own: some ten thousand levels overflow a thread's stack, which ends the process. The
	// server gives up in the same region (max_stack_depth).
	maxDepth = 3000
	// maxCommentDepth bounds comments inside comments, which cost the parser's scanner the square of their number.
	maxCommentDepth = 500
	// shallow is the length of text below which maxDepth cannot be reached: a level takes two bytes at least.
	shallow = 2 * maxCommentDepth

	deepMessage = "nested too deeply to be read"
)

// parseTree is the only way into the parser.
func parseTree(text string) (*pg.ParseResult, error) {
	if len(text) > shallow {
		if at := tooDeep(text); at >= 0 {
			return nil, &parser.Error{Message: deepMessage, Cursorpos: utf8.RuneCountInString(text[:at]) + 1}
		}
	}
	return pg.Parse(text)
}

// tooDeep gives the place where a text is nested more deeply than the parser can bear, or -1. Parentheses nest, and so
// does every operator, cast, join and set operation in a row, because each takes what stands before it as its operand;
// AND, OR and commas do not, they make lists.
func tooDeep(text string) int {
	if nestedComments(text) >= 0 {
		return nestedComments(text)
	}
	s := scanner{src: text}
	var levels []int
	chain, sum := 0, 0
	for {
		t := s.nextCode()
		if t.kind == tokenEOF {
			return -1
		}
		if sum+chain+len(levels) > maxDepth {
			return t.start
		}
		switch t.kind {
		case tokenSymbol:
			switch b := text[t.start]; b {
			case '(', '[':
				levels = append(levels, chain)
				sum += chain
				chain = 0
			case ')', ']':
				if n := len(levels); n > 0 {
					chain = levels[n-1]
					sum -= chain
					levels = levels[:n-1]
				}
			case ',':
				chain = 0
			case ';':
				levels, chain, sum = levels[:0], 0, 0
			case '.':
			default:
				chain++
			}
		case tokenWord:
			chain = chained(text[t.start:t.end], chain)
		}
	}
}

// chained counts the words that take what stands before them as an operand, and starts anew at those that make lists.
func chained(word string, chain int) int {
	if len(word) < 2 || len(word) > 9 {
		return chain
	}
	switch strings.ToLower(word) {
	case "and", "or":
		return 0
	case "not", "is", "in", "like", "ilike", "similar", "between", "collate", "at", "isnull", "notnull", "operator",
		"union", "intersect", "except", "join", "case", "when", "then", "else":
		return chain + 1
	case "end":
		return max(chain-1, 0)
	default:
		return chain
	}
}

// nestedComments gives the place where comments are nested too deeply, or -1.
func nestedComments(text string) int {
	if strings.Count(text, "/*") <= maxCommentDepth {
		return -1
	}
	depth := 0
	for i := 0; i+1 < len(text); i++ {
		switch {
		case text[i] == '/' && text[i+1] == '*':
			depth++
			i++
			if depth > maxCommentDepth {
				return i
			}
		case text[i] == '*' && text[i+1] == '/':
			depth = max(depth-1, 0)
			i++
		}
	}
	return -1
}
