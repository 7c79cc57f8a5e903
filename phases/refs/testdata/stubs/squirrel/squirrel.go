// Package squirrel has the parts of squirrel's interface that the tests call.
package squirrel

type (
	SelectBuilder struct{}
	UpdateBuilder struct{}
	Eq            map[string]any
)

func Select(columns ...string) SelectBuilder                       { return SelectBuilder{} }
func (b SelectBuilder) From(from string) SelectBuilder             { return b }
func (b SelectBuilder) Where(pred any, args ...any) SelectBuilder  { return b }
func (b SelectBuilder) OrderBy(orderBys ...string) SelectBuilder   { return b }
func (b SelectBuilder) ToSql() (string, []any, error)              { return "", nil, nil }
func Update(table string) UpdateBuilder                            { return UpdateBuilder{} }
func (b UpdateBuilder) Set(column string, value any) UpdateBuilder { return b }
func (b UpdateBuilder) ToSql() (string, []any, error)              { return "", nil, nil }
