package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// runner is a checkout of a branch in a clone, as CI has it, with pawl on its path.
type runner struct {
	t    *testing.T
	work string
	env  map[string]string
}

// newRunner makes an upstream repository with a branch `change` that adds files, and a shallow clone of that branch.
func newRunner(t *testing.T, files map[string]string) *runner {
	t.Helper()
	root := t.TempDir()
	binary, err := os.Executable()
	require.NoError(t, err)
	bin := filepath.Join(root, "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	// The test binary is the command when it is called so.
	require.NoError(t, os.Symlink(binary, filepath.Join(bin, "pawl")))
	r := &runner{t: t, work: root, env: map[string]string{
		"PATH": bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME": root, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "somebody", "GIT_AUTHOR_EMAIL": "somebody@example.org", "GIT_COMMITTER_NAME": "somebody", "GIT_COMMITTER_EMAIL": "somebody@example.org",
	}}
	upstream := filepath.Join(root, "upstream")
	write := func(files map[string]string) {
		for name, text := range files {
			path := filepath.Join(upstream, filepath.FromSlash(name))
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		}
	}
	write(map[string]string{"migrations/0001_users.sql": "CREATE TABLE users (id bigint PRIMARY KEY, email text);\n"})
	r.must("git init -q -b main upstream && cd upstream && git add . && git commit -qm one && git checkout -q -b change")
	write(files)
	r.must("cd upstream && git add . && git commit -qm two && cd .. && git clone -q --depth 1 --branch change file://" + upstream + " clone")
	r.work = filepath.Join(root, "clone")
	return r
}

// run runs a script as CI does, and gives its output and its exit code.
func (r *runner) run(script string, env map[string]string) (out, errs string, code int) {
	r.t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc", "-e", "-c", script)
	cmd.Dir = r.work
	all := maps.Clone(r.env)
	maps.Copy(all, env)
	for k, v := range all {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(r.t, err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func (r *runner) must(script string) {
	r.t.Helper()
	out, errs, code := r.run(script, nil)
	require.Zero(r.t, code, out+errs)
}

var (
	badBranch  = map[string]string{"migrations/0002_index.sql": "CREATE INDEX users_email_idx ON users (email);\n"}
	goodBranch = map[string]string{"migrations/0002_index.sql": "CREATE INDEX CONCURRENTLY users_email_idx ON users (email);\n"}
)

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", path))
	require.NoError(t, err)
	d := yaml.NewDecoder(bytes.NewReader(data))
	require.NoError(t, d.Decode(into))
}

// TestAction runs the step of the composite action that lints, as GitHub would on a pull request and on a push.
func TestAction(t *testing.T) {
	t.Parallel()
	var action struct {
		Name, Description string
		Inputs            map[string]struct{ Description, Default string }
		Runs              struct {
			Using string
			Steps []struct {
				ID, Shell, Uses, Run string
				Env                  map[string]string
			}
		}
	}
	readYAML(t, "action.yml", &action)
	require.Equal(t, "composite", action.Runs.Using)
	step := action.Runs.Steps[len(action.Runs.Steps)-1]
	require.Equal(t, "lint", step.ID)
	for _, s := range action.Runs.Steps {
		require.True(t, s.Uses != "" || s.Shell == "bash", "a step of a composite action names its shell")
		require.NotContains(t, s.Run, "${{", "an input that stands in a script can be a command")
	}
	inputs := func(with map[string]string) map[string]string {
		env := map[string]string{"GITHUB_BASE_REF": ""}
		for name, from := range step.Env {
			input := strings.TrimSuffix(strings.TrimPrefix(from, "${{ inputs."), " }}")
			require.Contains(t, action.Inputs, input)
			env[name] = action.Inputs[input].Default
		}
		maps.Copy(env, with)
		return env
	}

	r := newRunner(t, badBranch)
	out, errs, code := r.run(step.Run, inputs(map[string]string{"GITHUB_BASE_REF": "main", "GITHUB_WORKSPACE": r.work, "INPUT_OUTPUT": "found.txt"}))
	require.Equal(t, 1, code, out+errs)
	require.Contains(t, out, "::error title=pawl blocking-index,file=migrations/0002_index.sql,line=1,")
	require.Contains(t, out, "1 file: 1 finding", "only what the branch adds is judged")
	stored, err := os.ReadFile(filepath.Join(r.work, "found.txt"))
	require.NoError(t, err)
	require.Equal(t, out, string(stored))
	out, errs, code = r.run(step.Run, inputs(map[string]string{"INPUT_ARGS": "--fail-on none --pg-version 17", "INPUT_FORMAT": "sarif"}))
	require.Zero(t, code, out+errs)
	require.True(t, json.Valid([]byte(out)))
	_, errs, code = r.run(step.Run, inputs(map[string]string{"INPUT_BASE": "nowhere"}))
	require.Equal(t, 2, code)
	require.Contains(t, errs, "--base nowhere is no revision")

	r = newRunner(t, goodBranch)
	out, errs, code = r.run(step.Run, inputs(map[string]string{"GITHUB_BASE_REF": "main"}))
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "1 file: nothing found")
}

// TestGitLabTemplate runs the job's script.
func TestGitLabTemplate(t *testing.T) {
	t.Parallel()
	var template map[string]struct {
		Image     string
		Variables map[string]string
		Before    []string `yaml:"before_script"`
		Script    []string
		Artifacts struct {
			When    string
			Reports struct{ Codequality string }
		}
	}
	readYAML(t, "deploy/ci/gitlab.yml", &template)
	job, ok := template[".pawl-lint"]
	require.True(t, ok)
	require.Equal(t, "always", job.Artifacts.When)
	env := maps.Clone(job.Variables)
	env["CI_MERGE_REQUEST_TARGET_BRANCH_NAME"] = "main"
	script := strings.Join(append(job.Before, job.Script...), "\n")

	for _, c := range []struct {
		files    map[string]string
		code     int
		findings int
	}{{badBranch, 1, 1}, {goodBranch, 0, 0}} {
		r := newRunner(t, c.files)
		r.must("git fetch -q --unshallow") // the job has GIT_DEPTH: 0
		env["CI_PROJECT_DIR"] = r.work
		out, errs, code := r.run(script, env)
		require.Equal(t, c.code, code, out+errs)
		data, err := os.ReadFile(filepath.Join(r.work, job.Artifacts.Reports.Codequality))
		require.NoError(t, err)
		var list []map[string]any
		require.NoError(t, json.Unmarshal(data, &list))
		require.Len(t, list, c.findings)
	}
}

// TestPreCommitHooks runs the hooks on the files that a commit changes.
func TestPreCommitHooks(t *testing.T) {
	t.Parallel()
	var hooks []struct {
		ID, Entry, Language string
		Types               []string
	}
	readYAML(t, ".pre-commit-hooks.yaml", &hooks)
	require.Len(t, hooks, 2)
	r := newRunner(t, badBranch)
	for _, h := range hooks {
		require.Equal(t, "golang", h.Language)
		require.Equal(t, []string{"sql"}, h.Types)
	}
	out, errs, code := r.run(hooks[0].Entry+" migrations/0002_index.sql", nil)
	require.Equal(t, 1, code, out+errs)
	require.Contains(t, out, "SHARE on public.users", "the files before are context")
	out, errs, code = r.run(hooks[1].Entry+" migrations/0002_index.sql", nil)
	require.Zero(t, code, out+errs)
	out, errs, code = r.run(hooks[0].Entry+" migrations/0002_index.sql", nil)
	require.Zero(t, code, out+errs)
}
