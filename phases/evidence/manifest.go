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

	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// ManifestVersion is the newest manifest format that this pawl reads and the one it writes.
const ManifestVersion = 1

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
}

// Statement is one SQL text with the places that send it. SHA256 is of Text, in hex; an empty one is filled in.
type Statement struct {
	SHA256 string      `json:"sha256"`
	Text   string      `json:"text"`
	Sites  []gate.Site `json:"sites,omitempty"`
	Params []string    `json:"params,omitempty"`
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
	defer f.Close() //nolint:errcheck // nothing was written
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

// DecodeManifest reads a manifest and checks that it says what it must: a version this pawl knows, names, a status,
// and hashes that are those of the texts.
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
	if err := json.Unmarshal(data, &m); err != nil {
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
	case m.Status != "complete" && m.Status != "partial":
		return fmt.Errorf(`"status" is %q, and must be "complete" or "partial"`, m.Status)
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

// Gate gives the manifest as the gate reads it, with what each text mentions.
func (m *Manifest) Gate() *gate.Manifest {
	out := &gate.Manifest{Complete: m.Status == "complete", Reasons: m.Reasons}
	for _, s := range m.Statements {
		out.Queries = append(out.Queries, gate.Query{ID: s.SHA256, Text: s.Text, Sites: s.Sites, Mentions: parse.Mentions(s.Text)})
	}
	return out
}
