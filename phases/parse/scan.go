package parse

import (
	"strings"
	"unicode/utf8"
)

// tokenKind tells apart what PostgreSQL's own scanner (src/backend/parser/scan.l) tells apart, as far as pawl needs it.
type tokenKind uint8

const (
	tokenEOF tokenKind = iota
	tokenWord
	tokenQuoted
	tokenString
	tokenNumber
	tokenParam
	tokenComment
	tokenSymbol
	// tokenBackslash is a backslash outside any other token: SQL has none, so it begins a psql meta-command.
	tokenBackslash
)

// token is a stretch of bytes of the source.
type token struct {
	kind       tokenKind
	start, end int
}

// scanner cuts SQL text into tokens. It exists beside the real parser for what that one does not give: comments,
// the ends of statements in a text that does not parse, and the words of a statement that only a newer PostgreSQL
// reads. It never fails: an unterminated token ends with the text.
type scanner struct {
	src string
	pos int
	// unclosed is where a comment begins that has no end, plus one; 0 for none.
	unclosed int
}

func isSpace(b byte) bool {
	return b == ' ' || b == '\n' || b == '\t' || b == '\r' || b == '\f' || b == '\v'
}

func isWordStart(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b >= utf8.RuneSelf
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isWordPart(b byte) bool { return isWordStart(b) || isDigit(b) || b == '$' }

func isOperator(b byte) bool { return strings.IndexByte("+-*/<>=~!@#%^&|`?", b) >= 0 }

// next gives the next token, comments included, white space skipped.
func (s *scanner) next() token {
	for s.pos < len(s.src) && isSpace(s.src[s.pos]) {
		s.pos++
	}
	start := s.pos
	if start >= len(s.src) {
		return token{tokenEOF, start, start}
	}
	kind := s.scan()
	return token{kind, start, s.pos}
}

// nextCode gives the next token that is not a comment.
func (s *scanner) nextCode() token {
	for {
		if t := s.next(); t.kind != tokenComment {
			return t
		}
	}
}

func (s *scanner) scan() tokenKind {
	b, rest := s.src[s.pos], s.src[s.pos:]
	switch {
	case strings.HasPrefix(rest, "--"):
		s.lineComment()
		return tokenComment
	case strings.HasPrefix(rest, "/*"):
		s.blockComment()
		return tokenComment
	case b == '\'':
		s.quoted('\'', false)
		return tokenString
	case b == '"':
		s.quoted('"', false)
		return tokenQuoted
	case isWordStart(b):
		return s.word()
	case isDigit(b) || b == '.' && len(rest) > 1 && isDigit(rest[1]):
		s.number()
		return tokenNumber
	case b == '$':
		return s.dollar()
	case b == '\\':
		s.pos++
		return tokenBackslash
	case isOperator(b):
		s.operator()
		return tokenSymbol
	case strings.HasPrefix(rest, "::"), strings.HasPrefix(rest, ":="):
		s.pos += 2
		return tokenSymbol
	default:
		s.pos++
		return tokenSymbol
	}
}

func (s *scanner) lineComment() {
	if n := strings.IndexAny(s.src[s.pos:], "\n\r"); n >= 0 {
		s.pos += n
	} else {
		s.pos = len(s.src)
	}
}

// blockComment skips a comment with the comments nested in it, as standard SQL has them.
func (s *scanner) blockComment() {
	start, depth := s.pos, 0
	for s.pos < len(s.src) {
		switch {
		case strings.HasPrefix(s.src[s.pos:], "/*"):
			depth++
			s.pos += 2
		case strings.HasPrefix(s.src[s.pos:], "*/"):
			depth--
			s.pos += 2
			if depth == 0 {
				return
			}
		default:
			s.pos++
		}
	}
	s.unclosed = start + 1
}

// quoted skips from the opening quote to behind the closing one; a doubled quote stands for itself, and in an E
// string a backslash takes the next byte with it.
func (s *scanner) quoted(quote byte, escapes bool) {
	s.pos++
	for s.pos < len(s.src) {
		switch b := s.src[s.pos]; {
		case escapes && b == '\\':
			s.pos += 2
		case b != quote:
			s.pos++
		case s.pos+1 < len(s.src) && s.src[s.pos+1] == quote:
			s.pos += 2
		default:
			s.pos++
			return
		}
	}
	s.pos = len(s.src)
}

func (s *scanner) word() tokenKind {
	start := s.pos
	for s.pos < len(s.src) && isWordPart(s.src[s.pos]) {
		s.pos++
	}
	if s.pos >= len(s.src) {
		return tokenWord
	}
	prefix := s.src[start:s.pos]
	switch s.src[s.pos] {
	case '\'':
		if len(prefix) == 1 && strings.Contains("eEbBxXnN", prefix) {
			s.quoted('\'', prefix == "e" || prefix == "E")
			return tokenString
		}
	case '&':
		if len(prefix) == 1 && (prefix == "u" || prefix == "U") && s.pos+1 < len(s.src) {
			switch s.src[s.pos+1] {
			case '\'':
				s.pos++
				s.quoted('\'', false)
				return tokenString
			case '"':
				s.pos++
				s.quoted('"', false)
				return tokenQuoted
			}
		}
	}
	return tokenWord
}

func (s *scanner) number() {
	for s.pos < len(s.src) {
		b := s.src[s.pos]
		exponent := (b == '+' || b == '-') && (s.src[s.pos-1] == 'e' || s.src[s.pos-1] == 'E')
		dot := b == '.' && !strings.HasPrefix(s.src[s.pos:], "..")
		if !isWordPart(b) && !exponent && !dot {
			return
		}
		s.pos++
	}
}

// dollar skips a parameter ($1) or a dollar-quoted string ($tag$ … $tag$).
func (s *scanner) dollar() tokenKind {
	rest := s.src[s.pos:]
	n := 1
	for n < len(rest) && isDigit(rest[n]) {
		n++
	}
	if n > 1 {
		s.pos += n
		return tokenParam
	}
	for n < len(rest) && isWordPart(rest[n]) && rest[n] != '$' {
		n++
	}
	if n >= len(rest) || rest[n] != '$' {
		s.pos++
		return tokenSymbol
	}
	tag := rest[:n+1]
	if end := strings.Index(rest[n+1:], tag); end >= 0 {
		s.pos += n + 1 + end + len(tag)
	} else {
		s.pos = len(s.src)
	}
	return tokenString
}

// operator skips a run of operator characters; a comment ends it, and so does the rule that a trailing + or - stands
// alone, which matters to nobody here.
func (s *scanner) operator() {
	for s.pos < len(s.src) && isOperator(s.src[s.pos]) {
		if rest := s.src[s.pos:]; strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*") {
			return
		}
		s.pos++
	}
}

// chunk is the text of one statement between two semicolons, found by scanning alone.
type chunk struct {
	start, end int // from the first token to behind the last
	semicolon  int // where the semicolon stands, or where the text ends
	copies     bool
	open       bool // a parenthesis is open at the end
}

// splitter cuts a text at its semicolons as psql does (src/fe_utils/psqlscan.l): not inside parentheses, and not
// inside the body of a function between BEGIN and END.
type splitter struct {
	scanner
	ignoreParens bool
}

// next gives the next chunk that holds a token other than a comment; ok is false at the end of the text. A backslash
// ends the chunk without being part of it: the caller has to deal with the meta-command.
func (s *splitter) next() (c chunk, meta bool, ok bool) {
	c.start = -1
	var words [4]byte
	count, parens, begins := 0, 0, 0
	var first, seen string
	for {
		t := s.scanner.next()
		switch t.kind {
		case tokenComment:
			continue
		case tokenEOF:
			c.semicolon, c.open = t.start, parens > 0
			return c, false, c.start >= 0
		case tokenBackslash:
			c.semicolon = t.start
			s.pos = t.start
			return c, true, true
		}
		text := s.src[t.start:t.end]
		if t.kind == tokenSymbol && text == ";" && (parens == 0 || s.ignoreParens) && begins == 0 {
			if c.start < 0 {
				continue
			}
			c.semicolon = t.start
			return c, false, true
		}
		if c.start < 0 {
			c.start, first = t.start, text
		}
		c.end = t.end
		switch {
		case t.kind == tokenSymbol && text == "(":
			parens++
		case t.kind == tokenSymbol && text == ")" && parens > 0:
			parens--
		case t.kind == tokenWord:
			if strings.EqualFold(first, "copy") && strings.EqualFold(seen, "from") && strings.EqualFold(text, "stdin") {
				c.copies = true
			}
			seen = text
			if count < len(words) {
				words[count] = routineLetter(text)
				count++
			}
			if parens == 0 && isRoutine(words) {
				switch {
				case strings.EqualFold(text, "begin"):
					begins++
				case strings.EqualFold(text, "case") && begins > 0:
					begins++
				case strings.EqualFold(text, "end") && begins > 0:
					begins--
				}
			}
		}
	}
}

func routineLetter(word string) byte {
	for _, w := range []string{"create", "or", "replace", "function", "procedure"} {
		if strings.EqualFold(word, w) {
			return w[0]
		}
	}
	return 'x'
}

// isRoutine reports whether the words begin CREATE [OR REPLACE] FUNCTION or PROCEDURE.
func isRoutine(words [4]byte) bool {
	routine := func(b byte) bool { return b == 'f' || b == 'p' }
	return words[0] == 'c' && (routine(words[1]) || words[1] == 'o' && words[2] == 'r' && routine(words[3]))
}
