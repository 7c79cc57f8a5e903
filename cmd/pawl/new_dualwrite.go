package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// dualWrite is what the generator of a column's move is told, and what the templates read.
type dualWrite struct {
	schema, table, old, new string
	// up and down turn the old value into the new one and back; {} stands for the value.
	up, down string

	Type                     string
	NotNull                  bool
	Table, Old, New          string
	Function, Trigger, Check string
	// UpOfNew and DownOfNew are for the trigger, Up is for the backfill.
	UpOfNew, DownOfNew, Up string
	// TableArg names the table in the directive; empty where its name is no plain word.
	TableArg string
}

func newDualWriteCommand(a *app) *cobra.Command {
	var d dualWrite
	var stamp, notNull, nullable bool
	cmd := &cobra.Command{
		Use:   "dual-write TABLE OLD NEW",
		Short: "Write the migrations that move a column: both columns in step, backfill, contract",
		Long: `Renames a column, or changes its type or meaning, while releases that use the old one and releases that use the new one run
side by side. It writes

  1. an expand: the new column, and a BEFORE trigger that keeps both in step whichever of them a release writes. The trigger
     stands before any constraint binds the new column, so that no write of an old release fails;
  2. the backfill of the rows that were there before;
  3. where the old column is NOT NULL: three files that make the new one so, without a long lock;
  4. the contract: trigger and old column go together, in one transaction. pawl holds it until no release needs the old one.

Between 2 and 3 come the releases that read and write the new column.`,
		Example: `  pawl new dual-write users email email_address
  pawl new dual-write orders total total_cents --type bigint --up "({} * 100)::bigint" --down "{} / 100.0"`,
		Args: cobra.ExactArgs(3),
		RunE: func(_ *cobra.Command, args []string) error {
			d.table, d.old, d.new = args[0], args[1], args[2]
			if schema, table, ok := strings.Cut(d.table, "."); ok {
				d.schema, d.table = schema, table
			}
			if err := d.learn(a.flags.dir, notNull, nullable); err != nil {
				return err
			}
			texts, err := d.write()
			if err != nil {
				return err
			}
			return a.writeMigrations(texts, stamp)
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.Type, "type", "", "type of the new column (default: that of the old one)")
	f.StringVar(&d.up, "up", "{}", "how the new value follows from the old one, which {} stands for")
	f.StringVar(&d.down, "down", "", "how the old value follows from the new one (default: {}, if --up is not given)")
	f.BoolVar(&notNull, "not-null", false, "make the new column NOT NULL (default: as the old one is)")
	f.BoolVar(&nullable, "nullable", false, "leave the new column nullable")
	f.BoolVar(&stamp, "timestamp", false, "number by the time instead of counting on")
	return cmd
}

// learn finds what the migrations that are there say of the old column.
func (d *dualWrite) learn(dir string, notNull, nullable bool) error {
	if d.down == "" {
		if d.up != "{}" {
			return &usageError{message: "--up needs --down: releases that write the new column keep the old one in step by it"}
		}
		d.down = "{}"
	}
	if !strings.Contains(d.up, "{}") || !strings.Contains(d.down, "{}") {
		return &usageError{message: "--up and --down say {} where the other column's value goes"}
	}
	if notNull && nullable {
		return &usageError{message: "give one of --not-null and --nullable"}
	}
	catalog := phases.NewCatalog(0)
	files, err := migrate.Load(files.Dir(dir), dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		catalog.Assess(f.File())
	}
	r := catalog.Relation(phases.Object{Kind: phases.Table, Schema: d.schema, Relation: d.table})
	columns, complete := r.Columns()
	k, found := r.Column(d.old)
	if !found && (complete || !r.Exists() && catalog.Knows()) {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = c.Name
		}
		hint := "the migrations in " + dir + " make no such column"
		if near := phases.Suggest(d.old, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return &usageError{message: fmt.Sprintf("%s has no column %s", d.table, d.old), hint: hint}
	}
	if _, taken := r.Column(d.new); taken {
		return &usageError{message: fmt.Sprintf("%s has a column %s already", d.table, d.new)}
	}
	if d.Type == "" {
		if d.Type = k.Type.String(); d.Type == "" {
			return &usageError{message: fmt.Sprintf("the type of %s.%s is not known from the migrations", d.table, d.old), hint: "give it by --type"}
		}
	}
	d.NotNull = (k.NotNull || notNull) && !nullable
	return nil
}

var plainName = pattern.Lazy(`^[a-z_][a-z0-9_]*$`)

// write fills the templates. Names are quoted where one of the texts cannot be read without.
func (d *dualWrite) write() ([][2]string, error) {
	texts, err := d.fill(func(name string) string {
		if plainName().MatchString(name) {
			return name
		}
		return pgx.Identifier{name}.Sanitize()
	})
	if err != nil || readable(texts) == nil {
		return texts, err
	}
	if texts, err = d.fill(func(name string) string { return pgx.Identifier{name}.Sanitize() }); err != nil {
		return nil, err
	}
	if p := readable(texts); p != nil {
		return nil, &usageError{message: "what follows from these arguments is no SQL: " + p.Message, hint: "see to --type, --up and --down"}
	}
	return texts, nil
}

func readable(texts [][2]string) *phases.Problem {
	for _, t := range texts {
		if f := parse.File(t[0], []byte(t[1])); len(f.Problems) > 0 {
			return &f.Problems[0]
		}
	}
	return nil
}

func (d *dualWrite) fill(quote func(string) string) ([][2]string, error) {
	const longest = 63
	name := func(parts ...string) string {
		// The directive names the trigger, so its name has neither spaces nor commas.
		text := fileNamePart(strings.Join(parts, "_"))
		return text[:min(longest, len(text))]
	}
	one := *d
	one.Table, one.Old, one.New = quote(d.table), quote(d.old), quote(d.new)
	if plainName().MatchString(d.table) {
		one.TableArg = " table=" + d.table
	}
	one.Function, one.Trigger, one.Check = name(d.table, "sync", d.new), name(d.table, "sync", d.new), name(d.table, d.new, "present")
	if d.schema != "" {
		one.Table, one.Function = quote(d.schema)+"."+one.Table, quote(d.schema)+"."+one.Function
	}
	one.UpOfNew, one.DownOfNew = strings.ReplaceAll(d.up, "{}", "NEW."+one.Old), strings.ReplaceAll(d.down, "{}", "NEW."+one.New)
	one.Up = strings.ReplaceAll(d.up, "{}", one.Old)
	var out [][2]string
	for _, t := range dualWriteTemplates() {
		if t.notNull && !d.NotNull {
			continue
		}
		var text bytes.Buffer
		if err := template.Must(template.New(t.name).Parse(t.text)).Execute(&text, one); err != nil {
			return nil, fmt.Errorf("fill the template %s: %w", t.name, err)
		}
		var file bytes.Buffer
		if err := template.Must(template.New("name").Parse(t.name)).Execute(&file, map[string]string{"T": d.table, "O": d.old, "N": d.new}); err != nil {
			return nil, fmt.Errorf("fill the name %s: %w", t.name, err)
		}
		out = append(out, [2]string{fileNamePart(file.String()), text.String()})
	}
	return out, nil
}

func fileNamePart(text string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(text), "_"), "_")
}

type dualWriteTemplate struct {
	name, text string
	// notNull is for files that only a column needs which must not be NULL.
	notNull bool
}

func dualWriteTemplates() []dualWriteTemplate {
	return []dualWriteTemplate{
		{name: "add_{{.T}}_{{.N}}", text: `-- {{.Old}} becomes {{.New}}. Both columns exist for a while, and a trigger keeps them in step, whichever of them a release writes.
-- It stands before any constraint on {{.New}}: no write of a release that does not know the column fails.
ALTER TABLE {{.Table}} ADD COLUMN {{.New}} {{.Type}};

CREATE FUNCTION {{.Function}}() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.{{.New}} IS NULL THEN
                NEW.{{.New}} := {{.UpOfNew}};
            ELSIF NEW.{{.New}} IS DISTINCT FROM {{.UpOfNew}} THEN
                NEW.{{.Old}} := {{.DownOfNew}};
            END IF;
        ELSIF NEW.{{.New}} IS NOT DISTINCT FROM OLD.{{.New}} THEN
            NEW.{{.New}} := {{.UpOfNew}};
        ELSIF NEW.{{.New}} IS DISTINCT FROM {{.UpOfNew}} THEN
            NEW.{{.Old}} := {{.DownOfNew}};
        END IF;
        RETURN NEW;
    END
    $$;

CREATE TRIGGER {{.Trigger}}
    BEFORE INSERT OR UPDATE OF {{.Old}}, {{.New}} ON {{.Table}}
    FOR EACH ROW EXECUTE FUNCTION {{.Function}}();
`},
		{name: "backfill_{{.T}}_{{.N}}", text: `-- Rows from before the trigger.
-- pawl:backfill{{.TableArg}} triggers={{.Trigger}}
UPDATE {{.Table}}
SET {{.New}} = {{.Up}}
WHERE {{.New}} IS DISTINCT FROM {{.Up}};
`},
		{name: "{{.T}}_{{.N}}_present", notNull: true, text: `-- A release that writes {{.Old}} alone meets this check thanks to the trigger, which goes together with {{.Old}}.
-- pawl:phase contract
ALTER TABLE {{.Table}}
    ADD CONSTRAINT {{.Check}} CHECK ({{.New}} IS NOT NULL) NOT VALID;
`},
		{name: "validate_{{.T}}_{{.N}}", notNull: true, text: `-- Reads the whole table, under a lock that stops neither reads nor writes.
ALTER TABLE {{.Table}} VALIDATE CONSTRAINT {{.Check}};
`},
		{name: "{{.T}}_{{.N}}_not_null", notNull: true, text: `-- PostgreSQL takes the validated check as proof and reads no rows; then the check has done its work.
ALTER TABLE {{.Table}} ALTER COLUMN {{.New}} SET NOT NULL;
ALTER TABLE {{.Table}} DROP CONSTRAINT {{.Check}};
`},
		{name: "drop_{{.T}}_{{.O}}", text: `-- The end of {{.Old}}. Trigger and column go in one transaction: at no moment does a write meet one without the other.
-- pawl:phase contract
DROP TRIGGER {{.Trigger}} ON {{.Table}};
DROP FUNCTION {{.Function}}();
ALTER TABLE {{.Table}} DROP COLUMN {{.Old}};
`},
	}
}

// writeMigrations writes files under the next versions, and names them.
func (a *app) writeMigrations(texts [][2]string, stamp bool) error {
	for _, t := range texts {
		version, err := nextVersion(a.flags.dir, stamp)
		if err != nil {
			return err
		}
		path := filepath.Join(a.flags.dir, version+"_"+t[0]+".sql")
		for taken := stamp; taken; {
			// Files that are written within one second need versions of their own.
			matches, err := filepath.Glob(filepath.Join(a.flags.dir, version+"_*"))
			if err != nil {
				return fmt.Errorf("look for version %s: %w", version, err)
			}
			if taken = len(matches) > 0; taken {
				version = after(version)
				path = filepath.Join(a.flags.dir, version+"_"+t[0]+".sql")
			}
		}
		if err := os.WriteFile(path, []byte(t[1]), 0o644); err != nil { //nolint:gosec // source code is for all to read
			return fmt.Errorf("write the migration: %w", err)
		}
		fmt.Fprintln(a.stdout, path)
	}
	return nil
}
