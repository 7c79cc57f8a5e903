package refs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// prisma reads Prisma schemas: the client names every scalar field of a model in each statement that it makes.
// https://www.prisma.io/docs/orm/reference/prisma-schema-reference
func (b *builder) prisma(ctx context.Context) error {
	for _, name := range b.options.Prisma {
		path := b.path(name)
		paths := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if paths, err = b.glob(filepath.Join(path, "**", "*.prisma")); err != nil {
				return err
			}
		}
		s := prismaSchema{scalars: nameSet("String Boolean Int BigInt Float Decimal DateTime Json Bytes Unsupported"), enums: map[string]bool{}}
		for _, p := range paths {
			src, err := os.ReadFile(p) //nolint:gosec // the user names the file
			if err != nil {
				return &SourceError{Message: "read a Prisma schema: " + err.Error(), Err: err}
			}
			s.read(b.shown(p), string(src))
		}
		if s.provider != "" && s.provider != "postgresql" && s.provider != "postgres" && s.provider != "cockroachdb" {
			return &SourceError{Message: fmt.Sprintf("%s is for %s, not for PostgreSQL", name, s.provider)}
		}
		if len(s.models) == 0 {
			return &SourceError{Message: "no model in " + name, Hint: "give a schema.prisma file, or the directory of a schema in several files"}
		}
		for _, m := range s.models {
			b.m.Models = append(b.m.Models, s.model(m))
		}
		b.m.Models = append(b.m.Models, s.joins()...)
		root := b.dir
		if rel, err := filepath.Rel(b.dir, path); err != nil || strings.HasPrefix(rel, "..") {
			root = filepath.Dir(path)
		}
		if err := b.search(ctx, root, "TypeScript or JavaScript", []string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"}, prismaRuntime(), "Prisma does not make this statement"); err != nil {
			return err
		}
	}
	return nil
}

type prismaSchema struct {
	provider string
	scalars  map[string]bool
	enums    map[string]bool
	models   []prismaModel
}

type prismaModel struct {
	name, table, schema string
	fields              []prismaField
	site                gate.Site
}

type prismaField struct {
	name, column, kind string
	list, relation     bool
	ignored            bool
	relationName       string
	key                bool
}

var (
	prismaBlock     = pattern.Lazy(`^\s*(model|view|enum|type|datasource|generator)\s+(\w+)\s*\{`)
	prismaLine      = pattern.Lazy(`^\s*(\w+)\s+(\w+)(?:\("[^"]*"\))?(\[\])?(\?)?(.*)$`)
	prismaMap       = pattern.Lazy(`@map\(\s*(?:name:\s*)?"([^"]*)"`)
	prismaTable     = pattern.Lazy(`@@map\(\s*(?:name:\s*)?"([^"]*)"`)
	prismaSchemaOf  = pattern.Lazy(`@@schema\(\s*(?:map:\s*)?"([^"]*)"`)
	prismaRelName   = pattern.Lazy(`@relation\(\s*(?:name:\s*)?"([^"]*)"`)
	prismaProvider  = pattern.Lazy(`^\s*provider\s*=\s*"([^"]*)"`)
	prismaHasFields = pattern.Lazy(`@relation\([^)]*fields:`)
)

func (s *prismaSchema) read(path, src string) {
	kind := ""
	var model *prismaModel
	for i, line := range strings.Split(src, "\n") {
		if before, _, ok := strings.Cut(line, "//"); ok && strings.Count(before, `"`)%2 == 0 {
			line = before
		}
		if m := prismaBlock().FindStringSubmatch(line); m != nil {
			kind = m[1]
			switch kind {
			case "model", "view":
				s.models = append(s.models, prismaModel{name: m[2], table: m[2], site: gate.Site{File: path, Line: i + 1}})
				model = &s.models[len(s.models)-1]
			case "enum":
				s.enums[m[2]] = true
			}
			continue
		}
		if strings.TrimSpace(line) == "}" {
			kind, model = "", nil
			continue
		}
		switch {
		case kind == "datasource":
			if m := prismaProvider().FindStringSubmatch(line); m != nil {
				s.provider = m[1]
			}
		case model != nil:
			model.line(line)
		}
	}
}

func (m *prismaModel) line(line string) {
	if found := prismaTable().FindStringSubmatch(line); found != nil {
		m.table = found[1]
		return
	}
	if found := prismaSchemaOf().FindStringSubmatch(line); found != nil {
		m.schema = found[1]
		return
	}
	if strings.HasPrefix(strings.TrimSpace(line), "@@") {
		return
	}
	found := prismaLine().FindStringSubmatch(line)
	if found == nil {
		return
	}
	f := prismaField{name: found[1], column: found[1], kind: found[2], list: found[3] != ""}
	rest := found[5]
	if mapped := prismaMap().FindStringSubmatch(rest); mapped != nil {
		f.column = mapped[1]
	}
	f.ignored = strings.Contains(rest, "@ignore")
	f.key = strings.Contains(rest, "@id")
	f.relation = prismaHasFields().MatchString(rest)
	if name := prismaRelName().FindStringSubmatch(rest); name != nil {
		f.relationName = name[1]
	}
	m.fields = append(m.fields, f)
}

func (s *prismaSchema) scalar(f prismaField) bool { return s.scalars[f.kind] || s.enums[f.kind] }

func (s *prismaSchema) model(m prismaModel) evidence.Model {
	out := evidence.Model{Name: m.name, Table: m.table, Schema: m.schema, Site: m.site, Columns: []evidence.ModelColumn{}}
	for _, f := range m.fields {
		// The client cannot touch a field of an unsupported type, except by raw SQL.
		if s.scalar(f) && !f.ignored && f.kind != "Unsupported" {
			out.Columns = append(out.Columns, evidence.ModelColumn{Name: f.column})
		}
	}
	return out
}

// joins gives the tables of implicit many-to-many relations: two models that list each other.
func (s *prismaSchema) joins() []evidence.Model {
	var out []evidence.Model
	byName := map[string]prismaModel{}
	for _, m := range s.models {
		byName[m.name] = m
	}
	for _, m := range s.models {
		for _, f := range m.fields {
			if !f.list || s.scalar(f) || f.kind < m.name {
				continue
			}
			other, ok := byName[f.kind]
			if !ok || !slices.ContainsFunc(other.fields, func(g prismaField) bool {
				return g.list && g.kind == m.name && g.relationName == f.relationName && (f.kind != m.name || g.name != f.name || f.relationName != "")
			}) {
				continue
			}
			name := f.relationName
			if name == "" {
				name = m.name + "To" + f.kind
			}
			join := evidence.Model{
				Name: m.name + "." + f.name, Table: "_" + name, Schema: m.schema, Site: m.site,
				Columns: []evidence.ModelColumn{{Name: "A"}, {Name: "B"}},
			}
			if !slices.ContainsFunc(out, func(have evidence.Model) bool { return have.Table == join.Table }) {
				out = append(out, join)
			}
		}
	}
	return out
}
