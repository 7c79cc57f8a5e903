package evidence

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Telling is one thing that an Event says.
type Telling struct {
	// Reason is one word in CamelCase, by which Events are told apart.
	Reason, Message string
	Warning         bool
}

// Tell writes Events about the Job that this pod belongs to, or about the pod where it belongs to none.
func (c *Cluster) Tell(ctx context.Context, list []Telling) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	pod, err := c.ownPod(ctx)
	if err != nil || pod == nil {
		return err
	}
	about := map[string]any{"apiVersion": "v1", "kind": podKind, "name": pod.Metadata.Name, "namespace": pod.Metadata.Namespace, "uid": pod.Metadata.UID}
	for _, owner := range pod.Metadata.OwnerReferences {
		if owner.Kind == jobKind {
			about["apiVersion"], about["kind"], about["name"], about["uid"] = "batch/v1", jobKind, owner.Name, owner.UID
		}
	}
	now := metav1.Now().UTC().Format(time.RFC3339)
	events := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "events"}).Namespace(pod.Metadata.Namespace)
	for _, t := range list {
		kind := "Normal"
		if t.Warning {
			kind = "Warning"
		}
		_, err := events.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"generateName": "pawl-"}, "involvedObject": about, "reason": t.Reason,
			"message": t.Message, "type": kind, "source": map[string]any{"component": "pawl"}, "firstTimestamp": now, "lastTimestamp": now, "count": int64(1),
		}}, metav1.CreateOptions{})
		if apierrors.IsForbidden(err) {
			return fmt.Errorf("pawl may not create events in namespace %s: add the component deploy/components/events", pod.Metadata.Namespace)
		}
		if err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
	}
	return nil
}
