package phases

import (
	"slices"
	"strings"
)

// Hole stands in the names and strings of Mentions for a run of characters, perhaps none, that is known only at run
// time. It is of Unicode's private use area, so that no name of a real database holds it by chance.
const Hole = "\uE000"

// Mentions is what the text of one query names, found without a catalog: an over-approximation that may name too much
// and never too little. Names are as PostgreSQL folds them (unquoted ones in lower case). The zero Mentions names
// nothing; use it only for text that is known to send nothing.
type Mentions struct {
	// Relations are the tables, views, sequences and row types named, with what is done to them.
	Relations []RelationMention
	// Names are all identifiers that may name a column, attribute or function, and the operators but for CommonOperator.
	Names map[string]bool
	// Strings are the string constants: enum values, regclass texts, sequence names.
	Strings []string
	// Stars are the relations of which all columns are used without being named: *, a whole row, NATURAL, a column alias
	// list, an INSERT without columns. Star is true where any relation may be meant.
	Stars []string
	Star  bool
	// Spread are the relations under a star in a query that has a place where the number of all columns counts: what is
	// inserted, the arms of a UNION, a row compared with a subquery. Natural are those joined by the names they share.
	Spread, Natural []string
	// Owners gives for a name the relations that it can be a column of, by the qualifier before it or the query around
	// it. A name that is missing may belong to any.
	Owners map[string][]string
	// Selects are relations of which rows are read for sure, so that who runs the query needs the right to select: not
	// every one that is read is among them.
	Selects []RelationName
	// Returns is true for what a function gives back by RETURN QUERY, in which each column has its type.
	Returns bool
	// Groups is true where a GROUP BY is somewhere in the query.
	Groups bool
	// Unparsed is true for text that the parser rejects; Names then holds its identifier tokens and every rule reads
	// them in the strictest way.
	Unparsed bool
	// Patterns are names that contain a Hole. The names of Relations, their columns and Strings may contain one too.
	Patterns []string
	// Among is set for a piece that is put into a statement at run time: each of its names may be a relation's, and its
	// columns may be those of any relation in Among. It is nil for whole statements.
	Among map[string]bool
}

// RelationMention is one relation that a query names.
type RelationMention struct {
	// Schema is empty where the query does not qualify the name.
	Schema, Name string
	Uses         Use
	// Columns are the columns listed for INSERT, assigned by UPDATE or inferred from by ON CONFLICT; nil where none are
	// listed or where they are expressions.
	Columns []string
	// Width is how many values an INSERT without a column list gives; 0 where it cannot be told from the text.
	Width int
	// Defaults are the columns to which the keyword DEFAULT is given, DefaultsAt its places in the rows of an INSERT without
	// a column list, counted from 0.
	Defaults   []string
	DefaultsAt []int
	// Perhaps is true for what is only assumed beside the mention that the query makes.
	Perhaps bool
	// Needs are columns that the relation must have, or else the statement fails whatever it stands for; used for
	// relations whose Name is a pattern.
	Needs []string
}

// Unqualify gives the mentions with one more, without its schema, for each of a schema that is not known: where no file makes a schema, it
// may be the one to which unqualified names lead.
func (m Mentions) Unqualify(known func(schema string) bool) *Mentions {
	m.Relations = slices.Clone(m.Relations)
	for _, r := range m.Relations {
		if r.Schema != "" && !known(r.Schema) {
			r.Schema, r.Perhaps = "", true
			m.Relations = append(m.Relations, r)
		}
	}
	return &m
}

// Mention says how a query meets a Take.
type Mention struct {
	// Uses are the affected uses that the query makes; zero means that the query does not meet the take.
	Uses Use
	// Named is true where the query names the object itself, false where it meets it by a star or by chance of tokens.
	Named bool
	// Through is true where the query also names something through which the object is reached.
	Through bool
	// Inside is true where the query also gets at the object through what runs inside of functions and triggers, which
	// preparing the query does not look into.
	Inside bool
	// Partly is true where the query gets at the object only by way of others of which but some rows lead to it.
	Partly bool
	// Unsure is true where the query meets the object only if what is put into it at run time names the object.
	Unsure bool
}

// Meets tells which of the uses that the take affects the query makes. Reach lists further relations and functions
// through which the taken object is reached without its own name: views, parents, functions; nil means none. Columns are
// all those of the taken object's relation, where they are known: a hole in a statement cannot stand for a relation that
// lacks a column which the statement names.
func (m *Mentions) Meets(take Take, reach []Reached, columns ...string) Mention {
	if take.Holders != nil && !m.RunBy(take.Holders) {
		// None of the roles could run the statement before. A function that it sets off may run as one of them.
		reach = slices.DeleteFunc(slices.Clone(reach), func(r Reached) bool { return !r.Inside })
		if !m.reaches(reach) {
			return Mention{}
		}
	}
	if take.Certainty == Fails && take.Uses&^(Writes|Delete|Conflict) != 0 {
		// PostgreSQL keeps what a view reads; what binds the rows that are written through it is another matter.
		reach = slices.DeleteFunc(slices.Clone(reach), func(r Reached) bool { return r.View })
	}
	found := m.meetsHoles(take, reach, columns)
	if found.Uses != 0 {
		found.Through = m.reaches(reach)
		whole := slices.DeleteFunc(slices.Clone(reach), func(r Reached) bool { return r.Partly })
		found.Partly = len(whole) < len(reach) && m.meetsHoles(take, whole, columns).Uses == 0
		found.Inside = m.reaches(slices.DeleteFunc(slices.Clone(reach), func(r Reached) bool { return !r.Inside }))
	}
	return found
}

// RunBy reports whether one of the holders may run the statement, as far as its text tells.
func (m *Mentions) RunBy(h *Holders) bool {
	if m.Unparsed || m.Among != nil {
		return true
	}
	for _, r := range m.Relations {
		if r.Perhaps {
			continue
		}
		if need := r.Uses & (Insert | Update | Delete); need != 0 && !isPattern(r.Name) && !h.may(r.Schema, r.Name, need) {
			return false
		}
	}
	return !slices.ContainsFunc(m.Selects, func(r RelationName) bool { return !isPattern(r.Name) && !h.may(r.Schema, r.Name, Read) })
}

// meetsHoles tells what a statement meets for sure from what it meets by its holes alone.
func (m *Mentions) meetsHoles(take Take, reach []Reached, columns []string) Mention {
	if len(m.Patterns) > 0 || m.Among != nil || slices.ContainsFunc(m.Relations, func(r RelationMention) bool { return isPattern(r.Name) }) {
		sure := *m
		sure.Patterns, sure.Among = nil, nil
		sure.Relations = slices.DeleteFunc(slices.Clone(m.Relations), func(r RelationMention) bool {
			return isPattern(r.Name) && columns != nil && slices.ContainsFunc(r.Needs, func(n string) bool { return !slices.Contains(columns, n) })
		})
		if m.Among != nil {
			return sure.pieceMeets(take, reach, m.Patterns, m.Among)
		}
		whole := sure
		whole.Patterns = m.Patterns
		found := whole.meets(take, reach, columns)
		sure.Relations = slices.DeleteFunc(slices.Clone(sure.Relations), func(r RelationMention) bool { return isPattern(r.Name) })
		certain := sure.meets(take, reach, columns)
		found.Unsure = certain.Uses == 0
		return found
	}
	return m.meets(take, reach, columns)
}

// pieceMeets judges a piece of a statement, of which nobody knows what else stands in the statement.
func (m *Mentions) pieceMeets(take Take, reach []Reached, patterns []string, among map[string]bool) Mention {
	if take.Everything {
		return Mention{Uses: AnyUse}
	}
	piece := *m
	piece.Patterns = patterns
	o := take.Object
	meets := piece.reaches(reach)
	switch {
	case o.Column != "" && o.Kind != EnumValue:
		meets = meets || (among[o.Relation] || piece.has(o.Relation) || piece.reachesAny(reach, among)) && (piece.has(o.Column) || m.Star)
	case o.Kind == EnumValue:
		meets = meets || piece.meets(take, reach, nil).Uses != 0
	default:
		for _, name := range []string{o.Relation, o.Name} {
			meets = meets || name != "" && (piece.has(name) || m.stringNames(name))
		}
		meets = meets || o.Relation == "" && o.Name == "" && piece.has(o.Schema)
	}
	if !meets {
		return Mention{}
	}
	return Mention{Uses: take.Uses, Named: true, Unsure: true}
}

// reachesAny reports whether one of the objects through which a relation is reached is among the given ones.
func (m *Mentions) reachesAny(reach []Reached, among map[string]bool) bool {
	return slices.ContainsFunc(reach, func(o Reached) bool { return among[firstOf(o.Relation, o.Name)] })
}

// has reports whether a name is named, or may be by a pattern.
func (m *Mentions) has(name string) bool {
	return m.Names[name] || name != "" && slices.ContainsFunc(m.Patterns, func(p string) bool { return matches(p, name) })
}

func isPattern(name string) bool { return strings.Contains(name, Hole) }

// matches compares a name with a pattern.
func matches(pattern, name string) bool {
	head, tail, found := strings.Cut(pattern, Hole)
	if !found {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	for rest := name[len(head):]; ; rest = rest[1:] {
		if matches(tail, rest) {
			return true
		}
		if rest == "" {
			return false
		}
	}
}

func (m *Mentions) meets(take Take, reach []Reached, columns []string) Mention {
	if take.Everything {
		return Mention{Uses: AnyUse}
	}
	if m.Unparsed && take.Uses != Alone {
		return m.tokensMeet(take, reach)
	}
	switch take.Object.Kind {
	case Column:
		if take.Uses == Alone {
			return m.aloneMeets(take.Object, reach, !take.Only)
		}
		return m.columnMeets(take, reach, columns)
	case Index:
		return m.constraintMeets(take, reach)
	case Table, View, MatView:
		return m.relationMeets(take, reach)
	case Sequence:
		found := m.relationMeets(take, reach)
		if found.Uses == 0 && len(m.Strings) == 0 && take.Uses&Call != 0 && slices.ContainsFunc(SequenceFunctions(), func(f string) bool { return m.Names[f] }) {
			// Which sequence is meant comes as a parameter.
			return Mention{Uses: Call, Unsure: true}
		}
		return found
	case Constraint:
		return m.constraintMeets(take, reach)
	case Trigger, Rule, Policy:
		return m.relationMeets(take, reach)
	case EnumValue:
		if slices.ContainsFunc(m.Strings, func(s string) bool {
			return strings.Contains(s, take.Object.Column) || isPattern(s) && matches(s, take.Object.Column)
		}) {
			return Mention{Uses: Value, Named: true}
		}
		return m.named(take.Object.Name, take.Uses, reach)
	case Schema:
		name := firstOf(take.Object.Schema, take.Object.Name)
		for _, r := range m.Relations {
			if r.Schema == name || r.Schema == "" && !take.Only && !r.Perhaps || isPattern(r.Schema) {
				return Mention{Uses: take.Uses, Named: r.Schema == name}
			}
		}
		return m.named(firstOf(take.Object.Schema, take.Object.Name), take.Uses, reach)
	case Attribute:
		// An attribute is named through a column of the type, which need not be named.
		if m.has(take.Object.Column) {
			return Mention{Uses: take.Uses, Named: true}
		}
		return m.named(take.Object.Name, take.Uses, reach)
	case Role, Database, Extension, Other:
		return Mention{Uses: take.Uses}
	case Cast:
		// It need not be written where one is made.
		return Mention{Uses: take.Uses &^ Value}
	case Operator:
		if commonOperators[take.Object.Name] {
			return Mention{Uses: take.Uses &^ Value}
		}
		return m.named(take.Object.Name, take.Uses&^Value, reach)
	default:
		if take.Object.Relation != "" && take.Object.Name == "" {
			return m.relationMeets(take, reach)
		}
		return m.named(take.Object.Name, take.Uses, reach)
	}
}

// SequenceFunctions are the functions to which a parameter may name a sequence (the manual's "Sequence Manipulation Functions").
func SequenceFunctions() []string { return []string{"currval", "nextval", "setval"} }

// commonOperators are those that Mentions leave out of their Names, for nearly every statement has one.
var commonOperators = map[string]bool{"=": true, "<>": true, "!=": true, "<": true, ">": true, "<=": true, ">=": true, "+": true, "-": true, "*": true, "/": true, "||": true, "~~": true, "!~~": true} //nolint:gochecknoglobals // a constant table

// CommonOperator reports whether Mentions leave an operator out of their Names.
func CommonOperator(name string) bool { return commonOperators[name] }

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (m *Mentions) named(name string, uses Use, reach []Reached) Mention {
	if m.has(name) || m.stringNames(name) {
		return Mention{Uses: uses, Named: true}
	}
	if m.reaches(reach) {
		return Mention{Uses: uses}
	}
	return Mention{}
}

// tokensMeet reads an unparsed text in the strictest way: the relation's name among the tokens is enough, for the
// text may reach any of its columns.
func (m *Mentions) tokensMeet(take Take, reach []Reached) Mention {
	for _, name := range []string{take.Object.Relation, take.Object.Name} {
		if name != "" && (m.has(name) || m.stringNames(name)) {
			return Mention{Uses: take.Uses, Named: take.Object.Column != "" && m.has(take.Object.Column)}
		}
	}
	if m.reaches(reach) {
		return Mention{Uses: take.Uses}
	}
	return Mention{}
}

func (m *Mentions) relationMeets(take Take, reach []Reached) Mention {
	name, uses := take.Object.Relation, take.Uses
	var found Use
	for _, r := range m.Relations {
		if r.is(take.Object.Schema, name) && (r.Schema != "" || r.Perhaps || !take.Only) {
			found |= r.usesOf(take)
		}
	}
	if found&uses != 0 {
		return Mention{Uses: found & uses, Named: true}
	}
	if m.stringNames(name) && uses&(Read|Call) != 0 {
		return Mention{Uses: uses & (Read | Call), Named: true}
	}
	if m.reaches(reach) {
		return Mention{Uses: m.arriving(reach) & uses}
	}
	return Mention{}
}

// usesOf are the uses that count for a take: an ON CONFLICT on other columns than those of the unique index that goes
// does not need it.
func (r RelationMention) usesOf(take Take) Use {
	if r.Uses&Conflict == 0 || take.Columns == nil || r.Columns == nil || len(r.patterned()) > 0 {
		return r.Uses
	}
	for _, c := range take.Columns {
		if !slices.Contains(r.Columns, c) {
			return r.Uses &^ Conflict
		}
	}
	for _, c := range r.Columns {
		if !slices.Contains(take.Columns, c) {
			return r.Uses &^ Conflict
		}
	}
	return r.Uses
}

// patterned are the columns that are known in part only.
func (r RelationMention) patterned() []string {
	return slices.DeleteFunc(slices.Clone(r.Columns), func(c string) bool { return !isPattern(c) })
}

// constraintMeets judges what goes with a constraint or an index. Code depends on one by ON CONFLICT, by its name, and
// by a GROUP BY of the primary key that stands for all columns of its table.
func (m *Mentions) constraintMeets(take Take, reach []Reached) Mention {
	o := take.Object
	if o.Name != "" && m.has(o.Name) || o.Kind == Index && m.has(o.Relation) {
		return Mention{Uses: take.Uses, Named: true}
	}
	if take.Only {
		return Mention{}
	}
	met := m.relationMeets(take, reach)
	if take.Uses&Read != 0 && !m.Groups {
		met.Uses &^= Read | Insert | Update | Delete | Star | Call | Omit | Value
	}
	return met
}

// aloneMeets judges what a column that is added gets in the way of.
func (m *Mentions) aloneMeets(object Object, reach []Reached, shared bool) Mention {
	relation := slices.ContainsFunc(m.Relations, func(r RelationMention) bool { return r.is(object.Schema, object.Relation) })
	owned := slices.ContainsFunc(m.Owners[object.Column], func(o string) bool { return matches(o, object.Relation) })
	at := func(s string) bool { return matches(s, object.Relation) }
	spread := slices.ContainsFunc(m.Spread, at) || shared && slices.ContainsFunc(m.Natural, at)
	if relation && (m.Names[object.Column] && owned && !m.Unparsed || spread) || m.reaches(reach) {
		return Mention{Uses: Alone, Named: true}
	}
	return Mention{}
}

func (m *Mentions) columnMeets(take Take, reach []Reached, columns []string) Mention {
	object, uses := take.Object, take.Uses
	var met, conflict Use
	named, relation := false, false
	for _, r := range m.Relations {
		if !r.is(object.Schema, object.Relation) {
			continue
		}
		relation = true
		conflict |= r.Uses & Conflict
		if slices.Contains(r.Defaults, object.Column) || slices.Contains(r.DefaultsAt, slices.Index(columns, object.Column)) ||
			len(r.DefaultsAt) > 0 && columns == nil {
			met |= Omit
		}
		if r.Uses&Insert != 0 {
			switch {
			case r.Columns == nil && r.Width > 0 && slices.Index(columns, object.Column) >= 0:
				if slices.Index(columns, object.Column) < r.Width {
					met |= Star | Insert
				} else {
					met |= Star | Omit
				}
			case r.Columns == nil && r.Uses&Star != 0:
				// The values go to the first columns of the table: this one may be among them, or be left out.
				met |= Star | Insert | Omit
			case r.lists(object.Column):
				met |= Insert
				named = true
			default:
				met |= Omit
			}
		}
		if r.Uses&Update != 0 && r.lists(object.Column) {
			met |= Update
			named = true
		}
		if uses&(Read|Star) == 0 {
			// A take that reads leave alone binds rows, as a foreign key binds those it refers to: a row deleted counts
			// whether or not the statement names the column.
			met |= r.Uses & (Delete | Conflict)
		}
	}
	reached := m.reaches(reach)
	inText := m.stringNames(object.Relation)
	if !relation && !reached && !inText {
		return Mention{}
	}
	if m.has(object.Column) && (reached || inText || m.mayOwn(object)) {
		met |= Read | conflict
		named = true
	}
	if m.Star || m.starred(object.Relation) || (reached || inText) && len(m.Stars) > 0 {
		met |= Star
	}
	switch {
	case reached && !relation:
		met = m.arriving(reach)
	case reached:
		// The relation's own triggers, or functions beside it, get at the column too.
		if inside := slices.DeleteFunc(slices.Clone(reach), func(r Reached) bool { return !r.Inside }); m.reaches(inside) {
			met |= m.arriving(inside)
		}
	}
	if inText && !relation {
		// A name for regclass, or a statement that something else is to run.
		met |= AnyUse
		if slices.ContainsFunc(m.Strings, func(s string) bool { return strings.Contains(strings.ToLower(s), "insert") || isPattern(s) }) {
			met |= Omit
		}
	}
	return Mention{Uses: met & uses, Named: named}
}

// Shifts reports whether an INSERT without a column list puts its values into other columns once the relation has one column less or
// more: they go to its own columns, or are all of them. PostgreSQL takes such a statement as long as there are not too many values.
func (m *Mentions) Shifts(relation string, met Mention) bool {
	if met.Uses&(Insert|Star) == Insert|Star {
		return true
	}
	byPlace := slices.ContainsFunc(m.Relations, func(r RelationMention) bool { return r.Columns == nil && r.Uses&(Insert|Star) == Insert|Star })
	return byPlace && (slices.ContainsFunc(m.Spread, func(s string) bool { return matches(s, relation) }) || met.Through && len(m.Spread) > 0)
}

// arriving are the uses that may arrive at a column through what stands between: all that a function's body makes, and
// through a view those that the statement makes of the view.
func (m *Mentions) arriving(reach []Reached) Use {
	var found Use
	for _, o := range reach {
		one := []Reached{o}
		if !m.reaches(one) {
			continue
		}
		uses := firstUse(o.Uses, AnyUse|Omit)
		if o.Relation != "" && !o.Inside && !m.Unparsed {
			var made Use
			for _, r := range m.Relations {
				if r.is(o.Schema, o.Relation) {
					made |= r.Uses
				}
			}
			switch {
			case made&Insert != 0:
			case made&Update != 0:
				uses &^= Omit | Insert
			default:
				uses &^= Omit | Insert | Update
			}
			if made&Conflict == 0 {
				uses &^= Conflict
			}
		}
		found |= uses
	}
	return firstUse(found, AnyUse|Omit)
}

func firstUse(a, b Use) Use {
	if a != 0 {
		return a
	}
	return b
}

// mayOwn reports whether a name in the query may be that of the column.
func (m *Mentions) mayOwn(column Object) bool {
	owners, known := m.Owners[column.Column]
	if !known || slices.ContainsFunc(owners, func(o string) bool { return matches(o, column.Relation) }) {
		return true
	}
	for pattern, owners := range m.Owners {
		if isPattern(pattern) && matches(pattern, column.Column) && slices.ContainsFunc(owners, func(o string) bool { return matches(o, column.Relation) }) {
			return true
		}
	}
	return false
}

func (m *Mentions) starred(relation string) bool {
	return slices.ContainsFunc(m.Stars, func(s string) bool { return matches(s, relation) })
}

// reaches reports whether the query names one of the objects.
func (m *Mentions) reaches(objects []Reached) bool {
	for _, o := range objects {
		name := firstOf(o.Relation, o.Name)
		for _, r := range m.Relations {
			if r.is(o.Schema, name) && (!o.Writes && !o.View || r.Uses&(Insert|Update|Delete) != 0) {
				return true
			}
		}
		if o.Relation == "" && m.has(o.Name) {
			return true
		}
		if m.Unparsed && m.has(name) {
			return true
		}
	}
	return false
}

// stringNames reports whether a string constant names the object: a regclass text, a sequence for nextval, SQL text
// inside a string.
func (m *Mentions) stringNames(name string) bool {
	if name == "" {
		return false
	}
	for _, s := range m.Strings {
		if isPattern(s) && slices.ContainsFunc(strings.FieldsFunc(s, notWord), func(word string) bool {
			return word != Hole && isPattern(word) && matches(word, name)
		}) {
			return true
		}
		for rest := s; ; {
			i := strings.Index(rest, name)
			if i < 0 {
				break
			}
			before, after := rest[:i], rest[i+len(name):]
			if !endsInWord(before) && !startsWithWord(after) {
				return true
			}
			rest = rest[i+1:]
		}
	}
	return false
}

func endsInWord(s string) bool {
	return s != "" && wordByte(s[len(s)-1])
}

func startsWithWord(s string) bool {
	return s != "" && wordByte(s[0])
}

func notWord(r rune) bool { return r < 0x80 && !wordByte(byte(r)) }

func wordByte(b byte) bool {
	return b == '_' || b == '$' || b >= 0x80 || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// is compares names; a missing schema on either side matches every schema, for the search path is not known here. An
// empty name stands for a relation that is not known.
func (r RelationMention) is(schema, name string) bool {
	return (name == "" || matches(r.Name, name)) && (r.Schema == "" || schema == "" || r.Schema == schema || isPattern(r.Schema))
}

// lists reports whether a column is listed for INSERT or assigned by UPDATE, or may be by a pattern.
func (r RelationMention) lists(column string) bool {
	return slices.ContainsFunc(r.Columns, func(c string) bool { return matches(c, column) })
}
