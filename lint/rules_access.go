package lint

import (
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
)

var accessRules = []Rule{
	{
		Name: "enabled-row-security", Severity: Error, Kinds: kinds("enable_row_security", "force_row_security"), Contract: true,
		When: func(o *Op) bool {
			return o.Existing() && (o.Phase == phases.Contract || o.Kind == "force_row_security" && !o.enabledLater()) && len(o.unreached()) > 0
		},
		Summary: "row security switched on without policies that let every command through",
		Say: func(o *Op) string {
			if o.Phase != phases.Contract {
				return o.expand("without ENABLE this does nothing to {table} yet; whoever enables row security later shuts its owner out, too")
			}
			if list := o.unreached(); len(list) < 4 {
				return o.expand("no permissive policy is for " + strings.Join(list, ", ") + ": of {table}, every role that does not own it reaches no row by that")
			}
			return o.expand("without a permissive policy that lets rows through, {table} is empty to every role that does not own it, and refuses its INSERTs")
		},
		Help: "CREATE POLICY for each role that uses the table in the same file, before ENABLE ROW LEVEL SECURITY.",
	},
	{
		Name: "disabled-row-security", Severity: Error, Kinds: kinds("disable_row_security", "no_force_row_security"), When: existing,
		Summary: "row security switched off",
		Message: "every role that may read {table} sees all of its rows from here on",
		Help:    "Change the policies instead; if the rows are for all, say so: `-- pawl:allow disabled-row-security: …`.",
	},
	{
		Name: "restrictive-policy", Severity: Error, Kinds: kinds("create_restrictive_policy", "alter_policy"), Contract: true,
		When: func(o *Op) bool {
			return o.Existing() && (o.Phase == phases.Contract || o.Kind == "create_restrictive_policy")
		},
		Summary: "a policy that lets fewer rows through",
		Say: func(o *Op) string {
			if o.Phase != phases.Contract {
				return o.expand("rows of {table} that deployed code reads or writes are out of its reach once row security is on, whatever other policies let through")
			}
			return o.expand("rows of {table} that deployed code reads or writes may be out of its reach from here on")
		},
		Help: "Add a permissive policy for what is new first; take rows away in a file that says `-- pawl:phase contract`.",
	},
	{
		Name: "dropped-policy", Severity: Error, Kinds: kinds("drop_policy", "drop_restrictive_policy"), Contract: true, When: func(o *Op) bool { return o.Existing() && o.Why == "" },
		Summary: "a policy dropped",
		Message: "with {name} gone other rows of {table} are in reach: none, if it was the last permissive one, more, if it was restrictive",
		Help:    "Create the policy that takes its place first, in the same file.",
	},
	{
		Name: "revoked-privilege", Severity: Error, Kinds: kinds("revoke", "revoke_role"), Contract: true, When: exposed,
		Summary: "REVOKE",
		Say: func(o *Op) string {
			if len(o.Roles) > 0 {
				return o.expand("statements of " + strings.Join(o.Roles, ", ") + " on {object} fail with \"permission denied\"")
			}
			return o.expand("statements on {object} fail with \"permission denied\"")
		},
		Help: "Let every release do without the right first; REVOKE in a file that says `-- pawl:phase contract`.",
	},
	{
		Name: "changed-owner", Severity: Error, Contract: true, When: existing,
		Kinds:   kinds("owner_table", "owner_foreign_table", "owner_view", "owner_materialized_view", "owner_sequence", "owner_function", "owner_procedure", "owner_routine", "owner_schema", "owner_large_object"),
		Summary: "ALTER … OWNER TO",
		Say: func(o *Op) string {
			text := "the old owner of {object} loses the rights that ownership gave"
			if o.On.Kind == phases.View || o.On.Kind == phases.Function {
				text = "{object} runs with the rights of {to} from here on"
			}
			if c := o.Cost(); c != "" {
				text += ", and the change " + c
			}
			return o.expand(text)
		},
		Help: "Grant the old owner what it needs first: `GRANT ALL ON {object} TO …`.",
	},
	{
		Name: "restricted-role", Severity: Error, Kinds: kinds("drop_role", "restrict_role", "rename_role"),
		Summary: "a role dropped, renamed or shut out",
		Message: "{kind} {object}: whoever connects as it gets in no more, or may do less",
		Help:    "Move every consumer to another role first; roles are made and removed by who operates the server.",
	},
	{
		Name: "changed-search-path", Severity: Error, Kinds: kinds("alter_role_search_path", "alter_database_search_path"), Contract: true, When: exposed,
		Summary: "the search_path of a role or database changed",
		Message: "unqualified names in deployed code mean other objects, or nothing, in every session that begins after this",
		Help:    "Qualify the names in all code first.",
	},
	{
		Name: "broad-grant", Severity: Off, Kinds: kinds("grant", "grant_default_privileges"),
		When: func(o *Op) bool {
			return contains(o.Roles, "public") || slices.ContainsFunc(o.Names, func(p string) bool { return p == "all" || p == "all privileges" })
		},
		Summary: "GRANT ALL, or to PUBLIC",
		Message: "this gives more than anybody needs, or gives it to everybody",
		Help:    "Grant the privileges that the code uses to the role that it runs as.",
	},
}

// enabledLater reports whether the file switches row security of the table on, which is judged there.
func (o *Op) enabledLater() bool {
	return slices.ContainsFunc(o.File.File.Statements, func(s phases.Statement) bool {
		return slices.ContainsFunc(s.Operations, func(op phases.Operation) bool {
			return op.Kind == "enable_row_security" && op.On.Relation == o.On.Relation
		})
	})
}

// unreached lists the commands that no permissive policy of the table is for, neither one that is there nor one that the file makes.
func (o *Op) unreached() []string {
	list := o.Relation().Policies()
	for i := range o.File.File.Statements {
		for j := range o.File.File.Statements[i].Operations {
			if op := &o.File.File.Statements[i].Operations[j]; op.Kind == "create_policy" && op.On.Relation == o.On.Relation {
				list = append(list, *op.Policy)
			}
		}
	}
	return slices.DeleteFunc([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, func(command string) bool {
		return slices.ContainsFunc(list, func(p phases.PolicyDef) bool {
			return !p.Restrictive && (p.Command == "all" || p.Command == strings.ToLower(command))
		})
	})
}
