package clause

type Column struct{ Table, Name string }

type OnConflict struct {
	Columns   []Column
	DoNothing bool
}
