package parse

import (
	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

func (s *statement) reindex(r *pg.ReindexStmt) []phases.Operation {
	_, values := options(r.Params)
	concurrently := false
	if _, ok := values["concurrently"]; ok {
		concurrently = values["concurrently"] == "" || on(values, "concurrently")
	}
	var op phases.Operation
	switch r.Kind {
	case pg.ReindexObjectType_REINDEX_OBJECT_INDEX:
		op = s.make("reindex_index", relation(phases.Index, r.Relation))
	case pg.ReindexObjectType_REINDEX_OBJECT_TABLE:
		op = s.make("reindex_table", relation(phases.Table, r.Relation))
	case pg.ReindexObjectType_REINDEX_OBJECT_SCHEMA:
		op = s.make("reindex_schema", phases.Object{Kind: phases.Schema, Name: r.Name})
	case pg.ReindexObjectType_REINDEX_OBJECT_SYSTEM:
		op = s.make("reindex_system", phases.Object{Kind: phases.Database, Name: r.Name})
	default:
		op = s.make("reindex_database", phases.Object{Kind: phases.Database, Name: r.Name})
	}
	if concurrently {
		op.Kind += "_concurrently"
		op.Flags |= phases.Concurrently
	}
	return []phases.Operation{op}
}

func (s *statement) cluster(c *pg.ClusterStmt) []phases.Operation {
	if c.Relation == nil {
		return s.one("cluster_all", phases.Object{})
	}
	op := s.make("cluster", relation(phases.Table, c.Relation))
	op.Text = c.Indexname
	return []phases.Operation{op}
}

func (s *statement) vacuum(v *pg.VacuumStmt) []phases.Operation {
	kind := phases.Kind("analyze")
	if v.IsVacuumcmd {
		kind = "vacuum"
		_, values := options(v.Options)
		if _, ok := values["full"]; ok && (values["full"] == "" || on(values, "full")) {
			kind = "vacuum_full"
		}
	}
	if len(v.Rels) == 0 {
		op := s.make(kind, phases.Object{})
		op.Flags = phases.AllObjects
		return []phases.Operation{op}
	}
	var ops []phases.Operation
	for _, n := range v.Rels {
		ops = append(ops, s.make(kind, relation(phases.Table, n.GetVacuumRelation().GetRelation())))
	}
	return ops
}

func (s *statement) refresh(r *pg.RefreshMatViewStmt) []phases.Operation {
	op := s.make("refresh_materialized_view", relation(phases.MatView, r.Relation))
	op.Flags = flag(phases.NoData, r.SkipData) | flag(phases.Concurrently, r.Concurrent)
	if r.Concurrent {
		op.Kind = "refresh_materialized_view_concurrently"
	}
	return []phases.Operation{op}
}
