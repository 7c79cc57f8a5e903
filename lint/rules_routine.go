package lint

import (
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
)

var routineRules = []Rule{
	{
		Name: "incompatible-view", Severity: Error, Kinds: kinds("replace_view", "replace_view_same"), When: func(o *Op) bool { return o.refusedView() != "" },
		Summary: "CREATE OR REPLACE VIEW that drops, renames, moves or retypes a column",
		Say:     func(o *Op) string { return "PostgreSQL refuses this: CREATE OR REPLACE VIEW " + o.refusedView() },
		Help:    "Keep the columns as they are and add new ones at the end; for another shape make a view of another name.",
	},
	{
		Name: "narrowed-view", Severity: Error, Kinds: kinds("replace_view"), Contract: true, When: func(o *Op) bool { return exposed(o) && o.refusedView() == "" },
		Summary: "a view replaced by one that takes fewer writes, or that cannot be compared",
		Message: "deployed code may write through {object}, or read columns of it, that the new definition has no longer",
		Help:    "Make a view of another name, move over, and drop this one in a later contract.",
	},
	{
		Name: "incompatible-function", Severity: Error, Kinds: kinds("replace_function", "replace_function_stricter", "create_function", "create_procedure"), When: func(o *Op) bool { return o.refusedFunction() != "" },
		Summary: "CREATE OR REPLACE FUNCTION that changes the result, a parameter's name or a default",
		Say: func(o *Op) string {
			return "PostgreSQL refuses this: CREATE OR REPLACE FUNCTION " + o.refusedFunction()
		},
		Help: "Make a function of another name and move the callers over; drop the old one in a later contract.",
	},
	{
		Name: "stricter-function", Severity: Error, Kinds: kinds("replace_function_stricter"), Contract: true, When: func(o *Op) bool { return exposed(o) && o.refusedFunction() == "" },
		Summary: "a function replaced by one that refuses more",
		Message: "calls of {object} that worked may fail with the new body, or run with other rights",
		Help:    "Make a function of another name, move the callers over, and drop the old one in a later contract.",
	},
	{
		Name: "ambiguous-overload", Severity: Error, Kinds: kinds("create_overload"), Contract: true, When: exposed,
		Summary: "a second function of the same name that calls may mean",
		Message: "calls of {name} may mean either of two functions from here on: \"function is not unique\"",
		Help:    "Give the new function another name, or give none of its parameters a default.",
	},
	{
		Name: "changed-function-rights", Severity: Warning, Kinds: kinds("set_security_invoker", "set_function_setting", "alter_function"), Contract: true,
		When:    func(o *Op) bool { return exposed(o) || o.changedProperty() != "" },
		Summary: "a function that runs with other rights, settings or promises",
		Say: func(o *Op) string {
			if text := o.changedProperty(); text != "" {
				return o.expand("{object} " + text)
			}
			return o.expand("{object} runs with other rights or settings from here on: what it could read or find before it may miss")
		},
		Help: "Grant the callers what the body needs first; qualify the names in the body.",
	},
	{
		Name: "changed-view-options", Severity: Error, Kinds: kinds("set_view_options"), Contract: true, When: exposed,
		Summary: "security_invoker or check_option set on a view",
		Message: "{object} reads with other rights, or refuses writes, from here on",
		Help:    "Grant the readers what the view reads first, or make a second view with the option.",
	},
	{
		Name: "created-trigger", Severity: Warning, Kinds: kinds("create_trigger", "create_trigger_harmless"), When: func(o *Op) bool { return blocks(o) && !o.syncTrigger() },
		Summary: "a trigger on a table with traffic",
		Message: "CREATE TRIGGER {cost}, and runs with every such write of deployed code after it",
		Help:    "Keep lock_timeout short. A trigger that keeps a new column or table in step, made with its function in the file that adds it, is not flagged; for others say what it does to the writers: `-- pawl:allow created-trigger: …`.",
	},
	{
		Name: "dropped-trigger", Severity: Error, Kinds: kinds("drop_trigger", "drop_trigger_behaviour"), Contract: true, When: func(o *Op) bool { return o.Existing() && o.Why == "" },
		Summary: "a trigger dropped",
		Message: "writes of {table} do without {name} from here on, and the drop {cost}",
		Help:    "Let every release do without what the trigger does first; drop it in a file that says `-- pawl:phase contract`.",
	},
	{
		Name: "switched-trigger", Severity: Error, Kinds: kinds("disable_trigger", "disable_trigger_behaviour", "enable_trigger", "enable_trigger_harmless"), When: existing,
		Summary: "a trigger disabled or enabled",
		Say: func(o *Op) string {
			if o.Text == "all" {
				return o.expand("{kind} ALL on {table} reaches the triggers of foreign keys too: rows that break them get in meanwhile, and stay")
			}
			return o.expand("writes of {table} behave otherwise from here on for every session, and the switch {cost}")
		},
		Help: "To spare one session its triggers, `SET LOCAL session_replication_role = replica`; to be rid of one, drop it in a contract.",
	},
	{
		Name: "created-rule", Severity: Error, Kinds: kinds("create_rule", "create_rule_also", "enable_rule"), When: func(o *Op) bool { return o.Existing() && !o.onView() },
		Summary: "a rule that rewrites statements on a table",
		Message: "a rule rewrites the statements of deployed code on {table}: it {cost}",
		Help:    "Use a trigger, which sees rows, not texts.",
	},
	{
		Name: "dropped-rule", Severity: Error, Kinds: kinds("drop_rule", "drop_rule_behaviour", "disable_rule", "disable_rule_behaviour"), Contract: true, When: func(o *Op) bool { return o.Existing() && o.Why == "" },
		Summary: "a rule dropped or disabled",
		Message: "statements on {table} mean something else without {name}",
		Help:    "Let every release do without it first; drop it in a file that says `-- pawl:phase contract`.",
	},
	{
		Name: "event-trigger", Severity: Warning, Kinds: kinds("create_event_trigger", "enable_event_trigger"),
		Summary: "an event trigger, which runs for every session",
		Message: "{object} runs in every session of this database, at its logins, its drops or its rewrites",
		Help:    "Make it as an operation of its own, tested on a copy.",
	},
	{
		Name: "open-definer", Severity: Off, Kinds: kinds("create_function", "create_procedure", "replace_function", "replace_function_stricter"),
		When: func(o *Op) bool {
			return o.Function != nil && o.Function.SecurityDefiner && !slices.ContainsFunc(o.Function.Settings, func(s string) bool { return strings.HasPrefix(strings.ToLower(s), "search_path") })
		},
		Summary: "SECURITY DEFINER without SET search_path",
		Message: "{object} runs with its owner's rights and looks names up where its caller says: whoever may make a table or a function can take the rights over",
		Help:    "Add `SET search_path = pg_catalog, pg_temp` and qualify the names in the body.",
	},
}

func (o *Op) onView() bool { return o.Relation().Object().Kind == phases.View }

// outputs are the columns that the query of a view gives, with those of a star in its place where the relation is known.
func (o *Op) outputs() []phases.Output {
	var out []phases.Output
	for _, one := range o.Query.Outputs {
		columns, complete := o.File.Catalog.Relation(one.Column).Columns()
		if !one.Star || one.Column.Relation == "" || !complete {
			out = append(out, one)
			continue
		}
		for _, k := range columns {
			column := one.Column
			column.Column = k.Name
			out = append(out, phases.Output{Name: k.Name, Column: column})
		}
	}
	return out
}

// changedProperty says what ALTER FUNCTION changes for callers: its rights, what it does with NULL, or when the planner may skip or repeat
// a call. Empty for nothing, and for a function that the catalog does not know alone by its name.
func (o *Op) changedProperty() string {
	if o.Kind != "alter_function" || !o.Existing() || o.Function == nil {
		return ""
	}
	list, _ := o.File.Catalog.Functions(o.On)
	if len(list) != 1 {
		return ""
	}
	for _, name := range o.Names {
		switch {
		case name == "security" && o.Function.SecurityDefiner && !list[0].SecurityDefiner:
			return "runs with the rights of its owner from here on, whoever calls it"
		case name == "strict" && o.Function.Strict && !list[0].Strict:
			return "gives NULL from here on, without running, when an argument is NULL"
		case name == "volatility" && o.Function.Volatility != list[0].Volatility:
			return "is called at other times from here on: the planner folds, repeats or keeps calls by its volatility, and uses an index on it or not"
		}
	}
	return ""
}

// refusedView says what PostgreSQL refuses about a replaced view (view.c, checkViewColumns); empty for nothing.
func (o *Op) refusedView() string {
	r := o.Relation()
	columns, complete := r.Columns()
	if !complete || o.Query == nil {
		return ""
	}
	outputs := o.outputs()
	for i, k := range columns {
		if i >= len(outputs) {
			return "cannot drop column " + k.Name
		}
		out := outputs[i]
		if out.Star {
			return ""
		}
		name := out.Name
		if def := o.AssessedOperation.Table; def != nil && i < len(def.ColumnList) {
			name = def.ColumnList[i]
		}
		if name == "" {
			return ""
		}
		if name != k.Name {
			return "cannot change the name of column " + k.Name + " to " + name
		}
		now := out.Type
		if now.Name == "" && out.Column.Column != "" {
			if c, ok := o.File.Catalog.Relation(out.Column).Column(out.Column.Column); ok {
				now = c.Type
			}
		}
		if now.Name != "" && k.Type.Name != "" && now.String() != k.Type.String() {
			return "cannot change the type of column " + k.Name + " from " + k.Type.String() + " to " + now.String()
		}
	}
	return ""
}

// refusedFunction says what PostgreSQL refuses about a replaced function (pg_proc.c, ProcedureCreate); empty for nothing.
func (o *Op) refusedFunction() string {
	def := o.Function
	if def == nil || !o.Flags.Has(phases.Replace) {
		return ""
	}
	list, _ := o.File.Catalog.Functions(o.On)
	for _, old := range list {
		if !sameInputs(old, def) {
			continue
		}
		switch {
		case old.Procedure != def.Procedure:
			return "cannot make a procedure of a function, nor the reverse"
		case old.Returns.String() != def.Returns.String() && old.Returns.Name != "" && def.Returns.Name != "":
			return "cannot change the return type from " + old.Returns.String() + " to " + def.Returns.String()
		}
		a, b := inputs(old), inputs(def)
		for i := range a {
			if a[i].Name != "" && a[i].Name != b[i].Name {
				return "cannot change the name of parameter " + a[i].Name
			}
			if a[i].Default && !b[i].Default {
				return "cannot remove the default of parameter " + a[i].Name
			}
		}
		if x, y := outputs(old), outputs(def); x != y {
			return "cannot change the result columns from (" + x + ") to (" + y + ")"
		}
	}
	return ""
}

func inputs(f *phases.FunctionDef) []phases.Parameter {
	return slices.DeleteFunc(slices.Clone(f.Parameters), func(p phases.Parameter) bool { return p.Mode == 't' || p.Mode == 'o' })
}

func outputs(f *phases.FunctionDef) string {
	var words []string
	for _, p := range f.Parameters {
		if p.Mode == 't' || p.Mode == 'o' || p.Mode == 'b' {
			words = append(words, p.Name+" "+p.Type.String())
		}
	}
	return strings.Join(words, ", ")
}

func sameInputs(a, b *phases.FunctionDef) bool {
	x, y := inputs(a), inputs(b)
	return len(x) == len(y) && slices.EqualFunc(x, y, func(p, q phases.Parameter) bool { return p.Type.String() == q.Type.String() })
}

// syncTrigger reports whether the trigger belongs to an expand: its function, made in the same run, speaks of a column or a table
// that is as new. That is how a new shape is kept in step with an old one.
func (o *Op) syncTrigger() bool {
	if o.Trigger == nil {
		return false
	}
	list, made := o.File.Catalog.Functions(phases.Object{Kind: phases.Function, Schema: o.Trigger.Function.Schema, Name: o.Trigger.Function.Name})
	if len(list) != 1 || !made[0] {
		return false
	}
	body := strings.ToLower(list[0].BodyText)
	columns, _ := o.Relation().Columns()
	for _, k := range columns {
		if k.New && strings.Contains(body, strings.ToLower(k.Name)) {
			return true
		}
	}
	for _, op := range list[0].Body {
		if op.On.Relation != "" && o.File.Catalog.Relation(op.On).New() {
			return true
		}
	}
	return false
}
