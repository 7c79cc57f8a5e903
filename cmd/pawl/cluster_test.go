package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
)

// fakeCluster is a Kubernetes API that lists the objects of a file, two a page, and misbehaves as it is told. How pawl
// gets on with a real one is tested in integration/kubernetes.
type fakeCluster struct {
	server *httptest.Server
	mu     sync.Mutex
	// objects are by the path of their list.
	objects map[string][]any
	// how is the misbehaviour, about the resource what.
	how, what string
	asked     int
}

// cluster starts the API, or changes what it has: `cluster FILE [forbid|lose|expire|clock WHAT]`.
func (s *script) cluster(ts *testscript.TestScript, _ bool, args []string) {
	if s.api == nil {
		s.api = &fakeCluster{}
		s.api.server = httptest.NewServer(s.api)
		s.t.Cleanup(s.api.server.Close)
		config := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c, namespace: shop}}]}", s.api.server.URL)
		ts.Check(os.WriteFile(ts.MkAbs("kubeconfig"), []byte(config), 0o600))
	}
	s.api.mu.Lock()
	defer s.api.mu.Unlock()
	s.api.objects, s.api.how, s.api.what = map[string][]any{}, "", ""
	if len(args) > 2 {
		s.api.how, s.api.what = args[1], args[2]
	}
	decoder := yaml.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	for {
		var o map[string]any
		err := decoder.Decode(&o)
		if err == io.EOF { //nolint:errorlint // the decoder gives it as it is
			return
		}
		ts.Check(err)
		kind := strings.ToLower(fmt.Sprint(o["kind"])) + "s"
		s.api.objects[kind] = append(s.api.objects[kind], o)
	}
}

// asked prints how many requests the API got since it was asked last.
func (s *script) asked(ts *testscript.TestScript, _ bool, _ []string) {
	s.api.mu.Lock()
	defer s.api.mu.Unlock()
	_, err := fmt.Fprintln(ts.Stdout(), s.api.asked)
	ts.Check(err)
	s.api.asked = 0
}

// ServeHTTP answers a list.
func (f *fakeCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	at, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	status := func(code int, reason string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": %q, "code": %d, "message": "of the test"}`, reason, code)
	}
	if f.what == resource {
		switch {
		case f.how == "forbid":
			status(http.StatusForbidden, "Forbidden")
			return
		case f.how == "lose" && at > 0:
			panic(http.ErrAbortHandler)
		case f.how == "expire" && at > 0:
			status(http.StatusGone, "Expired")
			return
		}
	}
	if f.how == "clock" {
		ahead, _ := time.ParseDuration(f.what)
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	}
	list := f.objects[resource]
	if resource == "rollouts" && list == nil {
		status(http.StatusNotFound, "NotFound")
		return
	}
	next := ""
	list = list[min(at, len(list)):]
	const page = 2
	if r.URL.Query().Get("limit") != "" && len(list) > page {
		list, next = list[:page], strconv.Itoa(at+page)
	}
	if list == nil {
		list = []any{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"continue": next}, "items": list})
}
