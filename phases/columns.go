package phases

// Columns lists the relations of the catalog that code can name, by `schema.name`, with their columns. A relation that
// could not be followed is left out.
func (c *Catalog) Columns() map[string][]string {
	out := map[string][]string{}
	for _, r := range c.sorted() {
		switch r.kind {
		case Table, View, MatView, ForeignTable:
		default:
			continue
		}
		if r.unfollowed || len(r.open().columns) == 0 {
			continue
		}
		names := make([]string, len(r.open().columns))
		for i, k := range r.open().columns {
			names[i] = k.name
		}
		out[r.schema+"."+r.name] = names
	}
	return out
}
