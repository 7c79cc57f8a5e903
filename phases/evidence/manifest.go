// Package evidence reads what is known about who uses a database: manifests of releases, the registry in the ledger,
// and what depends on an object inside the database. It does the gate's I/O; phases/gate decides.
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bitvault/pawl/phases/gate"
)

// ManifestVersion is the newest manifest format that this pawl reads and the one it writes.
const ManifestVersion = 1

// The two values of Manifest.Status.
const (
	Complete = "complete"
	Partial  = "partial"
)

// Manifest is the file pawl.refs.json: what one release of one consumer may send. docs/formats.md describes it.
type Manifest struct {
	Version   int    `json:"version"`
	Consumer  string `json:"consumer"`
	Release   string `json:"release"`
	Toolchain string `json:"toolchain,omitempty"`
	// Status is "complete" or "partial"; a partial manifest blocks every contract until its Reasons are settled.
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
	// Digests are the image digests of the release, as far as they are known.
	Digests    []string    `json:"digests,omitempty"`
	Statements []Statement `json:"statements"`
	Parts
}

// Parts are what a manifest says besides whole statements. The ledger keeps them as they are.
type Parts struct {
	// Templates are statements with holes, Fragments pieces that a query builder or an ORM puts into a statement.
	Templates []Template `json:"templates,omitempty"`
	Fragments []Template `json:"fragments,omitempty"`
	Models    []Model    `json:"models,omitempty"`
	// Opaque are the call sites of which nothing is known.
	Opaque []Opaque `json:"opaque,omitempty"`
	// Acknowledged are the call sites that a comment in the source settles.
	Acknowledged []Acknowledgement `json:"acknowledged,omitempty"`
	// Tokens are all words in the strings, tags and names of the source that may name something in a database, in lower
	// case, sorted and separated by single spaces. What is not among them is not named by the source; nothing follows
	// from a word that is.
	Tokens string `json:"tokens,omitempty"`
}

// Statement is one SQL text with the places that send it. SHA256 is of Text, in hex; an empty one is filled in.
type Statement struct {
	SHA256 string `json:"sha256"`
	Text   string `json:"text"`
	// Params are the Go types of the parameters; nil where they are not known.
	Params []string    `json:"params,omitempty"`
	Sites  []gate.Site `json:"sites,omitempty"`
}

// The kinds of hole in a Template.
const (
	// NameHole is one identifier: of a relation, a column, a function.
	NameHole = "name"
	// ValueHole is a number, or the inside of a string constant.
	ValueHole = "value"
	// TextHole may be any SQL.
	TextHole = "text"
)

// Template is a statement, or a piece of one, of which some stretches are known only at run time.
type Template struct {
	// Parts are the known stretches; between two of them is a hole. Holes says of each what may stand in it.
	Parts []string `json:"parts"`
	Holes []string `json:"holes,omitempty"`
	// Tables, where given, are all relations that the holes may name: the source says so at the call.
	Tables []string    `json:"tables,omitempty"`
	Sites  []gate.Site `json:"sites,omitempty"`
}

// Open reports whether a hole may be any SQL and nothing in the source says which relations it names.
func (t Template) Open() bool {
	if t.Tables != nil {
		return false
	}
	for _, h := range t.Holes {
		if h != NameHole && h != ValueHole {
			return true
		}
	}
	return false
}

// String shows the template with … for its holes.
func (t Template) String() string { return strings.Join(t.Parts, "…") }

// Model is a Go struct or the like from which a library makes statements that name its columns.
type Model struct {
	Name string `json:"name"`
	// Table is empty for a type that only receives rows: no statement is made from it.
	Table   string        `json:"table,omitempty"`
	Schema  string        `json:"schema,omitempty"`
	Columns []ModelColumn `json:"columns"`
	Site    gate.Site     `json:"site"`
}

// ModelColumn is one column of a Model.
type ModelColumn struct {
	Name string `json:"name"`
	// Access is "read", "write" or "" for both.
	Access string `json:"access,omitempty"`
}

// Opaque is a call that sends SQL of which nothing is known.
type Opaque struct {
	Site gate.Site `json:"site"`
	// Call is the function called, Why what hides its text.
	Call string `json:"call"`
	Why  string `json:"why"`
}

// Acknowledgement is a `//pawl:` comment, or an option given to `pawl refs build`, that settles what pawl cannot see.
type Acknowledgement struct {
	Site gate.Site `json:"site"`
	// Directive is sql, tables, ignore, or trust for a whole dependency.
	Directive string `json:"directive"`
	Text      string `json:"text"`
}

// ManifestError says what is wrong with a manifest file.
type ManifestError struct {
	Path string
	Err  error
}

func (e *ManifestError) Error() string { return fmt.Sprintf("manifest %s: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *ManifestError) Unwrap() error { return e.Err }

// ReadManifest reads and checks a manifest file. Every error is a *ManifestError.
func ReadManifest(path string) (*Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &ManifestError{path, unwrapPath(err)}
	}
	defer f.Close()
	m, err := DecodeManifest(f)
	if err != nil {
		return nil, &ManifestError{path, err}
	}
	return m, nil
}

func unwrapPath(err error) error {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// DecodeManifest reads a manifest and checks that it says what it must: a version this pawl knows, names, a status
// that its contents bear out, and hashes that are those of the texts.
func DecodeManifest(r io.Reader) (*Manifest, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, describeJSON(data, err)
	}
	switch {
	case head.Version > ManifestVersion:
		return nil, fmt.Errorf("it is of format version %d, and this pawl reads up to version %d: use a newer pawl", head.Version, ManifestVersion)
	case head.Version < 1:
		return nil, errors.New(`it has no "version": is it a pawl manifest?`)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(data))
	// A field that is not known may be evidence that would be lost.
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, describeJSON(data, err)
	}
	return &m, m.check()
}

func describeJSON(data []byte, err error) error {
	offset := int64(-1)
	if s := (*json.SyntaxError)(nil); errors.As(err, &s) {
		offset = s.Offset
	} else if t := (*json.UnmarshalTypeError)(nil); errors.As(err, &t) {
		offset = t.Offset
	}
	if offset < 0 || offset > int64(len(data)) {
		return fmt.Errorf("read JSON: %w", err)
	}
	return fmt.Errorf("read JSON, line %d: %w", bytes.Count(data[:offset], []byte{'\n'})+1, err)
}

func (m *Manifest) check() error {
	switch {
	case m.Consumer == "":
		return errors.New(`"consumer" is empty`)
	case m.Release == "":
		return errors.New(`"release" is empty`)
	case m.Status != Complete && m.Status != Partial:
		return fmt.Errorf(`"status" is %q, and must be "complete" or "partial"`, m.Status)
	case m.Status == Complete && len(m.Reasons) > 0:
		return fmt.Errorf(`"status" is "complete", and "reasons" says that it is not: %s`, m.Reasons[0])
	case m.Status == Complete && len(m.Opaque) > 0:
		return fmt.Errorf(`"status" is "complete", and "opaque" lists %s:%d`, m.Opaque[0].Site.File, m.Opaque[0].Site.Line)
	case m.Statements == nil:
		return errors.New(`"statements" is missing; a release that sends nothing has an empty list`)
	}
	for i := range m.Statements {
		s := &m.Statements[i]
		if s.Text == "" {
			return fmt.Errorf("statement %d has no text", i+1)
		}
		want := HashText(s.Text)
		if s.SHA256 == "" {
			s.SHA256 = want
		}
		if s.SHA256 != want {
			return fmt.Errorf("statement %d: sha256 is %s, and its text has %s: the file was changed by hand or damaged", i+1, s.SHA256, want)
		}
	}
	return m.checkParts()
}

func (m *Manifest) checkParts() error {
	for _, list := range []struct {
		what      string
		templates []Template
	}{{"template", m.Templates}, {"fragment", m.Fragments}} {
		for i, t := range list.templates {
			if len(t.Parts) != len(t.Holes)+1 {
				return fmt.Errorf("%s %d has %d parts and %d holes, and must have one part more than holes", list.what, i+1, len(t.Parts), len(t.Holes))
			}
			for _, h := range t.Holes {
				if h != NameHole && h != ValueHole && h != TextHole {
					return fmt.Errorf("%s %d: a hole is %q, and must be name, value or text", list.what, i+1, h)
				}
			}
			if m.Status == Complete && t.Open() {
				return fmt.Errorf(`"status" is "complete", and %s %d may hold any SQL: %s`, list.what, i+1, t)
			}
		}
	}
	for i, model := range m.Models {
		for _, c := range model.Columns {
			if c.Name == "" || c.Access != "" && c.Access != "read" && c.Access != "write" {
				return fmt.Errorf(`model %d (%s): a column must have a name, and its access is read, write or left out`, i+1, model.Name)
			}
		}
	}
	return nil
}

// Write writes the manifest as it is kept in files: indented, with a final newline.
func (m *Manifest) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(m)
}

// Sum gives the SHA-256 of the manifest as Write writes it, in hex.
func (m *Manifest) Sum() string {
	h := sha256.New()
	_ = m.Write(h) // a hash takes every write
	return hex.EncodeToString(h.Sum(nil))
}

// HashText gives the SHA-256 of a statement's text in hex, the key by which texts are stored.
func HashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
