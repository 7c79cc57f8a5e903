package phases

import "strings"

// callEffect says what calling a function means for a migration.
type callEffect uint8

const (
	// unknownCall may do anything.
	unknownCall callEffect = iota
	// harmlessCall leaves schema and data as they are, however volatile it is.
	harmlessCall
	// sequenceCall sets a sequence.
	sequenceCall
)

// acting are PostgreSQL's own functions that change something outside the session's transaction or run text as SQL.
const acting = " query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml lo_unlink lo_export lo_put " +
	"lowrite lo_truncate lo_truncate64 pg_terminate_backend pg_cancel_backend " +
	"pg_promote pg_wal_replay_pause pg_wal_replay_resume " +
	"pg_drop_replication_slot " +
	"pg_replication_slot_advance pg_replication_origin_create pg_replication_origin_drop pg_logical_slot_get_changes " +
	"pg_file_write pg_file_unlink pg_file_rename pg_extension_config_dump binary_upgrade_ ts_stat ts_rewrite " +
	"dblink dblink_exec dblink_connect pg_nextoid pg_sync_replication_slots " +
	"pg_restore_relation_stats pg_clear_relation_stats pg_restore_attribute_stats pg_clear_attribute_stats "

// Harmless reports whether a name is that of a function of PostgreSQL's own that changes nothing.
func Harmless(name string) bool {
	return harmless(FunctionUse{Name: name}) == harmlessCall
}

// harmless tells what a function does that the catalog does not know.
func harmless(use FunctionUse) callEffect {
	if strings.HasPrefix(use.Name, "operator ") {
		return harmlessCall
	}
	if use.Schema != "" && use.Schema != "pg_catalog" {
		return unknownCall
	}
	if use.Name == "setval" {
		return sequenceCall
	}
	if strings.Contains(acting, " "+use.Name+" ") {
		return unknownCall
	}
	if isBuiltin(use.Name) {
		return harmlessCall
	}
	return unknownCall
}

// volatile reports whether an expression may give another value for each row, so that a column with it as default is
// written into every row. A function that neither PostgreSQL has nor the catalog knows counts as volatile.
func (c *Catalog) volatile(e *Expr) bool {
	if e == nil || e.Constant {
		return false
	}
	for _, use := range e.Functions {
		if strings.HasPrefix(use.Name, "operator ") {
			return true
		}
		if all := c.funcs(use.Schema, use.Name); len(all) > 0 {
			for _, f := range all {
				if f.Volatility == 'v' {
					return true
				}
			}
			continue
		}
		builtin := (use.Schema == "" || use.Schema == "pg_catalog") && isBuiltin(use.Name)
		if !builtin && !stableExtension(use.Name) || volatileBuiltins()[use.Name] {
			return true
		}
	}
	return e.Subquery
}

// extensionFunction reports whether an extension that comes with PostgreSQL has the function. Whether the history made
// the extension does not matter: it is often made by hand, and a function of ours by such a name would be in the catalog.
func extensionFunction(use FunctionUse) bool { return extensionOfFunction(use.Name) != "" }

// neverImmutable are functions of PostgreSQL none of whose forms is immutable (pg_proc.provolatile, the same on 14 to 18), as
// far as people put them into indexes: an index must not hold what changes with the clock, the time zone or a setting.
const neverImmutable = " now statement_timestamp transaction_timestamp clock_timestamp timeofday random gen_random_uuid " +
	"to_char to_date current_setting current_user current_role session_user current_date current_time " +
	"current_timestamp localtime localtimestamp current_schema current_catalog current_database nextval currval lastval " +
	"concat concat_ws array_to_string format version convert convert_from convert_to to_json to_jsonb row_to_json json_build_array " +
	"json_build_object jsonb_build_array jsonb_build_object to_number make_timestamptz set_config txid_current pg_backend_pid inet_client_addr uuid_generate_v4 uuid_generate_v1 " +
	"unaccent "

// mutable reports whether PostgreSQL refuses the function in an index: it is declared less than immutable.
func (c *Catalog) mutable(use FunctionUse) bool {
	if all := c.funcs(use.Schema, use.Name); len(all) > 0 {
		for _, f := range all {
			if f.Volatility == 'i' {
				return false
			}
		}
		return true
	}
	return (use.Schema == "" || use.Schema == "pg_catalog") && strings.Contains(neverImmutable, " "+use.Name+" ")
}

// zoned are functions of PostgreSQL that are immutable for most types and stable for a timestamptz, whose day and hour depend on the
// session's time zone (pg_proc.provolatile).
const zoned = " date date_part date_trunc extract time timestamp timetz "

// MutableFor reports whether a function is known not to be immutable for the column that it is given.
func (c *Catalog) MutableFor(use FunctionUse, r Relation) bool {
	if c.mutable(use) {
		return true
	}
	k, ok := r.Column(use.Column)
	return ok && k.Type.Name == "timestamptz" && (use.Schema == "" || use.Schema == "pg_catalog") && len(c.funcs(use.Schema, use.Name)) == 0 &&
		(strings.Contains(zoned, " "+use.Name+" ") || use.Name == "age" && use.Args == 1)
}

// MutableCast reports whether a cast between two types is not immutable: it depends on the session's time zone or date style, or on the
// labels of an enum, which can be renamed (pg_cast, and the functions that read and write a type).
func (c *Catalog) MutableCast(from, to TypeName) bool {
	texts := " text varchar bpchar "
	written := func(t TypeName) bool {
		def := c.typ(t)
		return strings.Contains(" date time timetz timestamp timestamptz interval regclass ", " "+t.Name+" ") || def != nil && def.Form == "enum"
	}
	switch {
	case from.Dims > 0 || to.Dims > 0:
		return false
	case from.Name == "timestamptz":
		return strings.Contains(" date timestamp time timetz "+texts, " "+to.Name+" ")
	case from.Name == "timestamp", from.Name == "date":
		return strings.Contains(" timestamptz "+texts, " "+to.Name+" ")
	case from.Name == "time" && to.Name == "timetz":
		return true
	case strings.Contains(texts, " "+from.Name+" "):
		return written(to)
	case strings.Contains(texts, " "+to.Name+" "):
		def := c.typ(from)
		return def != nil && def.Form == "enum"
	}
	return false
}
