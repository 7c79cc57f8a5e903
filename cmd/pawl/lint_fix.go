package main

import "github.com/bitvault/pawl/lint"

func (a *app) lintFix(_ *lint.Linter, _ []source, _ bool) error { return nil }
