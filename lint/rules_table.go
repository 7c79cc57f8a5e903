package lint

import (
	"strings"

	"github.com/bitvault/pawl/phases"
)

var tableRules = []Rule{
	{
		Name: "full-vacuum", Severity: Error, Kinds: kinds("vacuum_full"), When: existing,
		Summary: "VACUUM FULL",
		Say: func(o *Op) string {
			if text := o.Cost(); text != "" {
				return "VACUUM FULL " + text
			}
			return "VACUUM FULL rewrites every table while nobody can read it"
		},
		Help: "A plain VACUUM makes the space usable again; to give it back, use an extension that rewrites online (pg_repack, pg_squeeze), outside of migrations.",
	},
	{
		Name: "clustered-table", Severity: Error, Kinds: kinds("cluster", "cluster_partitioned", "cluster_all"), When: existing,
		Summary: "CLUSTER",
		Say: func(o *Op) string {
			if text := o.Cost(); text != "" {
				return "CLUSTER " + text
			}
			return "CLUSTER rewrites every table that was clustered before while nobody can read it"
		},
		Help: "Use an extension that rewrites online (pg_repack), outside of migrations; new rows are not kept in order anyway.",
	},
	{
		Name: "blocking-refresh", Severity: Error, Kinds: kinds("refresh_materialized_view"), When: existing,
		Summary: "REFRESH MATERIALIZED VIEW without CONCURRENTLY",
		Message: "refreshing {object} {cost}",
		Help:    "REFRESH MATERIALIZED VIEW CONCURRENTLY {object}; it needs a unique index on columns of it, without a condition.", Fix: fixRefresh,
	},
	{
		Name: "emptied-view", Severity: Error, Kinds: kinds("empty_materialized_view"), When: existing,
		Summary: "REFRESH … WITH NO DATA",
		Message: "reading {object} fails until it is refreshed",
		Help:    "Leave WITH NO DATA out; to be rid of the view, drop it in a file that says `-- pawl:phase contract`.",
	},
	{
		Name: "explicit-lock", Severity: Error, Kinds: kinds("lock_table"),
		When:    func(o *Op) bool { return o.Mode.BlocksWrites() && o.Existing() },
		Summary: "LOCK TABLE that makes others wait",
		Say: func(o *Op) string {
			return o.expand("LOCK TABLE holds " + o.Mode.String() + " on {table} until the transaction ends, which blocks " + o.Mode.Blocks())
		},
		Help: "Leave it out: each statement takes the lock it needs. To do without the race, use an advisory lock.",
	},
	{
		Name: "switched-logging", Severity: Error, Kinds: kinds("set_logged", "set_unlogged"), When: rewrites,
		Summary: "SET LOGGED or SET UNLOGGED",
		Say: func(o *Op) string {
			text := "{kind} {cost}"
			if o.Kind == "set_unlogged" {
				text += "; a crash empties the table, and replicas do not have it"
			}
			return o.expand(text)
		},
		Help: "Make a new table that is as it should be, copy the rows in batches, and move the code over.",
	},
	{
		Name: "moved-tablespace", Severity: Error, Kinds: kinds("set_tablespace", "set_tablespace_all", "set_index_tablespace"),
		When:    func(o *Op) bool { return o.Existing() && (o.Kind != "set_index_tablespace" || o.To != "pg_default") },
		Summary: "SET TABLESPACE, which copies the table",
		Say: func(o *Op) string {
			if text := o.Cost(); text != "" {
				return "moving to another tablespace " + text
			}
			if o.Kind == "set_index_tablespace" {
				return "moving to another tablespace copies the index, and every query of its table waits meanwhile to plan"
			}
			return "moving to another tablespace copies each table while nobody can read it"
		},
		Help: "Move indexes by REINDEX (TABLESPACE …) CONCURRENTLY; move a table by a new one and batches, or in a maintenance window.",
	},
	{
		Name: "changed-access-method", Severity: Error, Kinds: kinds("set_access_method"), When: rewrites,
		Summary: "SET ACCESS METHOD",
		Message: "another access method {cost}",
		Help:    "Make a new table of that access method, copy the rows in batches, and move the code over.",
	},
	{
		Name: "truncated-table", Severity: Error, Kinds: kinds("truncate"), Contract: true, When: func(o *Op) bool { return o.Existing() && !o.Flags.Has(phases.Cascade) },
		Summary: "TRUNCATE of a table with rows",
		Message: "every row of {table} is lost, also to transactions that began before: TRUNCATE {cost}",
		Help:    "Delete in batches, or make a new table; if the rows are to go, say `-- pawl:phase contract`.",
	},
	{
		Name: "cascading-truncate", Severity: Error, Kinds: kinds("truncate"), When: func(o *Op) bool { return o.Existing() && o.Flags.Has(phases.Cascade) },
		Summary: "TRUNCATE … CASCADE",
		Say: func(o *Op) string {
			var others []string
			for _, l := range o.Locks {
				if l.Relation != o.Relation().Object().String() {
					others = append(others, l.Relation)
				}
			}
			text := "TRUNCATE … CASCADE empties every table that refers to {table} too"
			if len(others) > 0 {
				text += ": here " + strings.Join(others, ", ")
			}
			return o.expand(text)
		},
		Help: "Name each table that is to be emptied, and leave CASCADE out.",
	},
	{
		Name: "replica-identity", Severity: Warning, Kinds: kinds("replica_identity", "replica_identity_kept"),
		When: func(o *Op) bool {
			return o.Existing() && (o.Kind == "replica_identity" || o.Text == "n" || o.Text == "f")
		},
		Summary: "a replica identity that replication cannot or can hardly use",
		Say: func(o *Op) string {
			switch o.Text {
			case "n":
				return o.expand("without a replica identity UPDATE and DELETE of {table} fail once it is published")
			case "f":
				return o.expand("REPLICA IDENTITY FULL writes every old row into the WAL, and subscribers look rows up by all columns")
			}
			return o.expand("{table} is published, and has nothing that identifies its rows after this: UPDATE and DELETE fail")
		},
		Help: "Give the table a primary key, or name a unique index on NOT NULL columns: `REPLICA IDENTITY USING INDEX …`.",
	},
	{
		Name: "changed-publication", Severity: Warning, Contract: true,
		Kinds:   kinds("create_publication", "publish_updates", "add_publication_table", "set_publication_tables", "set_publication_tables_keyed", "drop_publication_table", "drop_publication", "drop_subscription"),
		When:    existing,
		Summary: "a publication or subscription changed under who replicates from it",
		Say: func(o *Op) string {
			if o.Phase == phases.Contract {
				return "a published table without a primary key or other replica identity takes no UPDATE and DELETE any more"
			}
			return o.expand("subscribers of {object} get other tables, or nothing, from here on")
		},
		Help: "Give each table a primary key first; tell whoever runs the subscribers before tables leave a publication.",
	},
	{
		Name: "updated-extension", Severity: Warning, Kinds: kinds("update_extension"), When: func(o *Op) bool { return !o.assumed() },
		Summary: "ALTER EXTENSION … UPDATE",
		Message: "what the update script of {object} does, no file says: it may drop or change what code uses",
		Help:    "Update extensions as an operation of its own, tested on a copy; or say what it does: `-- pawl:assume expand: reason`.",
	},
	{
		Name: "closed-database", Severity: Error, Kinds: kinds("drop_database", "rename_database", "restrict_database"),
		Summary: "a database dropped, renamed or closed to connections",
		Message: "{kind} {object}: every application that connects to it is cut off",
		Help:    "Take it out: databases are made and removed by who operates the server, not by a migration.",
	},
	{
		Name: "server-setting", Severity: Off, Kinds: kinds("alter_system", "alter_database_setting", "alter_role_setting"),
		Summary: "a setting of the server, a database or a role",
		Message: "{kind} reaches further than this schema: other databases, or every later session",
		Help:    "Leave settings to who operates the server.",
	},
	{
		Name: "unlogged-table", Severity: Off, Kinds: kinds("create_table", "create_table_as"),
		When:    func(o *Op) bool { return o.AssessedOperation.Table != nil && o.AssessedOperation.Table.Unlogged },
		Summary: "CREATE UNLOGGED TABLE",
		Message: "a crash empties {object}, and replicas do not have it",
		Help:    "Leave UNLOGGED out, or allow it with what happens when the rows are lost.",
	},
	{
		Name: "disabled-autovacuum", Severity: Off, Kinds: kinds("set_storage_parameters"),
		When:    func(o *Op) bool { return contains(o.Names, "autovacuum_enabled") },
		Summary: "autovacuum switched for one table",
		Message: "with autovacuum off {table} grows without bound and loses its statistics",
		Help:    "Leave it on, and set autovacuum_vacuum_scale_factor instead.",
	},
}
