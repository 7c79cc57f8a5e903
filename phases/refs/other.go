package refs

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

func (b *builder) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.dir, name)
}

// stringOrList is a YAML value that may be one string or several.
type stringOrList []string

// UnmarshalYAML reads either form.
func (l *stringOrList) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = stringOrList{n.Value}
		return nil
	}
	var list []string
	if err := n.Decode(&list); err != nil {
		return err
	}
	*l = list
	return nil
}

// sqlc reads the query files that a sqlc.yaml names: https://docs.sqlc.dev/en/latest/reference/config.html
func (b *builder) sqlc(ctx context.Context) error {
	for _, name := range b.options.SQLC {
		path := b.path(name)
		src, err := os.ReadFile(path) //nolint:gosec // the user names the file
		if err != nil {
			return &SourceError{Message: "read sqlc's configuration: " + err.Error(), Err: err}
		}
		var config struct {
			Version string
			SQL     []struct {
				Engine  string
				Queries stringOrList
			} `yaml:"sql"`
			Packages []struct {
				Engine  string
				Queries stringOrList
			} `yaml:"packages"`
		}
		if err := yaml.Unmarshal(src, &config); err != nil {
			return &SourceError{Message: fmt.Sprintf("read %s: %v", name, err), Err: err}
		}
		found := false
		for _, s := range append(config.SQL, config.Packages...) {
			if s.Engine != "" && s.Engine != "postgresql" {
				continue
			}
			for _, q := range s.Queries {
				found = true
				if err := b.sqlcQueries(ctx, filepath.Join(filepath.Dir(path), q)); err != nil {
					return err
				}
			}
		}
		if !found {
			return &SourceError{Message: name + " names no query files for postgresql", Hint: "both versions of the format are read: sql: and packages:"}
		}
	}
	return nil
}

func (b *builder) sqlcQueries(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "*.sql")
	}
	paths, err := b.glob(path)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		src, err := os.ReadFile(path) //nolint:gosec // the configuration names the files
		if err != nil {
			return fmt.Errorf("read a query file: %w", err)
		}
		shown := b.shown(path)
		f := parse.File(shown, []byte(sqlcEmbed().ReplaceAllString(string(src), "$1.*")))
		for _, s := range f.Statements {
			if s.Text == "" {
				continue
			}
			text := sqlcNamed(s.Text)
			b.text(text, nil, gate.Site{File: shown, Line: s.Span.Start.Line})
		}
		for _, p := range f.Problems {
			if p.Code == phases.EncodingProblem || p.Code == phases.MetaCommandProblem {
				b.partial("%s:%d: %s", shown, p.Span.Start.Line, p.Message)
			}
		}
	}
	return nil
}

var (
	sqlcArgument = pattern.Lazy(`(?i)sqlc\.(?:n?arg|slice)\(\s*['"]?(\w+)['"]?\s*\)`)
	sqlcEmbed    = pattern.Lazy(`(?i)sqlc\.embed\(\s*("?\w+"?)\s*\)`)
)

// sqlcNamed puts numbered parameters for sqlc's named ones.
func sqlcNamed(text string) string {
	named := sqlcArgument().ReplaceAllString(text, "@$1")
	if out, changed := placeholders(named, "@"); changed && parse.Reads(out) {
		return out
	}
	return text
}

// sqlx reads the files that `cargo sqlx prepare` writes for Rust's sqlx macros. Functions of sqlx that take text at run
// time leave no file: the Rust source beside the directory is searched for them.
func (b *builder) sqlx(ctx context.Context) error {
	for _, name := range b.options.SQLx {
		dir := b.path(name)
		paths, err := filepath.Glob(filepath.Join(dir, "query-*.json"))
		if err != nil {
			return fmt.Errorf("list %s: %w", name, err)
		}
		if len(paths) == 0 {
			return &SourceError{Message: "no query-*.json in " + name, Hint: "write them with `cargo sqlx prepare`"}
		}
		for _, path := range paths {
			src, err := os.ReadFile(path) //nolint:gosec // the user names the directory
			if err != nil {
				return fmt.Errorf("read a query: %w", err)
			}
			var q struct {
				DBName string `json:"db_name"`
				Query  string `json:"query"`
			}
			if err := json.Unmarshal(src, &q); err != nil || q.Query == "" {
				return &SourceError{Message: b.shown(path) + " is not what `cargo sqlx prepare` writes", Err: err}
			}
			if q.DBName != "" && q.DBName != "PostgreSQL" {
				continue
			}
			b.text(q.Query, nil, gate.Site{File: b.shown(path), Line: 1})
		}
		if err := b.search(ctx, filepath.Dir(dir), "Rust", []string{".rs"}, rustRuntime(), "sqlx sends a text that no macro has checked"); err != nil {
			return err
		}
	}
	return nil
}

var (
	rustRuntime   = pattern.Lazy(`\b(?:query|query_as|query_scalar|query_with|query_as_with|query_scalar_with|raw_sql)\s*(?:::<[^>]*>)?\s*\(|\bQueryBuilder\b|\bquery(?:_as|_scalar|_file|_file_as)?_unchecked!`)
	prismaRuntime = pattern.Lazy(`\$(?:query|execute)Raw(?:Unsafe|Typed)?\b|\bkysely\b|\bdrizzle-orm\b|\bfrom\s+['"]pg['"]|require\(['"]pg['"]\)`)
)

// search lists the places in source of another language where SQL is sent that is not seen. Where there is no such
// source, nothing can be said, and the manifest is partial.
func (b *builder) search(ctx context.Context, root, language string, extensions []string, pattern *regexp.Regexp, why string) error {
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && skipped[d.Name()]:
			return fs.SkipDir
		case d.IsDir() || !slices.Contains(extensions, filepath.Ext(path)):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for i, line := range strings.Split(string(src), "\n") {
			if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "//") || strings.HasPrefix(trimmed, "*") {
				continue
			}
			if found := pattern.FindString(line); found != "" {
				b.opaque(evidence.Opaque{Site: gate.Site{File: b.shown(path), Line: i + 1}, Call: strings.Trim(found, " (\t"), Why: why})
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("search %s for %s: %w", b.shown(root), language, err)
	}
	if files == 0 {
		b.partial("there is no %s source in %s: whether it sends other statements is not known", language, b.shown(root))
	}
	return nil
}

var skipped = nameSet(`node_modules target .git vendor dist build .next .venv __pycache__`) //nolint:gochecknoglobals // a constant table

// languages are the families of lexers, by file extension.
var languages = map[string]string{ //nolint:gochecknoglobals // a constant table
	".go": "c", ".c": "c", ".h": "c", ".cc": "c", ".cpp": "c", ".hpp": "c", ".cs": "c", ".java": "c", ".kt": "c", ".kts": "c", ".scala": "c",
	".js": "c", ".jsx": "c", ".mjs": "c", ".cjs": "c", ".ts": "c", ".tsx": "c", ".mts": "c", ".vue": "c", ".svelte": "c", ".rs": "c", ".swift": "c", ".php": "c",
	".dart": "c", ".groovy": "c", ".graphql": "hash", ".prisma": "c",
	".py": "hash", ".rb": "hash", ".rake": "hash", ".erb": "hash", ".sh": "hash", ".bash": "hash", ".pl": "hash", ".pm": "hash", ".yml": "hash", ".yaml": "hash",
	".toml": "hash", ".ex": "hash", ".exs": "hash", ".eex": "hash", ".r": "hash", ".jl": "hash", ".conf": "hash", ".env": "hash", ".properties": "hash",
	".sql": "dash", ".lua": "dash", ".hs": "dash", ".elm": "dash", ".adb": "dash", ".ads": "dash",
	".clj": "none", ".cljs": "none", ".lisp": "none", ".el": "none", ".erl": "none", ".hrl": "none", ".ml": "none", ".mli": "none", ".fs": "none", ".fsx": "none",
	".json": "none", ".xml": "none", ".html": "none", ".hbs": "none", ".tmpl": "none", ".txt": "none", ".csv": "none", ".twig": "none", ".jsp": "none",
}

// tokens notes the words of source in any language, outside of comments. The manifest is then partial: words prove only
// what is not named.
func (b *builder) tokens(ctx context.Context) error {
	for _, name := range b.options.Tokens {
		files := 0
		root := b.path(name)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case d.IsDir() && skipped[d.Name()]:
				return fs.SkipDir
			case d.IsDir():
				return nil
			}
			family, known := languages[strings.ToLower(filepath.Ext(path))]
			if !known {
				return nil
			}
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			b.lex(string(src), family)
			return nil
		})
		if err != nil {
			return &SourceError{Message: fmt.Sprintf("read the words of %s: %v", name, err), Err: err}
		}
		if files == 0 {
			return &SourceError{Message: "no source in a known language in " + name, Hint: "files are told by their extensions"}
		}
		b.partial("of %s only the words are known: they tell what is not named, and not what is sent", b.shown(root))
	}
	return nil
}

// lex notes the words of a text but for those in comments. Where comment and string cannot be told apart for sure, the
// words count.
func (b *builder) lex(src, family string) {
	var kept strings.Builder
	for i := 0; i < len(src); {
		rest := src[i:]
		switch {
		case family == "c" && strings.HasPrefix(rest, "//") && (i == 0 || src[i-1] != ':'), family == "hash" && rest[0] == '#' && (i == 0 || src[i-1] == '\n' || src[i-1] == ' ' || src[i-1] == '\t') && !strings.HasPrefix(rest, "#{"),
			family == "dash" && strings.HasPrefix(rest, "--"):
			i += lineEnd(rest)
		case (family == "c" || family == "dash") && strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				end = len(rest) - 2
			}
			i += end + 2
			kept.WriteByte(' ')
		case rest[0] == '"' || rest[0] == '\'' || rest[0] == '`':
			n := stringLen(rest)
			kept.WriteString(rest[:n])
			i += n
		default:
			kept.WriteByte(rest[0])
			i++
		}
	}
	for _, w := range word().FindAllString(kept.String(), -1) {
		b.addWords(w)
		b.words[snake(w)] = true
	}
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

// stringLen gives the length of the string constant that a text begins with: tripled quotes, backslashes; a single
// quote that does not close on its line is no string.
func stringLen(s string) int {
	quote := s[:1]
	if triple := strings.Repeat(quote, 3); quote != "`" && strings.HasPrefix(s, triple) {
		if end := strings.Index(s[3:], triple); end >= 0 {
			return end + 6
		}
		return 1
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case s[i] == quote[0]:
			return i + 1
		case s[i] == '\n' && quote != "`":
			return 1
		}
	}
	return 1
}
