package lint

import "github.com/bitvault/pawl/phases"

const gated = " Drop it in a later file that says `-- pawl:phase contract`: the gate holds that until no release that may run names it."

var contractRules = []Rule{
	{
		Name: "dropped-table", Severity: Error, Kinds: kinds("drop_table", "drop_foreign_table"), Contract: true,
		When:    func(o *Op) bool { return exposed(o) && !o.Relation().Parent().Exists() },
		Summary: "a table dropped",
		Message: "code that is deployed may still use {object}: its statements fail, and the rows are lost", Help: "Let every release stop using {object} first." + gated,
	},
	{
		Name: "dropped-column", Severity: Error, Kinds: kinds("drop_column"), Contract: true, When: exposed,
		Summary: "a column dropped",
		Message: "code that is deployed may still name {object}, or have it in a SELECT *: its statements fail, and the values are lost",
		Help:    "Let every release stop naming {column} first: out of its queries, its INSERTs and its models." + gated,
	},
	{
		Name: "dropped-schema", Severity: Error, Kinds: kinds("drop_schema"), Contract: true, When: exposed,
		Summary: "a schema dropped",
		Message: "whatever is in schema {object} goes, and with it what deployed code names there", Help: "Drop what is in it object by object first." + gated,
	},
	{
		Name: "dropped-view", Severity: Error, Kinds: kinds("drop_view", "drop_materialized_view"), Contract: true, When: exposed,
		Summary: "a view dropped, or dropped and made again in another shape",
		Message: "code that is deployed may still read {object}; the rights granted on it are lost as well, also if the file makes it again",
		Help:    "To add columns at the end, CREATE OR REPLACE VIEW; for another shape make a view of another name and move over." + gated,
	},
	{
		Name: "dropped-function", Severity: Error, Kinds: kinds("drop_function", "drop_procedure", "drop_routine", "drop_aggregate"), Contract: true, When: exposed,
		Summary: "a function or procedure dropped",
		Message: "calls of {object} fail: from deployed code, and from bodies of functions, which PostgreSQL does not look into", Help: "Let every release call another one first." + gated,
	},
	{
		Name: "dropped-type", Severity: Error, Kinds: kinds("drop_type", "drop_domain"), Contract: true, When: exposed,
		Summary: "a type or domain dropped",
		Message: "casts to {object} in deployed code fail", Help: "Change the columns and the casts first." + gated,
	},
	{
		Name: "dropped-sequence", Severity: Error, Kinds: kinds("drop_sequence"), Contract: true, When: exposed,
		Summary: "a sequence dropped",
		Message: "nextval('{object}') in deployed code and in defaults fails", Help: "Take it out of defaults and code first." + gated,
	},
	{
		Name: "dropped-extension", Severity: Error, Kinds: kinds("drop_extension"), Contract: true, When: exposed,
		Summary: "an extension dropped",
		Message: "the functions, types and operators of {object} go, and with CASCADE the columns and indexes that use them", Help: "Stop using what is in it first." + gated,
	},
	{
		Name: "dropped-owned", Severity: Error, Kinds: kinds("drop_owned", "reassign_owned"), When: existing,
		Summary: "DROP OWNED or REASSIGN OWNED",
		Message: "{kind} reaches everything that the role owns in this database, and every right that was granted to it",
		Help:    "Name the objects one by one.",
	},
	{
		Name: "dropped-object", Severity: Error, Contract: true, When: exposed,
		Kinds: kinds("drop_operator", "drop_cast", "drop_collation", "drop_conversion", "drop_text_search_object", "drop_transform", "drop_language",
			"drop_foreign_data_wrapper", "drop_server", "drop_user_mapping", "alter_server_options", "alter_user_mapping", "foreign_table_options", "foreign_column_options"),
		Summary: "an operator, cast, collation, foreign server or the like dropped or changed",
		Message: "{kind} {object}: statements of deployed code that use it fail or mean something else", Help: "Move the code over first." + gated,
	},
	{
		Name: "renamed-table", Severity: Error, Kinds: kinds("rename_table", "rename_foreign_table"), Contract: true, When: exposed,
		Summary: "a table renamed",
		Message: "deployed code names {object}, which is called {to} from here on: its statements fail",
		Help:    "In the same file leave a view of the old name, which takes writes too: `CREATE VIEW {object} AS SELECT * FROM {to}`; drop the view in a later contract. Or leave the name as it is.",
	},
	{
		Name: "renamed-column", Severity: Error, Kinds: kinds("rename_column"), Contract: true, When: exposed,
		Summary: "a column renamed",
		Message: "deployed code names {object}, which is called {to} from here on: its statements fail",
		Help:    "Add column {to}, keep both in step by a trigger, fill the old rows by a file with `-- pawl:backfill table={table} batch=1000`, move the code over, and drop {column} in a later file that says `-- pawl:phase contract`.",
	},
	{
		Name: "renamed-schema", Severity: Error, Kinds: kinds("rename_schema"), Contract: true, When: exposed,
		Summary: "a schema renamed",
		Message: "every name qualified by {object} fails, and so does a search_path that lists it",
		Help:    "Make schema {to}, move the tables one by one with a view left behind, and drop {object} in a later contract.",
	},
	{
		Name: "renamed-view", Severity: Error, Kinds: kinds("rename_view", "rename_materialized_view"), Contract: true, When: exposed,
		Summary: "a view renamed",
		Message: "deployed code reads {object}, which is called {to} from here on", Help: "Make a second view {to}; drop {object} in a later contract.",
	},
	{
		Name: "renamed-type", Severity: Error, Kinds: kinds("rename_type", "rename_domain"), Contract: true, When: exposed,
		Summary: "a type or domain renamed",
		Message: "casts to {object} in deployed code fail; drivers that look types up by name as well",
		Help:    "Leave the name, or make a second type and move column by column.",
	},
	{
		Name: "renamed-enum-value", Severity: Error, Kinds: kinds("rename_enum_value"), Contract: true, When: exposed,
		Summary: "a value of an enum renamed",
		Message: "the constant '{column}' in deployed code is not of the type any more, and readers meet '{to}', which they do not know",
		Help:    "Add the new value, let every release read both, change the rows in batches; the old value can stay.",
	},
	{
		Name: "renamed-function", Severity: Error, Kinds: kinds("rename_function", "rename_procedure", "rename_routine", "rename_aggregate"), Contract: true, When: exposed,
		Summary: "a function or procedure renamed",
		Message: "calls of {object} fail: from deployed code, and from bodies of functions",
		Help:    "Make the function {to}, let the old one call it, and drop the old one in a later contract.",
	},
	{
		Name: "renamed-sequence", Severity: Error, Kinds: kinds("rename_sequence"), Contract: true, When: exposed,
		Summary: "a sequence renamed",
		Message: "nextval('{object}') in deployed code fails; defaults of columns go on, they know it by its number",
		Help:    "Leave the name as it is: nobody sees it.",
	},
	{
		Name: "changed-composite-type", Severity: Error, Kinds: kinds("add_attribute", "drop_attribute", "alter_attribute_type", "rename_attribute"), Contract: true, When: exposed,
		Summary: "an attribute of a composite type added, dropped, changed or renamed",
		Message: "values of {object} have another shape from here on: deployed code that builds or takes them apart fails",
		Help:    "Make a second type and move over.",
	},
	{
		Name: "moved-object", Severity: Error, Contract: true, When: exposed,
		Kinds: kinds("set_schema_table", "set_schema_foreign_table", "set_schema_view", "set_schema_materialized_view", "set_schema_sequence", "set_schema_function", "set_schema_procedure", "set_schema_routine",
			"set_schema_aggregate", "set_schema_type", "set_schema_domain", "set_schema_extension", "set_schema_operator", "set_schema_operator_class", "set_schema_operator_family", "set_schema_collation", "set_schema_conversion", "set_schema_text_search_object"),
		Summary: "SET SCHEMA",
		Message: "{object} moves to schema {to}: deployed code finds it by its old qualified name, or by its search_path, no more",
		Help:    "For a table leave a view of the old name behind in the same file; for the rest make a second one in {to} and move over.",
	},
	{
		Name: "renamed-object", Severity: Error, Contract: true, When: exposed, Kinds: kinds("rename_collation", "rename_conversion", "rename_text_search_object"),
		Summary: "a collation, conversion or text search object renamed",
		Message: "statements of deployed code that name {object} fail", Help: "Make a second one of the new name and move over.",
	},
	{
		Name: "shadowing-table", Severity: Error, Kinds: kinds("create_table_shadowing"), Contract: true,
		When:    func(o *Op) bool { return o.Phase == phases.Contract },
		Summary: "a new table that hides an older one of the same name",
		Message: "{object} comes earlier in the search_path than an older table of the same name: unqualified statements of deployed code use the new, empty one",
		Help:    "Give it another name, or qualify the name in all code first.",
	},
	{
		Name: "restarted-sequence", Severity: Error, Kinds: kinds("restart_sequence", "restart_identity", "set_sequence"), Contract: true, When: exposed,
		Summary: "a sequence set to another number",
		Message: "{object} counts on from another number: what it gives may collide with rows that are there",
		Help:    "Set it from the rows, in one statement: `SELECT setval('…', (SELECT max(id) FROM …))`, while nothing inserts; and say in `-- pawl:allow restarted-sequence: …` why no number comes twice.",
	},
	{
		Name: "narrowed-sequence", Severity: Error, Kinds: kinds("alter_sequence_bounds"), Contract: true, When: exposed,
		Summary: "a sequence whose range changes",
		Message: "{object} may run out: nextval then fails in every INSERT that draws from it",
		Help:    "Only ever widen a sequence: AS bigint, a higher MAXVALUE, NO MAXVALUE.",
	},
	{
		Name: "implicit-cast", Severity: Error, Kinds: kinds("create_implicit_cast", "create_default_conversion"), Contract: true, When: exposed,
		Summary: "an implicit cast, which changes what statements mean",
		Message: "an implicit cast takes part in every statement: operators and functions that were found may be ambiguous after it",
		Help:    "Make it AS ASSIGNMENT, or leave it explicit.",
	},
}
