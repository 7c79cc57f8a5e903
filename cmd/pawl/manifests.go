package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/deploy"
	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/migrate"
)

func newManifestsCommand(a *app) *cobra.Command {
	var o deploy.Options
	var digest bool
	variants := keysOf(deploy.Variants())
	cmd := &cobra.Command{
		Use:   "manifests --variant presync|sync|…",
		Short: "Print the Kubernetes objects that run pawl, for an image and a release",
		Long: `Prints the hook Jobs of Argo CD with all that they need, or the Jobs that run backfills, as one stream of YAML.

  presync            the database and its Secret exist before the Application is synced
  sync               the Application brings them itself, in negative waves
  targets            PreSync, for many databases: so many pods share a list of them
  backfill-cronjob   works on queued backfills every five minutes
  backfill-job       does so once`,
		Example: `  pawl manifests --variant presync --image registry.example.com/gateway@sha256:4bf5… --consumer gateway --release r42
  pawl manifests --variant sync --namespace shop --database-secret shop-db | kubectl apply --dry-run=server -f -
  pawl manifests --digest                  # of the migrations, for the ConfigMap pawl-target of an overlay`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			sum, err := a.migrationsDigest()
			if digest {
				if err == nil && sum == "" {
					err = &usageError{message: fmt.Sprintf("there is no directory %s", a.flags.dir), hint: "name it with --dir"}
				}
				if err == nil {
					fmt.Fprintln(a.stdout, sum)
				}
				return err
			}
			if err != nil {
				return err
			}
			if !slices.Contains(variants, o.Variant) {
				return &usageError{message: fmt.Sprintf("--variant is %q, and must be one of %s", o.Variant, strings.Join(variants, ", "))}
			}
			o.Digest = sum
			text, err := deploy.Render(o)
			if errors.Is(err, deploy.ErrImage) {
				return &usageError{message: fmt.Sprintf("--image %s: %v", o.Image, err), hint: "`docker buildx imagetools inspect IMAGE` and `crane digest IMAGE` tell it"}
			}
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Variant, "variant", "", "what to print: "+strings.Join(variants, ", "))
	f.StringVar(&o.Image, "image", "", "image with pawl, the migrations and the manifest, by digest (default: a placeholder for Kustomize)")
	f.StringVar(&o.Consumer, "consumer", "", "consumer that is deployed")
	f.StringVar(&o.Release, "release", "", "release that is deployed")
	f.StringVar(&o.Namespace, "namespace", "", "namespace of the objects (default: the one that they are applied to)")
	f.StringVar(&o.Secret, "database-secret", "", "Secret with the database's direct URL under the key url (default pawl-database)")
	f.IntVar(&o.Shards, "shards", 0, "with --variant targets: how many pods share the list (default 4)")
	f.BoolVar(&digest, "digest", false, "print the digest of the migrations alone")
	_ = cmd.RegisterFlagCompletionFunc("variant", cobra.FixedCompletions(variants, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// migrationsDigest gives one digest for all migration files; empty where there is no directory of them.
func (a *app) migrationsDigest() (string, error) {
	if _, err := os.Stat(a.flags.dir); err != nil {
		return "", nil //nolint:nilerr // none are here, as on the machine of who only deploys
	}
	list, err := migrate.Load(files.Dir(a.flags.dir), a.flags.dir)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, m := range list {
		fmt.Fprintf(sum, "%s %s\n", m.Name, m.Sum)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
