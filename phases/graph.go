package phases

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Node is an object of a Catalog that code can get at by way of others.
type Node struct {
	Object Object
	// Columns are a relation's; nil for functions and where they are not known.
	Columns []string
	// Definition and Language are a function's statement and language; empty for relations.
	Definition, Language string
}

// EdgeKind is how one object leads to another.
type EdgeKind string

// The kinds of edges.
const (
	// ByView is a view's or a rule's query, which PostgreSQL itself keeps from losing what it reads.
	ByView EdgeKind = "view"
	// ByInheritance is what a child has from its parent, ByParent what of a child is in its parent.
	ByInheritance EdgeKind = "inherit"
	ByParent      EdgeKind = "parent"
	// ByTrigger is what runs when rows of a table are written: its triggers' functions, its defaults and its checks.
	ByTrigger EdgeKind = "trigger"
	// ByPolicy is what the expression of a policy reads, for every use of the table that it guards.
	ByPolicy EdgeKind = "policy"
	// ByUse is any other use.
	ByUse EdgeKind = "use"
)

// Edge says that code which uses the node By gets at the node Used. Both are places in the list of nodes.
type Edge struct {
	Used, By int
	Kind     EdgeKind
}

// Graph lists the relations and functions of the catalog and how they lead to each other, as far as the statements that
// made them tell without their bodies: a function's body is text.
func (c *Catalog) Graph() ([]Node, []Edge) {
	var nodes []Node
	var edges []Edge
	relations := map[*rel]int{}
	routines := map[string][]int{}
	sorted := c.sorted()
	for _, r := range sorted {
		relations[r] = len(nodes)
		var columns []string
		if !r.unfollowed {
			for _, k := range r.open().columns {
				columns = append(columns, k.name)
			}
		}
		nodes = append(nodes, Node{Object: Object{Kind: Table, Schema: r.schema, Relation: r.name}, Columns: columns})
	}
	for _, k := range slices.SortedFunc(maps.Keys(c.functions), compareNames) {
		for _, f := range c.functions[k] {
			routines[k.name] = append(routines[k.name], len(nodes))
			nodes = append(nodes, Node{
				Object: Object{Kind: Function, Schema: f.schema, Name: f.name}, Definition: f.Definition, Language: f.Language,
			})
		}
	}
	add := func(used *rel, by int, kind EdgeKind) {
		if at, ok := relations[used]; ok && at != by {
			edges = append(edges, Edge{at, by, kind})
		}
	}
	call := func(name string, by int, kind EdgeKind) {
		for _, at := range routines[name] {
			edges = append(edges, Edge{at, by, kind})
		}
	}
	expression := func(e *Expr, by int, kind EdgeKind) {
		if e == nil {
			return
		}
		for _, f := range e.Functions {
			call(f.Name, by, kind)
			if f.Literal != "" {
				add(c.rel(sequenceOf(f.Literal)), by, kind)
			}
		}
	}
	for by, r := range sorted {
		for _, below := range r.open().reads {
			add(below, by, ByView)
		}
		if r.open().query != nil {
			for _, f := range r.open().query.Functions {
				call(f.Name, by, ByView)
			}
		}
		for _, child := range r.open().children {
			add(child, by, ByParent)
			edges = append(edges, Edge{by, relations[child], ByInheritance})
		}
		for _, k := range r.open().columns {
			expression(k.def, by, ByTrigger)
			expression(k.expression, by, ByTrigger)
		}
		for _, s := range r.sequences {
			add(s, by, ByTrigger)
		}
		for _, k := range r.open().constraints {
			expression(k.Expr, by, ByTrigger)
		}
		for _, t := range r.open().triggers {
			call(t.Function.Name, by, ByTrigger)
			for _, a := range t.Actions {
				add(c.rel(a.On), by, ByView)
			}
		}
		for _, p := range r.open().policies {
			expression(p.Using, by, ByPolicy)
			expression(p.Check, by, ByPolicy)
		}
	}
	for k, all := range c.functions {
		for _, f := range all {
			for _, at := range routines[k.name] {
				for _, o := range f.Reads {
					add(c.rel(o), at, ByUse)
				}
			}
		}
	}
	slices.SortFunc(edges, func(a, b Edge) int {
		return cmp.Or(a.Used-b.Used, a.By-b.By, strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return nodes, slices.Compact(edges)
}

func compareNames(a, b qname) int {
	return cmp.Or(strings.Compare(a.schema, b.schema), strings.Compare(a.name, b.name))
}
