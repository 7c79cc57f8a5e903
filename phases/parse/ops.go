package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

// statement is one statement while its operations are made.
type statement struct {
	span phases.Span
	text string
	at   *places
	// body is true for what stands inside a string, whose offsets mean nothing in the file.
	body bool
	// depth counts the bodies around this one.
	depth int
}

// make gives an operation of the kind on the object.
func (s *statement) make(kind phases.Kind, on phases.Object) phases.Operation {
	return phases.Operation{Kind: kind, On: on, Span: s.span}
}

func (s *statement) one(kind phases.Kind, on phases.Object) []phases.Operation {
	return []phases.Operation{s.make(kind, on)}
}

func (s *statement) opaque() []phases.Operation {
	return []phases.Operation{{Kind: phases.Opaque, Span: s.span, Text: s.text}}
}

// suffix makes the last word of a kind from PostgreSQL's name of an object: "materialized view" to materialized_view.
func suffix(prefix string, kind phases.ObjectKind) phases.Kind {
	return phases.Kind(prefix + strings.ReplaceAll(string(kind), " ", "_"))
}

func flag(f phases.Flags, set bool) phases.Flags {
	if set {
		return f
	}
	return 0
}

func cascade(b pg.DropBehavior) phases.Flags {
	return flag(phases.Cascade, b == pg.DropBehavior_DROP_CASCADE)
}

// operations gives what a statement does. A statement that has no case here is opaque.
func (s *statement) operations(node *pg.Node) []phases.Operation {
	switch v := node.GetNode().(type) {
	// Tables.
	case *pg.Node_CreateStmt:
		return s.createTable(v.CreateStmt, false)
	case *pg.Node_CreateForeignTableStmt:
		ops := s.createTable(v.CreateForeignTableStmt.BaseStmt, true)
		ops[0].Table.Server = v.CreateForeignTableStmt.Servername
		return ops
	case *pg.Node_CreateTableAsStmt:
		return s.createTableAs(v.CreateTableAsStmt)
	case *pg.Node_AlterTableStmt:
		return s.alterTable(v.AlterTableStmt)
	case *pg.Node_AlterTableMoveAllStmt:
		op := s.make("set_tablespace_all", phases.Object{Kind: phases.Tablespace, Name: v.AlterTableMoveAllStmt.OrigTablespacename})
		op.To, op.Text = v.AlterTableMoveAllStmt.NewTablespacename, string(objectKind(v.AlterTableMoveAllStmt.Objtype))
		return []phases.Operation{op}
	case *pg.Node_TruncateStmt:
		return s.truncate(v.TruncateStmt)
	case *pg.Node_LockStmt:
		return s.lock(v.LockStmt)

	// Indexes and upkeep.
	case *pg.Node_IndexStmt:
		return s.createIndex(v.IndexStmt)
	case *pg.Node_ReindexStmt:
		return s.reindex(v.ReindexStmt)
	case *pg.Node_ClusterStmt:
		return s.cluster(v.ClusterStmt)
	case *pg.Node_VacuumStmt:
		return s.vacuum(v.VacuumStmt)
	case *pg.Node_RefreshMatViewStmt:
		return s.refresh(v.RefreshMatViewStmt)
	case *pg.Node_CheckPointStmt:
		return s.one("checkpoint", phases.Object{})

	// Views, sequences, types, routines, triggers.
	case *pg.Node_ViewStmt:
		return s.createView(v.ViewStmt)
	case *pg.Node_CreateSeqStmt:
		return s.createSequence(v.CreateSeqStmt)
	case *pg.Node_AlterSeqStmt:
		return s.alterSequence(v.AlterSeqStmt)
	case *pg.Node_CreateEnumStmt:
		op := s.make("create_enum", named(phases.Type, v.CreateEnumStmt.TypeName))
		op.TypeDef = &phases.TypeDef{Form: "enum", Values: words(v.CreateEnumStmt.Vals)}
		return []phases.Operation{op}
	case *pg.Node_AlterEnumStmt:
		return s.alterEnum(v.AlterEnumStmt)
	case *pg.Node_CompositeTypeStmt:
		return s.createComposite(v.CompositeTypeStmt)
	case *pg.Node_CreateRangeStmt:
		op := s.make("create_range_type", named(phases.Type, v.CreateRangeStmt.TypeName))
		op.TypeDef = &phases.TypeDef{Form: "range"}
		return []phases.Operation{op}
	case *pg.Node_AlterTypeStmt:
		op := s.make("alter_base_type", named(phases.Type, v.AlterTypeStmt.TypeName))
		op.Names, _ = options(v.AlterTypeStmt.Options)
		return []phases.Operation{op}
	case *pg.Node_CreateDomainStmt:
		return s.createDomain(v.CreateDomainStmt)
	case *pg.Node_AlterDomainStmt:
		return s.alterDomain(v.AlterDomainStmt)
	case *pg.Node_DefineStmt:
		return s.define(v.DefineStmt)
	case *pg.Node_CreateFunctionStmt:
		return s.createFunction(v.CreateFunctionStmt)
	case *pg.Node_AlterFunctionStmt:
		return s.alterFunction(v.AlterFunctionStmt)
	case *pg.Node_CreateTrigStmt:
		return s.createTrigger(v.CreateTrigStmt)
	case *pg.Node_CreateEventTrigStmt:
		op := s.make("create_event_trigger", phases.Object{Kind: phases.EventTrigger, Name: v.CreateEventTrigStmt.Trigname})
		op.Text = v.CreateEventTrigStmt.Eventname
		op.Ref = named(phases.Function, v.CreateEventTrigStmt.Funcname)
		return []phases.Operation{op}
	case *pg.Node_AlterEventTrigStmt:
		kind := phases.Kind("enable_event_trigger")
		if v.AlterEventTrigStmt.Tgenabled == "D" {
			kind = "disable_event_trigger"
		}
		return s.one(kind, phases.Object{Kind: phases.EventTrigger, Name: v.AlterEventTrigStmt.Trigname})
	case *pg.Node_RuleStmt:
		return s.createRule(v.RuleStmt)
	case *pg.Node_CreatePolicyStmt:
		return s.createPolicy(v.CreatePolicyStmt)
	case *pg.Node_AlterPolicyStmt:
		return s.alterPolicy(v.AlterPolicyStmt)

	// Whatever has an object of any kind.
	case *pg.Node_DropStmt:
		return s.drop(v.DropStmt)
	case *pg.Node_RenameStmt:
		return s.rename(v.RenameStmt)
	case *pg.Node_AlterObjectSchemaStmt:
		return s.setSchema(v.AlterObjectSchemaStmt)
	case *pg.Node_AlterOwnerStmt:
		return s.owner(v.AlterOwnerStmt)
	case *pg.Node_AlterObjectDependsStmt:
		return s.depends(v.AlterObjectDependsStmt)
	case *pg.Node_CommentStmt:
		return s.one("comment", s.object(v.CommentStmt.Objtype, nil, v.CommentStmt.Object))
	case *pg.Node_SecLabelStmt:
		return s.one("security_label", s.object(v.SecLabelStmt.Objtype, nil, v.SecLabelStmt.Object))

	// Data.
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return s.query(node)
	case *pg.Node_CopyStmt:
		return s.copy(v.CopyStmt)
	case *pg.Node_CallStmt:
		return s.call(v.CallStmt)
	case *pg.Node_DoStmt:
		return s.do(v.DoStmt)
	case *pg.Node_ExplainStmt:
		return s.explain(v.ExplainStmt)
	case *pg.Node_PrepareStmt:
		op := s.make("prepare", phases.Object{Kind: phases.Other, Name: v.PrepareStmt.Name})
		op.Body = s.operations(v.PrepareStmt.Query)
		return []phases.Operation{op}
	case *pg.Node_ExecuteStmt:
		return s.one("execute", phases.Object{Kind: phases.Other, Name: v.ExecuteStmt.Name})
	case *pg.Node_DeallocateStmt:
		return s.one("session", phases.Object{})
	case *pg.Node_DeclareCursorStmt:
		op := s.make("select", phases.Object{})
		op.Query = query(v.DeclareCursorStmt.Query)
		return []phases.Operation{op}

	default:
		return s.other(node)
	}
}

// other holds the statements about the session, the server and the objects that applications do not see.
func (s *statement) other(node *pg.Node) []phases.Operation {
	switch v := node.GetNode().(type) {
	case *pg.Node_FetchStmt, *pg.Node_ClosePortalStmt, *pg.Node_VariableShowStmt, *pg.Node_ListenStmt,
		*pg.Node_UnlistenStmt, *pg.Node_ConstraintsSetStmt:
		return s.one("session", phases.Object{})
	case *pg.Node_NotifyStmt:
		return s.one("notify", phases.Object{Kind: phases.Other, Name: v.NotifyStmt.Conditionname})
	case *pg.Node_LoadStmt:
		return s.one("load", phases.Object{Kind: phases.Other, Name: v.LoadStmt.Filename})
	case *pg.Node_VariableSetStmt:
		return s.set(v.VariableSetStmt)
	case *pg.Node_DiscardStmt:
		if v.DiscardStmt.Target == pg.DiscardMode_DISCARD_ALL {
			return s.one("discard_all", phases.Object{})
		}
		return s.one("session", phases.Object{})
	case *pg.Node_TransactionStmt:
		return s.one("transaction_control", phases.Object{Kind: phases.Other, Name: controlWord(v.TransactionStmt)})

	case *pg.Node_CreateSchemaStmt:
		return s.createSchema(v.CreateSchemaStmt)
	case *pg.Node_CreateExtensionStmt:
		op := s.make("create_extension", phases.Object{Kind: phases.Extension, Name: v.CreateExtensionStmt.Extname})
		op.Flags = flag(phases.IfNotExists, v.CreateExtensionStmt.IfNotExists)
		_, values := options(v.CreateExtensionStmt.Options)
		op.To = values["schema"]
		op.Flags |= flag(phases.Cascade, on(values, "cascade"))
		return []phases.Operation{op}
	case *pg.Node_AlterExtensionStmt:
		return s.one("update_extension", phases.Object{Kind: phases.Extension, Name: v.AlterExtensionStmt.Extname})
	case *pg.Node_AlterExtensionContentsStmt:
		op := s.make("alter_extension_contents", phases.Object{Kind: phases.Extension, Name: v.AlterExtensionContentsStmt.Extname})
		op.Ref = s.object(v.AlterExtensionContentsStmt.Objtype, nil, v.AlterExtensionContentsStmt.Object)
		return []phases.Operation{op}
	case *pg.Node_CreateStatsStmt:
		return s.createStatistics(v.CreateStatsStmt)
	case *pg.Node_AlterStatsStmt:
		return s.one("alter_statistics", named(phases.Statistics, v.AlterStatsStmt.Defnames))
	case *pg.Node_CreatePublicationStmt:
		return s.createPublication(v.CreatePublicationStmt)
	case *pg.Node_AlterPublicationStmt:
		return s.alterPublication(v.AlterPublicationStmt)
	case *pg.Node_CreateSubscriptionStmt:
		op := s.make("create_subscription", phases.Object{Kind: phases.Subscription, Name: v.CreateSubscriptionStmt.Subname})
		_, values := options(v.CreateSubscriptionStmt.Options)
		create, said := values["create_slot"]
		connect, saidConnect := values["connect"]
		if said && create == "false" || saidConnect && connect == "false" {
			op.Kind = "create_subscription_no_slot"
		}
		return []phases.Operation{op}
	case *pg.Node_AlterSubscriptionStmt:
		kind := phases.Kind("alter_subscription")
		if v.AlterSubscriptionStmt.Kind == pg.AlterSubscriptionType_ALTER_SUBSCRIPTION_REFRESH {
			kind = "refresh_subscription"
		}
		return s.one(kind, phases.Object{Kind: phases.Subscription, Name: v.AlterSubscriptionStmt.Subname})
	case *pg.Node_DropSubscriptionStmt:
		op := s.make("drop_subscription", phases.Object{Kind: phases.Subscription, Name: v.DropSubscriptionStmt.Subname})
		op.Flags = flag(phases.IfExists, v.DropSubscriptionStmt.MissingOk)
		return []phases.Operation{op}

	case *pg.Node_CreateRoleStmt, *pg.Node_AlterRoleStmt, *pg.Node_AlterRoleSetStmt, *pg.Node_DropRoleStmt,
		*pg.Node_DropOwnedStmt, *pg.Node_ReassignOwnedStmt, *pg.Node_GrantStmt, *pg.Node_GrantRoleStmt,
		*pg.Node_AlterDefaultPrivilegesStmt:
		return s.roles(node)

	case *pg.Node_CreatedbStmt:
		return s.one("create_database", phases.Object{Kind: phases.Database, Name: v.CreatedbStmt.Dbname})
	case *pg.Node_DropdbStmt:
		op := s.make("drop_database", phases.Object{Kind: phases.Database, Name: v.DropdbStmt.Dbname})
		op.Flags = flag(phases.IfExists, v.DropdbStmt.MissingOk)
		return []phases.Operation{op}
	case *pg.Node_AlterDatabaseStmt:
		op := s.make("alter_database", phases.Object{Kind: phases.Database, Name: v.AlterDatabaseStmt.Dbname})
		var values map[string]string
		op.Names, values = options(v.AlterDatabaseStmt.Options)
		if _, ok := values["tablespace"]; ok {
			op.Kind = "alter_database_tablespace"
		}
		if values["allow_connections"] == "false" || values["connection_limit"] == "0" {
			op.Kind = "restrict_database"
		}
		return []phases.Operation{op}
	case *pg.Node_AlterDatabaseRefreshCollStmt:
		return s.one("refresh_collation_version", phases.Object{Kind: phases.Database, Name: v.AlterDatabaseRefreshCollStmt.Dbname})
	case *pg.Node_AlterDatabaseSetStmt:
		return s.setting("alter_database_setting", phases.Object{Kind: phases.Database, Name: v.AlterDatabaseSetStmt.Dbname}, v.AlterDatabaseSetStmt.Setstmt)
	case *pg.Node_AlterSystemStmt:
		return s.setting("alter_system", phases.Object{}, v.AlterSystemStmt.Setstmt)
	case *pg.Node_CreateTableSpaceStmt:
		return s.one("create_tablespace", phases.Object{Kind: phases.Tablespace, Name: v.CreateTableSpaceStmt.Tablespacename})
	case *pg.Node_DropTableSpaceStmt:
		op := s.make("drop_tablespace", phases.Object{Kind: phases.Tablespace, Name: v.DropTableSpaceStmt.Tablespacename})
		op.Flags = flag(phases.IfExists, v.DropTableSpaceStmt.MissingOk)
		return []phases.Operation{op}
	case *pg.Node_AlterTableSpaceOptionsStmt:
		return s.one("alter_tablespace", phases.Object{Kind: phases.Tablespace, Name: v.AlterTableSpaceOptionsStmt.Tablespacename})

	case *pg.Node_CreateFdwStmt:
		return s.one("create_foreign_data_wrapper", phases.Object{Kind: phases.Wrapper, Name: v.CreateFdwStmt.Fdwname})
	case *pg.Node_AlterFdwStmt:
		return s.one("alter_foreign_data_wrapper", phases.Object{Kind: phases.Wrapper, Name: v.AlterFdwStmt.Fdwname})
	case *pg.Node_CreateForeignServerStmt:
		op := s.make("create_server", phases.Object{Kind: phases.Server, Name: v.CreateForeignServerStmt.Servername})
		op.Flags = flag(phases.IfNotExists, v.CreateForeignServerStmt.IfNotExists)
		op.Ref = phases.Object{Kind: phases.Wrapper, Name: v.CreateForeignServerStmt.Fdwname}
		return []phases.Operation{op}
	case *pg.Node_AlterForeignServerStmt:
		op := s.make("alter_server", phases.Object{Kind: phases.Server, Name: v.AlterForeignServerStmt.Servername})
		if len(v.AlterForeignServerStmt.Options) > 0 {
			op.Kind = "alter_server_options"
		}
		return []phases.Operation{op}
	case *pg.Node_CreateUserMappingStmt:
		return s.userMapping("create_user_mapping", v.CreateUserMappingStmt.User, v.CreateUserMappingStmt.Servername, false)
	case *pg.Node_AlterUserMappingStmt:
		return s.userMapping("alter_user_mapping", v.AlterUserMappingStmt.User, v.AlterUserMappingStmt.Servername, false)
	case *pg.Node_DropUserMappingStmt:
		return s.userMapping("drop_user_mapping", v.DropUserMappingStmt.User, v.DropUserMappingStmt.Servername, v.DropUserMappingStmt.MissingOk)
	case *pg.Node_ImportForeignSchemaStmt:
		op := s.make("import_foreign_schema", phases.Object{Kind: phases.Schema, Name: v.ImportForeignSchemaStmt.LocalSchema})
		op.Ref = phases.Object{Kind: phases.Server, Name: v.ImportForeignSchemaStmt.ServerName}
		return []phases.Operation{op}

	case *pg.Node_CreateAmStmt:
		return s.one("create_access_method", phases.Object{Kind: phases.AccessMethod, Name: v.CreateAmStmt.Amname})
	case *pg.Node_CreatePlangStmt:
		return s.one("create_language", phases.Object{Kind: phases.Language, Name: v.CreatePlangStmt.Plname})
	case *pg.Node_CreateConversionStmt:
		kind := phases.Kind("create_conversion")
		if v.CreateConversionStmt.Def {
			kind = "create_default_conversion"
		}
		return s.one(kind, named(phases.Conversion, v.CreateConversionStmt.ConversionName))
	case *pg.Node_CreateCastStmt:
		return s.createCast(v.CreateCastStmt)
	case *pg.Node_CreateTransformStmt:
		op := s.make("create_transform", phases.Object{Kind: phases.Transform, Name: typeName(v.CreateTransformStmt.TypeName).String()})
		op.Text = v.CreateTransformStmt.Lang
		return []phases.Operation{op}
	case *pg.Node_CreateOpClassStmt:
		op := s.make("create_operator_class", named(phases.OperatorClass, v.CreateOpClassStmt.Opclassname))
		op.Type = typeName(v.CreateOpClassStmt.Datatype).String()
		return []phases.Operation{op}
	case *pg.Node_CreateOpFamilyStmt:
		return s.one("create_operator_family", named(phases.OperatorFamily, v.CreateOpFamilyStmt.Opfamilyname))
	case *pg.Node_AlterOpFamilyStmt:
		kind := phases.Kind("alter_operator_family_add")
		if v.AlterOpFamilyStmt.IsDrop {
			kind = "alter_operator_family_drop"
		}
		return s.one(kind, named(phases.OperatorFamily, v.AlterOpFamilyStmt.Opfamilyname))
	case *pg.Node_AlterOperatorStmt:
		return s.one("alter_operator", withArgs(phases.Operator, v.AlterOperatorStmt.Opername))
	case *pg.Node_AlterCollationStmt:
		return s.one("refresh_collation_version", named(phases.Collation, v.AlterCollationStmt.Collname))
	case *pg.Node_AlterTsdictionaryStmt:
		return s.one("alter_text_search_dictionary", named(phases.TextSearch, v.AlterTsdictionaryStmt.Dictname))
	case *pg.Node_AlterTsconfigurationStmt:
		return s.one("alter_text_search_configuration", named(phases.TextSearch, v.AlterTsconfigurationStmt.Cfgname))
	default:
		return s.opaque()
	}
}
