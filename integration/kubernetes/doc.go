// Package kubernetes tests pawl against a real Kubernetes API, the real controllers of Deployments, Jobs and Argo Rollouts,
// and Argo CD's own sync engine, without containers: a small kubelet of the tests runs the hooks' containers as local
// processes. It is a module of its own, so that pawl's stays small.
package kubernetes
