package phases

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// fill gives every field of a value something that is not zero, so that a field which nobody packs is seen to be missing.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString("word" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32:
		v.SetInt(int64(*n) * 37)
	case reflect.Uint8:
		v.SetUint(uint64(*n%200 + 1))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(v.Kind())
	}
}

func filled[T any](n *int) T {
	var out T
	fill(reflect.ValueOf(&out).Elem(), n)
	return out
}

func TestPackedRelation(t *testing.T) {
	t.Parallel()
	n := 0
	c := NewCatalog(0)
	r, other := c.newRel(Object{Relation: "t"}, Table), c.newRel(Object{Relation: "other"}, Table)
	k := &con{ConstraintDef: filled[ConstraintDef](&n), table: r, ref: other, valid: true, born: 7, inherited: true}
	i := &index{IndexDef: filled[IndexDef](&n), schema: "s", table: r, born: 300, constraint: k, invalid: true}
	k.index = i
	e := filled[Expr](&n)
	b := r.open()
	b.columns = []*col{
		{name: "a", typ: c.store.typeOf(filled[TypeName](&n)), def: &e, expression: &e, collation: "C", born: -1, identity: 'a', generated: 's', notNull: true, serial: true},
		{name: "b", typ: c.store.typeOf(TypeName{}), expression: &Expr{Columns: []string{}}},
	}
	b.constraints = []*con{k, {table: r}}
	b.indexes = []*index{i, {table: r}}
	b.surroundings = surroundings{owner: "o", tablespace: "x", reads: []*rel{other}}
	r.pack()
	require.Nil(t, r.inside)
	require.NotEmpty(t, r.packed)
	require.Equal(t, b, r.open())
	require.Same(t, other, r.open().constraints[0].ref)
	require.Same(t, r.open().indexes[0], r.open().constraints[0].index)
	require.Same(t, c.store.types[0], r.open().columns[0].typ)
}

// TestPackedFields holds that whoever adds a field to what is packed packs it: the numbers are those of the fields that packed.go knows.
func TestPackedFields(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		value any
		want  int
	}{{col{}, 10}, {con{}, 7}, {index{}, 7}, {ConstraintDef{}, 19}, {IndexDef{}, 11}, {Expr{}, 15}, {TypeName{}, 6}, {FunctionUse{}, 5}, {Range{}, 3}, {Object{}, 5}} {
		require.Equal(t, one.want, reflect.TypeOf(one.value).NumField(), "%T", one.value)
	}
}

// TestMuchIsPacked holds that a long history leaves few bodies open, and that the schema is the same.
func TestMuchIsPacked(t *testing.T) {
	t.Parallel()
	c := NewCatalog(0)
	for range 5 * maxOpen {
		r := c.newRel(Object{Relation: "t" + string(rune('a'+len(c.relations)))}, Table)
		c.addColumn(r, &ColumnDef{Name: "id", Type: TypeName{Name: "int8"}, Identity: 'd'})
		c.addConstraint(r, ConstraintDef{Type: PrimaryKeyConstraint, Columns: []string{"id"}})
	}
	before := c.Columns()
	c.store.rest()
	open := 0
	for _, r := range c.relations {
		if r.inside != nil {
			open++
		}
	}
	require.Zero(t, open)
	require.Equal(t, before, c.Columns())
	require.NotNil(t, c.index(Object{Relation: "ta_pkey"}))
}
