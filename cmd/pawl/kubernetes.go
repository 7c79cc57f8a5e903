package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bitvault/pawl/phases/evidence"
)

// kubernetesFlags say whether, and how, the Kubernetes API is asked what runs.
type kubernetesFlags struct {
	mode       string
	kubeconfig string
	namespaces []string
	timeout    time.Duration
	events     bool
}

func (k *kubernetesFlags) register(f *pflag.FlagSet) {
	f.StringVar(&k.mode, "kubernetes", "auto", "ask the Kubernetes API what runs: auto (where a service account token or --kubeconfig is given), require or off")
	f.StringSliceVar(&k.namespaces, "kubernetes-namespace", nil, "namespace to look at; may be repeated (default: the pod's own, or the kubeconfig's)")
	f.DurationVar(&k.timeout, "kubernetes-timeout", 10*time.Second, "how long to ask the Kubernetes API what runs, before that counts as not known")
	f.StringVar(&k.kubeconfig, "kubeconfig", "", "kubeconfig file to reach the Kubernetes API with (default: the pod's service account; with --kubernetes=require also what kubectl would use)")
}

// completions tells the shell what the flags take.
func (k *kubernetesFlags) completions(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("kubernetes", cobra.FixedCompletions([]string{"auto", "require", "off"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("kubernetes-namespace", cobra.NoFileCompletions)
}

// registerEvents is for the commands that have something to tell.
func (k *kubernetesFlags) registerEvents(f *pflag.FlagSet) {
	f.BoolVar(&k.events, "kubernetes-events", false, "tell what was applied, held or refused as Events of the Job (needs the right to create events)")
}

// clusterSource is the Kubernetes API that a command may ask; nil where it is not to be asked.
type clusterSource struct {
	open func() (*evidence.Cluster, error)
	pod  string
	// events is true where the outcome is to be told as Events.
	events bool
}

// cluster gives what the flags and pawl.yaml say of Kubernetes. Nothing is read and nobody is asked until there is a
// question: most runs have none.
func (a *app) cluster(k kubernetesFlags) (*clusterSource, error) {
	if err := oneOf("kubernetes", k.mode, "", "auto", "require", "off"); err != nil {
		return nil, err
	}
	owners, err := a.owners()
	if err != nil {
		return nil, err
	}
	if k.mode == "" || k.mode == "off" || k.mode == "auto" && k.kubeconfig == "" && !evidence.InCluster() {
		return nil, nil //nolint:nilnil // no source is an answer
	}
	pod, _ := a.env("POD_NAME")
	namespace, _ := a.env("POD_NAMESPACE")
	namespaces := slices.Clone(k.namespaces)
	if len(namespaces) == 0 && namespace != "" {
		namespaces = []string{namespace}
	}
	options := evidence.ClusterOptions{
		Kubeconfig: k.kubeconfig, Namespaces: namespaces, Owners: owners, Pod: pod, PodNamespace: namespace, Timeout: k.timeout, UserAgent: "pawl/" + pawlVersion(),
	}
	return &clusterSource{open: func() (*evidence.Cluster, error) { return evidence.NewCluster(options) }, pod: pod, events: k.events}, nil
}

// fleet is how the gate asks what runs. Credentials that cannot be read are one more thing that is not known.
func (c *clusterSource) fleet() func(context.Context) *evidence.Fleet {
	if c == nil {
		return nil
	}
	return func(ctx context.Context) *evidence.Fleet {
		cluster, err := c.open()
		if err != nil {
			return &evidence.Fleet{Failures: []string{err.Error()}, Looked: time.Now()}
		}
		return cluster.Look(ctx)
	}
}

// digests is how the images of a release that is being deployed are found out: they are those of this pod.
func (c *clusterSource) digests() func(context.Context) ([]string, error) {
	if c == nil || c.pod == "" {
		return nil
	}
	return func(ctx context.Context) ([]string, error) {
		cluster, err := c.open()
		if err != nil {
			return nil, err
		}
		return cluster.OwnDigests(ctx)
	}
}

// tell writes the outcome as Events of the Job. Nothing depends on it: what keeps it from being told is told on stderr.
func (a *app) tell(ctx context.Context, failure error) {
	if a.kube == nil || !a.kube.events {
		return
	}
	list := a.words.tellings()
	var silent silentError
	if failure != nil && !errors.As(failure, &silent) {
		list = append(list, failureTelling("", failure))
	}
	if len(list) == 0 {
		return
	}
	cluster, err := a.kube.open()
	if err == nil {
		err = cluster.Tell(context.WithoutCancel(ctx), list)
	}
	switch {
	case err == nil:
	case a.logs():
		a.logger().Warn().Str("problem", err.Error()).Msg("events not written")
	default:
		fmt.Fprintf(a.stderr, "note: no events were written: %v\n", err)
	}
}

// failureTelling tells of an error as an Event; before it stands what it happened to.
func failureTelling(before string, err error) evidence.Telling {
	reason := "MigrationFailed"
	if code := exitCode(err); code == exitRefused || code == exitUnknown {
		reason = "MigrationRefused"
	}
	return evidence.Telling{Reason: reason, Message: cut(redact(before+err.Error()), eventLength), Warning: true}
}

// eventLength is how much text Kubernetes takes as an Event's message.
const eventLength = 1024

// owners gives the consumers of pawl.yaml as the owners of pods, by name.
func (a *app) owners() ([]evidence.Owner, error) {
	var list []evidence.Owner
	for _, name := range keysOf(a.consumers) {
		c := a.consumers[name]
		o := evidence.Owner{Consumer: name, Containers: c.containers}
		if len(c.releaseLabel) > 0 {
			o.ReleaseLabel = c.releaseLabel[0]
		}
		for _, text := range c.pods {
			s, err := evidence.ParseSelector(text)
			if err != nil {
				return nil, &usageError{
					message: fmt.Sprintf("%s: consumers.%s.pods: %v", cmp.Or(a.flags.config, "pawl.yaml"), name, err),
					hint:    `it is a label selector as kubectl takes it, such as "app=gateway" or "app in (gateway, gateway-jobs)"`,
				}
			}
			o.Pods = append(o.Pods, s)
		}
		list = append(list, o)
	}
	return list, nil
}

func newReleaseDigestsCommand(a *app) *cobra.Command {
	var r runFlags
	return &cobra.Command{
		Use:   "digests CONSUMER RELEASE DIGEST…",
		Short: "Say by which images a release runs, so that its pods are known",
		Long: `Pods are known to be of a release by the digest of their image, or by the label pawl.dev/release. A release that is deployed
by the image of the hook Job itself has its digest recorded by ` + "`pawl migrate`" + `; for other images a pipeline says it here, or with
` + "`pawl refs build --digest`" + `. Of a multi-arch image give the digest of the index and those of its platforms: nodes name either.`,
		Example: "  pawl release digests gateway r42 sha256:4bf5…",
		Args:    cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			digests := args[2:]
			for _, d := range digests {
				if !evidence.IsDigest(d) {
					return &usageError{message: fmt.Sprintf("%q is no digest", d), hint: "give it as sha256: and 64 hexadecimal digits"}
				}
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if err := m.RecordDigests(cmd.Context(), args[0], args[1], digests); err != nil {
				return err
			}
			images := "images"
			if len(digests) == 1 {
				images = "image"
			}
			fmt.Fprintf(a.stdout, "recorded: %d %s of %s\n", len(digests), images, consumerName(args[0], args[1]))
			return nil
		},
	}
}
