// Package deploy holds the manifests by which pawl is run in Kubernetes and Argo CD, and prints them for one release.
// They are Kustomize bases; what is printed is what Kustomize makes of them.
package deploy

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bitvault/pawl/internal/pattern"
)

//go:embed base presync sync backfill targets
var files embed.FS

// placeholder is the image in the bases, which an overlay replaces.
const placeholder = "app-migrations@sha256:0000000000000000000000000000000000000000000000000000000000000000"

// Annotations of the hooks, from which they know which release they are for.
const (
	consumerAnnotation = "pawl.bitvault.io/consumer"
	releaseAnnotation  = "pawl.bitvault.io/release"
)

// Variants are the names that Options.Variant may have, and the folders that hold them.
func Variants() map[string]string {
	return map[string]string{
		"presync": "presync", "sync": "sync", "targets": "targets", "backfill-job": "backfill/job", "backfill-cronjob": "backfill/cronjob",
	}
}

// Options say for what the manifests are printed. What is empty stays as the bases have it.
type Options struct {
	Variant           string
	Image             string
	Consumer, Release string
	Namespace         string
	// Secret is the name of the Secret with the database's URL.
	Secret string
	// Digest is that of the migrations, by which a change of them alone counts as a change.
	Digest string
	// Shards is how many pods share the list of databases; 0 means as many as the base has.
	Shards int
}

var reference = pattern.Lazy(`^[a-z0-9]+([._/:-]+[a-z0-9]+)*@sha256:[0-9a-f]{64}$`)

// ErrImage means that an image is not named by its digest: a tag may be another image tomorrow, and then nobody knows what
// was deployed.
var ErrImage = errors.New("the image has to be named by its digest, as registry/name@sha256:…")

// Render gives the objects of a variant as a YAML stream.
func Render(o Options) ([]byte, error) {
	dir, ok := Variants()[o.Variant]
	if !ok {
		return nil, fmt.Errorf("there is no variant %q", o.Variant)
	}
	if o.Image != "" && !reference().MatchString(o.Image) {
		return nil, ErrImage
	}
	objects, err := load(dir)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	for _, object := range objects {
		o.fill(object, "")
		if o.Namespace != "" {
			set(child(object, "metadata"), "namespace", o.Namespace)
		}
		if err := e.Encode(object); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), e.Close()
}

// fill puts the options in the places of what the bases have there.
func (o Options) fill(n *yaml.Node, key string) {
	for i := 0; i < len(n.Content); i++ {
		if n.Kind == yaml.MappingNode {
			if i%2 == 1 {
				o.fill(n.Content[i], n.Content[i-1].Value)
			}
			continue
		}
		o.fill(n.Content[i], key)
	}
	if n.Kind != yaml.ScalarNode {
		if n.Kind == yaml.MappingNode && o.Namespace != "" && value(n, "kind") == "ServiceAccount" && child(n, "metadata") == nil {
			// The one to which a RoleBinding binds.
			set(n, "namespace", o.Namespace)
		}
		return
	}
	put := func(text string) {
		if text != "" {
			n.SetString(text)
		}
	}
	switch {
	case n.Value == placeholder:
		put(o.Image)
	case key == consumerAnnotation:
		put(o.Consumer)
	case key == releaseAnnotation:
		put(o.Release)
	case key == "secretName":
		put(o.Secret)
	case key == "migrations":
		put(o.Digest)
	case o.Shards > 0 && slices.Contains([]string{"completions", "parallelism", "maxFailedIndexes"}, key):
		n.Value = fmt.Sprint(o.Shards)
	case o.Shards > 0 && strings.HasPrefix(n.Value, "--shard="):
		n.Value = n.Value[:strings.LastIndex(n.Value, "/")+1] + fmt.Sprint(o.Shards)
	}
}

// kustomization is the part of Kustomize's language that the bases use. Anything else in one of them is an error.
type kustomization struct {
	APIVersion        string `yaml:"apiVersion"`
	Kind              string
	Resources         []string
	CommonAnnotations map[string]string `yaml:"commonAnnotations"`
	Patches           []struct {
		Target struct{ Kind, Name string }
		Patch  string
	}
}

// load gives the objects of a folder as Kustomize would, comments included.
func load(dir string) ([]*yaml.Node, error) {
	text, err := files.ReadFile(dir + "/kustomization.yaml")
	if err != nil {
		return nil, err
	}
	var k kustomization
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&k); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	var objects []*yaml.Node
	for _, r := range k.Resources {
		at := path.Join(dir, r)
		more, err := read(at)
		if !strings.HasSuffix(r, ".yaml") {
			more, err = load(at)
		}
		if err != nil {
			return nil, err
		}
		objects = append(objects, more...)
	}
	for _, p := range k.Patches {
		if err := patch(objects, p.Target.Kind, p.Target.Name, p.Patch); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	for _, key := range slices.Sorted(keys(k.CommonAnnotations)) {
		for _, o := range objects {
			annotate(o, key, k.CommonAnnotations[key])
		}
	}
	return objects, nil
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func read(file string) ([]*yaml.Node, error) {
	text, err := files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		object := document.Content[0]
		object.HeadComment = document.HeadComment
		list = append(list, object)
	}
}

// patch adds annotations, which is all that the variants do.
func patch(objects []*yaml.Node, kind, name, text string) error {
	var steps []struct{ Op, Path, Value string }
	if err := yaml.Unmarshal([]byte(text), &steps); err != nil {
		return err
	}
	for _, o := range objects {
		if value(o, "kind") != kind || value(child(o, "metadata"), "name") != name {
			continue
		}
		for _, s := range steps {
			key, ok := strings.CutPrefix(s.Path, "/metadata/annotations/")
			if !ok || s.Op != "add" {
				return fmt.Errorf("a patch does %s %s, which is not known here", s.Op, s.Path)
			}
			set(grow(grow(o, "metadata"), "annotations"), strings.NewReplacer("~1", "/", "~0", "~").Replace(key), s.Value)
		}
	}
	return nil
}

// annotate does what Kustomize's commonAnnotations do: to the object, and to the pods that it makes.
func annotate(o *yaml.Node, key, text string) {
	set(grow(grow(o, "metadata"), "annotations"), key, text)
	spec := child(o, "spec")
	if made := child(spec, "jobTemplate"); made != nil {
		set(grow(grow(made, "metadata"), "annotations"), key, text)
		spec = child(made, "spec")
	}
	if pods := child(spec, "template"); pods != nil {
		set(grow(grow(pods, "metadata"), "annotations"), key, text)
	}
}

// child gives the value of a key; nil where there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func value(n *yaml.Node, key string) string {
	if c := child(n, key); c != nil {
		return c.Value
	}
	return ""
}

// grow gives the mapping under a key, made where there is none.
func grow(n *yaml.Node, key string) *yaml.Node {
	if c := child(n, key); c != nil {
		return c
	}
	made := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, made)
	return made
}

func set(n *yaml.Node, key, text string) {
	if n == nil {
		return
	}
	c := child(n, key)
	if c == nil {
		c = &yaml.Node{Kind: yaml.ScalarNode}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, c)
	}
	c.SetString(text)
	if text == "true" || text == "false" || strings.Trim(text, "-0123456789.") == "" {
		c.Style = yaml.DoubleQuotedStyle
	}
}
