package refs

import (
	"go/types"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// sinkKind is what a call does with the SQL that it is given.
type sinkKind int

const (
	noSink sinkKind = iota
	// statementSink takes a whole statement.
	statementSink
	// pieceSink takes pieces of a statement: conditions, columns, tables.
	pieceSink
	// copySink takes a table and its columns by name.
	copySink
	// typeSink takes the name of a type.
	typeSink
)

// sink is a function that sends SQL.
type sink struct {
	kind sinkKind
	// call is the function's name for messages.
	call string
	// args are the indexes, among the call's arguments without the receiver, of those that hold SQL.
	args []int
	// prepared is the index of the name that the statement gets, -1 for none.
	prepared int
}

// library is a package, or a tree of packages, that talks to a database.
type library struct {
	path string
	// orm is true where the library makes statements from types of the source.
	orm bool
	// builder is true where most functions take pieces of statements.
	builder bool
}

// libraries are the packages whose calls are understood. What is not among them and imports one of them is read for its
// constants.
var libraries = []library{ //nolint:gochecknoglobals // a constant table
	{path: "database/sql"},
	{path: "github.com/jackc/pgx"},
	{path: "github.com/jackc/pgconn"},
	{path: "github.com/jackc/pgtype"},
	{path: "github.com/lib/pq"},
	{path: "github.com/jmoiron/sqlx"},
	{path: "github.com/gobuffalo/pop", orm: true, builder: true},
	{path: "github.com/uptrace/bun", orm: true, builder: true},
	{path: "gorm.io/gorm", orm: true, builder: true},
	{path: "gorm.io/driver/postgres"},
	{path: "gorm.io/hints", builder: true},
	{path: "github.com/Masterminds/squirrel", builder: true},
	{path: "github.com/doug-martin/goqu", builder: true},
}

// unread are libraries that make statements in a way that is not understood: their statements must be harvested.
var unread = map[string]string{ //nolint:gochecknoglobals // a constant table
	"entgo.io/ent": "ent", "xorm.io/xorm": "xorm", "github.com/upper/db": "upper/db", "github.com/go-pg/pg": "go-pg",
	"github.com/volatiletech/sqlboiler": "SQLBoiler", "github.com/aarondl/sqlboiler": "SQLBoiler", "github.com/go-gorp/gorp": "gorp",
	"gopkg.in/gorp.v1": "gorp", "github.com/go-rel/rel": "rel", "github.com/go-jet/jet": "jet", "github.com/gocraft/dbr": "dbr",
	"github.com/beego/beego": "beego's ORM", "github.com/astaxie/beego": "beego's ORM", "gopkg.in/reform.v1": "reform",
	"github.com/jinzhu/gorm": "GORM 1", "github.com/huandu/go-sqlbuilder": "go-sqlbuilder", "github.com/stephenafamo/bob": "bob",
}

func libraryOf(path string) (library, bool) {
	for _, l := range libraries {
		if path == l.path || strings.HasPrefix(path, l.path+"/") || strings.HasPrefix(path, l.path+".") {
			return l, true
		}
	}
	return library{}, false
}

// statementNames are the functions that send a whole statement, in all libraries: each calls the parameter with the
// statement by one of statementParams, or else it is the last string.
var statementNames = nameSet(`Exec ExecContext Query QueryContext QueryRow QueryRowContext Prepare PrepareContext Queue
	NamedExec NamedExecContext NamedQuery NamedQueryContext NamedQueryRow MustExec MustExecContext PrepareNamed PrepareNamedContext Preparex
	PreparexContext Queryx QueryxContext QueryRowx QueryRowxContext Get GetContext Select SelectContext Raw RawQuery NewRaw
	ExecParams CopyTo CopyFrom MultiExec ExecBatch QueryFunc BeginEx LoadFile Stream ExecStatement NewRawQuery`) //nolint:gochecknoglobals // a constant table

var statementParams = nameSet(`sql query stmt statement q sqlStr rawSQL cmd querySQL`) //nolint:gochecknoglobals // a constant table

// otherStrings are functions of builders and ORMs whose strings are no SQL.
var otherStrings = nameSet(`Connect Open OpenDB New NewDB Register RegisterDialect Set InstanceSet Get InstanceGet SavePoint RollbackTo
	AddError Use Log Debug Printf Errorf AddLookupPaths LoadConfigFile LoadFrom NewConnection Dialect RegisterModel RegisterOnce
	SetLogger Migrate MigrationURL SetColumn NewMigrator NewFileMigrator AddTenancy Named WithNamedArg WithArg Trace Info Warn Error
	RegisterClause RegisterSerializer ParseConfig URL CreateDB DropDB NewMigrationBox MapTableName`) //nolint:gochecknoglobals // a constant table

func nameSet(words string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		set[w] = true
	}
	return set
}

// sinkOf tells what a call does with SQL.
func (p *program) sinkOf(c *ssa.CallCommon) sink {
	fn, iface := callee(c)
	if fn == nil {
		return sink{}
	}
	name := fn.Name()
	sig := fn.Type().(*types.Signature)
	if !hasText(sig) {
		return sink{}
	}
	pkg := fn.Pkg()
	receiver := receiverName(sig)
	if iface != nil && (pkg == nil || p.ownTypes[pkg]) {
		if !statementNames[name] || !p.isDriver(iface) {
			return sink{}
		}
		if name == "CopyFrom" && sig.Params().Len() == 4 {
			return sink{kind: copySink, call: name}
		}
		return p.statement(sig, name)
	}
	if pkg == nil {
		return sink{}
	}
	lib, known := libraryOf(pkg.Path())
	if !known {
		return sink{}
	}
	shown := pkg.Name() + "." + name
	if receiver != "" {
		shown = pkg.Name() + "." + receiver + "." + name
	}
	switch {
	case strings.HasPrefix(pkg.Path(), "github.com/jackc/"):
		return p.pgx(sig, name, receiver, shown)
	case lib.builder:
		return p.builderSink(sig, pkg.Path(), name, receiver, shown)
	case strings.HasSuffix(receiver, "Stmt") || receiver == "Out" || receiver == "NamedArg":
		return sink{}
	case pkg.Path() == "github.com/lib/pq":
		switch name {
		case "CopyIn", "CopyInSchema":
			return sink{kind: copySink, call: shown}
		}
		return sink{}
	case statementNames[name] && !strings.HasPrefix(pkg.Path(), "database/sql/"):
		if receiver == "" && !strings.HasPrefix(pkg.Path(), "github.com/jmoiron/sqlx") {
			return sink{}
		}
		if receiver == "Conn" && name == "Raw" {
			return sink{}
		}
		return p.statement(sig, shown)
	}
	return sink{}
}

func (p *program) pgx(sig *types.Signature, name, receiver, shown string) sink {
	switch {
	case name == "CopyFrom" && (receiver == "Conn" || receiver == "Tx" || receiver == "Pool") && sig.Params().Len() == 4:
		return sink{kind: copySink, call: shown}
	case name == "LoadType" || name == "LoadTypes":
		return sink{kind: typeSink, call: shown, args: []int{1}}
	case receiver == "Rows" || receiver == "PreparedStatement" || receiver == "LargeObjects" || receiver == "":
		return sink{}
	case name == "ExecPrepared" || name == "ExecPreparedStatementDescription" || name == "Deallocate" || name == "DescribePrepared":
		return sink{}
	case statementNames[name] && name != "Get" && name != "Select" && name != "Raw":
		s := p.statement(sig, shown)
		if name == "Prepare" {
			s.prepared = 1
		}
		return s
	}
	return sink{}
}

// builderSink are the functions of query builders and ORMs.
func (p *program) builderSink(sig *types.Signature, path, name, receiver, shown string) sink {
	squirrel := strings.HasPrefix(path, "github.com/Masterminds/squirrel")
	goqu := strings.HasPrefix(path, "github.com/doug-martin/goqu")
	switch {
	case otherStrings[name] && (name != "Set" || !squirrel && !strings.HasPrefix(path, "github.com/uptrace/bun")):
		return sink{}
	case receiver == "" && !squirrel && !goqu && name != "Expr" && name != "SafeQuery":
		return sink{}
	case strings.HasPrefix(path, "github.com/gobuffalo/pop"):
		if name == "RawQuery" || (name == "Exec" || name == "Query" || name == "QueryRow") && receiver != "Query" {
			return p.statement(sig, shown)
		}
	case strings.HasPrefix(path, "gorm.io/gorm"):
		if (name == "Raw" || name == "Exec") && receiver == "DB" {
			return p.statement(sig, shown)
		}
		if receiver != "DB" && receiver != "Association" && name != "Expr" {
			return sink{}
		}
	case strings.HasPrefix(path, "github.com/uptrace/bun"):
		if (receiver == "DB" || receiver == "Tx" || receiver == "Conn" || receiver == "IDB" || receiver == "IConn") && statementNames[name] {
			return p.statement(sig, shown)
		}
		if receiver == "DB" || receiver == "" && name != "SafeQuery" {
			return sink{}
		}
	case (squirrel || goqu) && (name == "Exec" || name == "Query" || name == "QueryRow" || strings.HasSuffix(name, "Context")) && strings.Contains(receiver, "Cach"):
		return p.statement(sig, shown)
	case goqu && statementNames[name] && (receiver == "Database" || receiver == "TxDatabase") && name != "Select":
		return p.statement(sig, shown)
	}
	s := sink{kind: pieceSink, call: shown, prepared: -1}
	for i := range sig.Params().Len() {
		if mayHoldText(sig.Params().At(i).Type()) {
			s.args = append(s.args, i)
		}
	}
	if len(s.args) == 0 {
		return sink{}
	}
	return s
}

// statement finds the argument that holds the statement.
func (p *program) statement(sig *types.Signature, shown string) sink {
	at := -1
	for i := range sig.Params().Len() {
		v := sig.Params().At(i)
		if !isString(v.Type()) {
			continue
		}
		if statementParams[v.Name()] {
			at = i
			break
		}
		at = i
	}
	if at < 0 {
		return sink{}
	}
	return sink{kind: statementSink, call: shown, args: []int{at}, prepared: -1}
}

// callee gives the function that a call means; iface is set where it is a method of an interface.
func callee(c *ssa.CallCommon) (fn *types.Func, iface *types.Interface) {
	if c.IsInvoke() {
		i, _ := c.Value.Type().Underlying().(*types.Interface)
		return c.Method, i
	}
	f := c.StaticCallee()
	if f == nil {
		return nil, nil
	}
	if o := f.Origin(); o != nil {
		f = o
	}
	if o, ok := f.Object().(*types.Func); ok {
		return o, nil
	}
	return nil, nil
}

func receiverName(sig *types.Signature) string {
	recv := sig.Recv()
	if recv == nil {
		return ""
	}
	switch t := deref(recv.Type()).(type) {
	case *types.Named:
		return t.Obj().Name()
	case *types.Alias:
		return t.Obj().Name()
	}
	return "interface"
}

// hasText reports whether a function takes anything that could be SQL.
func hasText(sig *types.Signature) bool {
	for i := range sig.Params().Len() {
		if mayHoldText(sig.Params().At(i).Type()) {
			return true
		}
	}
	return false
}

func mayHoldText(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Info()&types.IsString != 0
	case *types.Slice:
		return mayHoldText(u.Elem())
	case *types.Interface:
		return true
	case *types.Map:
		return mayHoldText(u.Key())
	}
	return false
}

// isDriver reports whether a connection, pool or transaction of a library can stand in an interface of the source, or
// whether the interface is told to give what only such a thing gives.
func (p *program) isDriver(iface *types.Interface) bool {
	for _, t := range p.driverTypes() {
		if implements(t, iface) {
			return true
		}
	}
	for m := range iface.Methods() {
		sig := m.Type().(*types.Signature)
		if !statementNames[m.Name()] {
			continue
		}
		for i := range sig.Results().Len() {
			if named, ok := deref(sig.Results().At(i).Type()).(*types.Named); ok && named.Obj().Pkg() != nil {
				if _, known := libraryOf(named.Obj().Pkg().Path()); known {
					return true
				}
			}
		}
	}
	return false
}

// driverTypes are the types of the libraries that the source imports and that send statements.
func (p *program) driverTypes() []types.Type {
	if p.drivers != nil {
		return p.drivers
	}
	p.drivers = []types.Type{}
	for _, pkg := range p.ssa.AllPackages() {
		if _, known := libraryOf(pkg.Pkg.Path()); !known {
			continue
		}
		scope := pkg.Pkg.Scope()
		for _, name := range scope.Names() {
			tn, ok := scope.Lookup(name).(*types.TypeName)
			if !ok || !tn.Exported() {
				continue
			}
			named, ok := tn.Type().(*types.Named)
			if !ok || named.TypeParams().Len() > 0 {
				continue
			}
			if _, isInterface := named.Underlying().(*types.Interface); isInterface {
				p.drivers = append(p.drivers, named)
				continue
			}
			p.drivers = append(p.drivers, types.NewPointer(named))
		}
	}
	return p.drivers
}
