package phases

import (
	"slices"
	"strings"
)

// RelationLock is the strongest lock that an operation takes on one relation that existed before it.
type RelationLock struct {
	Relation string `json:"relation"`
	Mode     Lock   `json:"mode"`
}

// AssessedOperation is an operation with all that the registry and the catalog say of it.
type AssessedOperation struct {
	Operation
	Phase   Phase
	Effect  Effect
	Locks   []RelationLock
	Takes   []Take
	Summary string
	// Why says what the catalog knew that made the operation milder or stricter than its row; empty for neither.
	Why string
	// New is true where the object was made in the same run, so that no deployed code can know it.
	New bool
}

// AssessedStatement is a statement with the assessment of each of its operations.
type AssessedStatement struct {
	Statement     *Statement
	Phase         Phase
	Transactional bool
	Operations    []AssessedOperation
}

// Assessment is what a whole file does.
type Assessment struct {
	File *File
	// Phase is the worst phase of the statements, or the one that `pawl:phase` and `pawl:assume` leave of it.
	Phase Phase
	// Mixed is true when the file holds an expand and a contract, or a contract and what is unknown.
	Mixed bool
	// Transactional is false when a statement of the file is refused inside a transaction block.
	Transactional bool
	Statements    []AssessedStatement
	// Problems are the directives of the file that what it does contradicts.
	Problems []Problem
}

// Assess judges the file's statements in order against the catalog and applies them to it, so that the next file is
// judged against what this one leaves.
func (c *Catalog) Assess(f *File) *Assessment { return c.AssessEach(f, nil) }

// AssessEach is Assess for who wants to ask the catalog what it knew when an operation came: see is called with each
// operation that the assessment will hold, with the number of its statement and its own number within the statement, before
// the operation changes the catalog. The operation is lent for the call, and the end of the file may still make it milder:
// what the file takes and puts back is known only then.
func (c *Catalog) AssessEach(f *File, see func(statement, operation int, op *AssessedOperation)) *Assessment {
	c.store.rest()
	c.step++
	if !c.marked {
		c.mark = c.step
	}
	c.session, c.local, c.gone, c.filled = session{path: slices.Clone(c.defaultPath)}, nil, c.gone[:0], map[*rel]bool{}
	a := &Assessment{File: f, Transactional: true, Statements: make([]AssessedStatement, 0, len(f.Statements))}
	back := f.RolledBack()
	for i := range f.Statements {
		s := &f.Statements[i]
		as := AssessedStatement{Statement: s, Transactional: true}
		if len(s.Operations) > 0 {
			as.Operations = make([]AssessedOperation, 0, len(s.Operations))
		}
		if c.local != nil && (s.Control == "commit" || s.Control == "rollback" || s.Control == "prepare transaction") {
			c.session, c.local = *c.local, nil
		}
		group := alterGroup(s)
		c.budget = maxBodies
		if see != nil {
			n := 0
			c.see = func(op *AssessedOperation) {
				see(i, n, op)
				n++
			}
		}
		for j := range s.Operations {
			c.run(&s.Operations[j], &as.Operations, group)
		}
		for j := range as.Operations {
			as.Transactional = as.Transactional && !as.Operations[j].Effect.NoTx
		}
		a.Transactional = a.Transactional && as.Transactional
		a.Statements = append(a.Statements, as)
		if back != nil && strings.HasPrefix(s.Control, "rollback") {
			var taken []AssessedStatement
			for n := range i {
				if back[n] == i {
					taken = append(taken, a.Statements[n])
				}
			}
			c.rollback(taken)
		}
	}
	c.see = nil
	for _, p := range f.Problems {
		if p.Code == SyntaxProblem || p.Code == EncodingProblem {
			c.Incomplete = true
		}
	}
	c.restore(a)
	a.settle()
	return a
}

// alterGroup gives the statement's operations where PostgreSQL runs them as one: the commands of one ALTER TABLE.
func alterGroup(s *Statement) []Operation {
	if len(s.Operations) > 1 {
		return s.Operations
	}
	return nil
}

// settle works out the phases of the statements and of the file, and what the directives say to them.
func (a *Assessment) settle() {
	var expand, contract, unknown bool
	a.Phase = Expand
	for i := range a.Statements {
		s := &a.Statements[i]
		s.Phase = Expand
		assumed, lifts := assumption(s.Statement.Directives)
		for j := range s.Operations {
			op := &s.Operations[j]
			phase := op.Phase
			if phase == Unknown && lifts {
				// An assumption answers for what pawl cannot see through, and for nothing else.
				phase = assumed
			}
			s.Phase = Worse(s.Phase, phase)
			switch phase {
			case Contract:
				contract = true
			case Unknown:
				unknown = true
			case Expand:
				expand = expand || op.adds()
			}
		}
		a.Phase = Worse(a.Phase, s.Phase)
	}
	if a.Phase == Unknown {
		if assumed, ok := a.fileAssumption(); ok {
			a.Phase = assumed
		}
	}
	a.Mixed = contract && (expand || unknown)
	for _, d := range a.File.Directives {
		if d.Name != "phase" {
			continue
		}
		declared, err := ParsePhase(d.Arg)
		if err != nil {
			continue
		}
		if declared.severity() < a.Phase.severity() {
			a.Problems = append(a.Problems, Problem{
				Code: DirectiveProblem, Span: d.Span,
				Message: "pawl:phase says " + declared.String() + ", but the file is " + a.Phase.String() + ": " + a.worst(),
				Hint:    "say pawl:phase " + a.Phase.String() + ", or move what is not " + declared.String() + " to a file of its own",
			})
			continue
		}
		a.Phase = declared
	}
}

// adds reports whether an expand makes or changes something that code will use, so that it should not share a file
// with a contract: settings, comments, locks and upkeep go with anything.
func (op *AssessedOperation) adds() bool {
	switch op.Kind {
	case "set", "reset", "session", "comment", "lock_table", "analyze", "select", "do", "explain", "notify", "set_statistics":
		return false
	case "add_primary_key_using_index", "add_unique_using_index":
		// ON CONFLICT and foreign keys could lean on the index before.
		return false
	}
	return !op.New && len(op.Takes) == 0 && op.Kind != "drop_dependent_quietly" && op.additive()
}

func (op *AssessedOperation) additive() bool {
	k := string(op.Kind)
	for _, prefix := range []string{"create_", "add_"} {
		if len(k) > len(prefix) && k[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

func assumption(list []Directive) (Phase, bool) {
	for _, d := range list {
		if d.Name == "assume" && d.Reason != "" {
			p, err := ParsePhase(d.Arg)
			return p, err == nil
		}
	}
	return Unknown, false
}

// fileAssumption finds a pawl:assume that belongs to no statement: it then speaks for the whole file.
func (a *Assessment) fileAssumption() (Phase, bool) {
	if len(a.Statements) > 0 {
		return Unknown, false
	}
	return assumption(a.File.Directives)
}

// worst names the first operation that has the file's phase.
func (a *Assessment) worst() string {
	for _, s := range a.Statements {
		for _, op := range s.Operations {
			if op.Phase == a.Phase {
				if op.On.IsZero() {
					return string(op.Kind)
				}
				return string(op.Kind) + " " + op.On.String()
			}
		}
	}
	return "it cannot be told"
}
