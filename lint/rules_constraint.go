package lint

import (
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
)

const thenValidate = "Add it as NOT VALID, and in the next file `ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}`, which lets reads and writes go on."

// bindingKinds are rules about the data that bind new rows from here on.
var bindingKinds = kinds("add_check_not_valid", "add_foreign_key_not_valid", "add_not_null_not_valid", "add_domain_check_not_valid", "create_unique_index_concurrently", "set_not_null_proven")

var constraintRules = []Rule{
	{
		Name: "blocking-foreign-key", Severity: Error, Kinds: kinds("add_foreign_key"), When: func(o *Op) bool { return o.Existing() && o.Blocks() && o.Effect.Scan },
		Summary: "a foreign key that is not NOT VALID",
		Message: "the foreign key from {table} to {ref} {cost}", Help: thenValidate, Fix: fixNotValid,
	},
	{
		Name: "blocking-check", Severity: Error, Kinds: kinds("add_check"), When: scans,
		Summary: "a CHECK that is not NOT VALID",
		Message: "the CHECK on {table} {cost}", Help: thenValidate, Fix: fixNotValid,
	},
	{
		Name: "blocking-unique", Severity: Error, Kinds: kinds("add_unique"), When: scans,
		Summary: "a UNIQUE constraint that builds its index",
		Message: "UNIQUE on ({columns}) builds an index: it {cost}",
		Help:    "Build the index in a file of its own: `CREATE UNIQUE INDEX CONCURRENTLY {short}_key ON {table} ({columns})`; then `ALTER TABLE {table} ADD CONSTRAINT {short}_key UNIQUE USING INDEX {short}_key`.",
	},
	{
		Name: "blocking-primary-key", Severity: Error, Kinds: kinds("add_primary_key"), When: scans,
		Summary: "a PRIMARY KEY that builds its index",
		Message: "PRIMARY KEY on ({columns}) builds an index: it {cost}",
		Help:    "Make the columns NOT NULL by a validated CHECK, build `CREATE UNIQUE INDEX CONCURRENTLY {short}_pkey ON {table} ({columns})` in a file of its own, then `ALTER TABLE {table} ADD CONSTRAINT {short}_pkey PRIMARY KEY USING INDEX {short}_pkey`.",
	},
	{
		Name: "nullable-primary-key", Severity: Error, Kinds: kinds("add_primary_key_using_index_nullable"), When: scans,
		Summary: "PRIMARY KEY USING INDEX on columns that may be NULL",
		Message: "the columns of the new primary key may be NULL as yet: to make them NOT NULL it {cost}",
		Help:    "Prove the columns first: `CHECK (… IS NOT NULL) NOT VALID`, VALIDATE in the next file, SET NOT NULL; the primary key is then a change of the catalog alone.",
	},
	{
		Name: "blocking-exclusion", Severity: Error, Kinds: kinds("add_exclusion"), When: scans,
		Summary: "an EXCLUDE constraint on a table with rows",
		Message: "the EXCLUDE constraint on {table} builds an index: it {cost}; PostgreSQL has no concurrent or NOT VALID form of it",
		Help:    "Make a new table with the constraint and move the rows over in batches, or check by a trigger; on a small table allow it with the number of rows as the reason.",
	},
	{
		Name: "enforced-constraint", Severity: Error, Kinds: kinds("set_enforced"), When: scans,
		Summary: "a constraint enforced that was not",
		Message: "ENFORCED checks every row: it {cost}",
		Help:    "Add a second constraint as NOT VALID, validate it in a later file, and drop the one that was not enforced.",
	},
	{
		Name: "blocking-domain-constraint", Severity: Error, Kinds: kinds("add_domain_check", "set_domain_not_null", "validate_domain_constraint"), When: blocks,
		Summary: "a constraint of a domain checked in every table that uses it",
		Message: "the constraint of domain {object} is checked in every table that uses it: it {cost}",
		Help:    "Add the CHECK as NOT VALID: it binds new values, and nobody waits. To check old rows too, write the CHECK on each table as NOT VALID and validate it there.",
	},
	{
		Name: "partitioned-not-valid", Severity: Error, Kinds: kinds("add_foreign_key_not_valid"), When: func(o *Op) bool { return o.Relation().Partitioned() && o.File.Catalog.Version < 18 },
		Summary: "a NOT VALID foreign key on a partitioned table, before PostgreSQL 18",
		Message: "PostgreSQL refuses this before 18: {table} is partitioned, and a foreign key on it cannot be NOT VALID",
		Help:    "Add the foreign key to each partition as NOT VALID and validate it there; the one on {table} then takes them over without reading a row.",
	},
	{
		Name: "key-without-partition-column", Severity: Error, Kinds: kinds("add_unique", "add_primary_key", "create_unique_index", "create_table"), When: keyMisses,
		Summary: "a unique key of a partitioned table that lacks a column of the partition key",
		Message: "PostgreSQL refuses this: a unique key of a partitioned table must hold every column of the partition key",
		Help:    "Add the columns of the partition key to the constraint, or make it unique on each partition alone.",
	},
	{
		Name: "dropped-foreign-key", Severity: Warning, Kinds: kinds("drop_foreign_key"), Contract: false, When: func(o *Op) bool { return o.Existing() && !o.replacedKey() },
		Summary: "a foreign key dropped",
		Message: "dropping the foreign key {cost}; nothing keeps {table} and {ref} together after it",
		Help:    "Keep the lock short with lock_timeout, and say why the key may go: `-- pawl:allow dropped-foreign-key: …`.",
	},
	{
		Name: "dropped-check", Severity: Warning, Kinds: kinds("drop_check", "drop_exclusion", "drop_not_null_constraint", "drop_constraint", "drop_domain_constraint"), Contract: true,
		When:    func(o *Op) bool { return o.Existing() && o.Why == "" && !o.spentProof() },
		Summary: "a rule about the data dropped",
		Message: "{object} keeps bad rows out no more: deployed readers may rely on what it refuses",
		Help:    "Add the rule that takes its place first, as NOT VALID, and validate it; then drop this one.",
	},
	{
		Name: "dropped-unique", Severity: Error, Kinds: kinds("drop_unique", "drop_unique_index", "drop_unique_index_concurrently", "drop_primary_key"), Contract: true,
		When:    func(o *Op) bool { return exposed(o) && !o.ofConstraint() },
		Summary: "a unique constraint, primary key or unique index dropped",
		Message: "ON CONFLICT, GROUP BY and replication that lean on {object} fail once it is gone",
		Help:    "Build the index that takes its place first; drop this one in a file that says `-- pawl:phase contract`, which the gate holds while a release that may run names its columns in ON CONFLICT.",
	},
	{
		Name: "lost-dependent", Severity: Warning, Kinds: kinds("drop_dependent", "drop_dependent_unique", "drop_dependent_primary_key"), Contract: true, When: func(o *Op) bool { return o.Phase == phases.Contract },
		Summary: "something that goes along with what is dropped",
		Message: "{object} goes along with what is dropped here, without being named: what leans on it fails",
		Help:    "Drop it by its own name first, so that whoever reads the file sees it go.",
	},
	{
		Name: "cascading-drop", Severity: Error, Kinds: cascading, When: func(o *Op) bool { return o.Flags.Has(phases.Cascade) && o.Existing() && o.Kind != "truncate" },
		Summary: "CASCADE, which drops what the file does not name",
		Say: func(o *Op) string {
			text := "CASCADE drops whatever depends on {object}, seen or not"
			if list := o.cascades(); len(list) > 0 {
				text += ": here " + strings.Join(list, ", ")
			}
			return o.expand(text)
		},
		Help: "Leave CASCADE out and drop each dependent object by its name: PostgreSQL lists those that are missing.",
	},
	{
		Name: "renamed-constraint", Severity: Warning, Kinds: kinds("rename_unique_constraint", "rename_index"), Contract: true,
		When:    func(o *Op) bool { return exposed(o) || o.Kind == "rename_index" && o.Existing() && o.ofConstraint() },
		Summary: "a unique constraint renamed",
		Message: "ON CONFLICT ON CONSTRAINT {name} fails once it is named {to}",
		Help:    "Name the columns in ON CONFLICT instead of the constraint first; then rename.",
	},
	{
		Name: "binding-constraint", Severity: Off, Contract: true,
		Kinds: bindingKinds,
		When:  exposed, Summary: "a rule that binds the writes of deployed code at once",
		Message: "from here on PostgreSQL refuses writes to {table} that deployed code may still send, NOT VALID or not",
		Help:    "Let every release keep to the rule first, and say `-- pawl:phase contract` in the file, so that the gate asks which of them write {table}.",
	},
	{
		Name: "unindexed-foreign-key", Severity: Off, File: unindexed,
		Summary: "a foreign key whose columns no index begins with",
		Help:    "Build one CONCURRENTLY before the foreign key: every DELETE and UPDATE of a key in the other table looks the rows up.",
	},
	{
		Name: "unenforced-constraint", Severity: Off, Kinds: kinds("add_check_not_enforced", "add_foreign_key_not_enforced", "set_not_enforced"), When: existing,
		Summary: "a constraint that PostgreSQL does not enforce",
		Message: "NOT ENFORCED keeps no bad row out of {table}",
		Help:    "Use NOT VALID, which binds new rows and can be validated later.",
	},
	{
		Name: "cascading-foreign-key", Severity: Off, Kinds: kinds("add_foreign_key", "add_foreign_key_not_valid"),
		When:    func(o *Op) bool { return o.Constraint != nil && o.Constraint.OnDelete == 'c' },
		Summary: "ON DELETE CASCADE",
		Message: "one DELETE in {ref} deletes without bound in {table}",
		Help:    "Delete the rows of {table} by the application, in batches, and let the key refuse the rest.",
	},
}

var cascading = []phases.Kind{
	"drop_column", "drop_constraint", "drop_check", "drop_unique", "drop_primary_key", "drop_foreign_key", "drop_exclusion", "drop_table", "drop_foreign_table",
	"drop_view", "drop_materialized_view", "drop_sequence", "drop_schema", "drop_type", "drop_domain", "drop_function", "drop_procedure", "drop_routine",
	"drop_aggregate", "drop_extension", "drop_server", "drop_foreign_data_wrapper", "drop_owned", "drop_language", "drop_collation", "drop_operator", "drop_cast", "drop_attribute",
}

// cascades names what CASCADE will take along, as far as the catalog knows.
func (o *Op) cascades() []string {
	var out []string
	r := o.Relation()
	switch o.On.Kind {
	case phases.Column:
		for _, v := range r.ViewsOf(o.On.Column) {
			out = append(out, string(v.Kind)+" "+v.String())
		}
		fallthrough
	default:
		if o.Kind == "drop_table" || o.Kind == "drop_primary_key" || o.Kind == "drop_unique" {
			for _, k := range r.ReferencedBy() {
				out = append(out, "foreign key "+k.Table.String()+"."+k.Name)
			}
		}
		if o.Kind == "drop_table" || o.Kind == "drop_view" || o.Kind == "drop_materialized_view" {
			for _, v := range r.Readers() {
				out = append(out, string(v.Kind)+" "+v.String())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ofConstraint reports whether a constraint stands on the index: PostgreSQL refuses to drop it then.
func (o *Op) ofConstraint() bool {
	if o.On.Kind != phases.Index {
		return false
	}
	i, ok := o.File.Catalog.Index(o.On)
	return ok && i.Constraint != ""
}

// spentProof reports whether a CHECK says only what NOT NULL says as well: the last step of a safe SET NOT NULL.
func (o *Op) spentProof() bool {
	k := o.Constraint
	if k == nil || k.Type != phases.CheckConstraint || k.Expr == nil || len(k.Expr.NotNull) == 0 || len(k.Expr.NotNull) != len(k.Expr.Columns) {
		return false
	}
	for _, name := range k.Expr.NotNull {
		c, ok := o.Relation().Column(name)
		if !ok || !c.NotNull && !o.setsNotNull(name) {
			return false
		}
	}
	return true
}

// setsNotNull reports whether the same statement makes a column NOT NULL.
func (o *Op) setsNotNull(column string) bool {
	return slices.ContainsFunc(o.File.File.Statements[o.Statement].Operations, func(op phases.Operation) bool {
		return op.Kind == "set_not_null" && op.On.Column == column
	})
}

// replacedKey reports whether another foreign key on the same columns stands beside the one that is dropped.
func (o *Op) replacedKey() bool {
	if o.Constraint == nil {
		return false
	}
	for _, k := range o.Relation().Constraints() {
		if k.Type == phases.ForeignKeyConstraint && k.Name != o.On.Name && slices.Equal(k.Columns, o.Constraint.Columns) {
			return true
		}
	}
	return false
}

// keyMisses reports whether a unique key of a partitioned table lacks a column of the partition key.
func keyMisses(o *Op) bool {
	misses := func(partitionKey, columns []string) bool {
		for _, k := range partitionKey {
			if k == "" || !slices.Contains(columns, k) {
				return k != ""
			}
		}
		return false
	}
	if o.Kind == "create_table" {
		if o.AssessedOperation.Table == nil || o.AssessedOperation.Table.Strategy == 0 {
			return false
		}
		def := o.AssessedOperation.Table
		for _, k := range def.Constraints {
			if (k.Type == phases.PrimaryKeyConstraint || k.Type == phases.UniqueConstraint) && misses(def.PartitionKey, k.Columns) {
				return true
			}
		}
		for _, c := range def.Columns {
			for _, k := range c.Constraints {
				if (k.Type == phases.PrimaryKeyConstraint || k.Type == phases.UniqueConstraint) && misses(def.PartitionKey, []string{c.Name}) {
					return true
				}
			}
		}
		return false
	}
	r := o.Relation()
	if !r.Partitioned() || o.Flags.Has(phases.Only) && o.Index != nil && !o.Index.Unique {
		return false
	}
	columns := o.Columns()
	return len(columns) > 0 && misses(r.PartitionKey(), columns)
}

// unindexed finds the foreign keys of the file that no index supports once the file has run.
func unindexed(f *File) {
	for i := range f.Assessment.Statements {
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			switch op.Kind {
			case "create_table", "add_foreign_key", "add_foreign_key_not_valid", "add_column_references":
			default:
				continue
			}
			r := f.Catalog.Relation(op.On)
			for _, k := range r.Constraints() {
				if k.Type != phases.ForeignKeyConstraint || !k.New || op.Kind != "create_table" && op.Constraint != nil && !slices.Equal(op.Constraint.Columns, k.Columns) {
					continue
				}
				if !slices.ContainsFunc(r.Indexes(), func(x phases.IndexInfo) bool { return beginsWith(x.Columns, k.Columns) }) {
					f.Report(i, op.Span, op.Phase, "no index of "+r.Object().String()+" begins with ("+strings.Join(k.Columns, ", ")+"), the columns of its foreign key", "")
				}
			}
		}
	}
}

// beginsWith reports whether the first of the columns are those wanted, in any order.
func beginsWith(columns, want []string) bool {
	if len(columns) < len(want) {
		return false
	}
	for _, w := range want {
		if !slices.Contains(columns[:len(want)], w) {
			return false
		}
	}
	return true
}
