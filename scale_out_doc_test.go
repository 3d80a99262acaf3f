package mslab_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// scaleOut is a folder with the files of docs/scale-out.md, a fresh mslab in
// bin/, and programs there that stand in for ssh and kubectl: machines and pods
// are processes of this machine.
type scaleOut struct {
	dir, url string
	scripts  []string
}

// The stand-ins. Ssh runs the command line as the far shell would. Kubectl plays
// the pods on apply, each with its index, by the command of the manifest.
const (
	sshStandIn = `#!/bin/sh
shift
exec sh -c "$*"
`
	kubectlStandIn = `#!/bin/sh
case "$1" in
apply)
  cat > applied.yaml
  START_AT=$(sed -n 's/.*name: START_AT, value: "\(.*\)".*/\1/p' applied.yaml)
  export START_AT
  for index in 0 1 2; do JOB_COMPLETION_INDEX=$index sh pod.sh > log$index & done
  wait ;;
wait) ;;
logs) cat "log${4##*=}" ;;
*) echo "kubectl $*: not played here" >&2; exit 1 ;;
esac
`
)

func newScaleOut(t *testing.T) scaleOut {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the phases are built on Linux system calls, and date -d is GNU's")
	}
	s := scaleOut{dir: t.TempDir(), scripts: codeBlocks(t, filepath.Join("docs", "scale-out.md"), "sh")}
	if len(s.scripts) != 3 {
		t.Fatalf("docs/scale-out.md has %d sh blocks, want 3", len(s.scripts))
	}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	output(t, root, "go", "build", "-o", filepath.Join(s.dir, "bin", "mslab"), "./cmd/mslab")
	s.write(t, filepath.Join("bin", "ssh"), sshStandIn)
	s.write(t, filepath.Join("bin", "kubectl"), kubectlStandIn)
	s.url = s.serve(t)
	return s
}

func (s scaleOut) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// serve starts the server that is loaded; its address replaces that in the text.
func (s scaleOut) serve(t *testing.T) string {
	t.Helper()
	server := exec.Command(filepath.Join(s.dir, "bin", "mslab"), "serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "data")
	server.Dir = s.dir
	server.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+s.dir)
	said, err := os.Create(filepath.Join(s.dir, "serve.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	server.Stdout = said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := server.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(said.Name())
		if fields := strings.Fields(string(text)); len(fields) > 1 && strings.Contains(string(text), "\n") {
			return fields[1]
		}
	}
	t.Fatal("the server did not say where it listens")
	return ""
}

// replaced puts what a test needs into a text and wants each to be there.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("no %q in\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// play runs a block and returns what it said.
func (s scaleOut) play(t *testing.T, script string) string {
	t.Helper()
	env := []string{"PATH=" + filepath.Join(s.dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH")}
	code, said := ranScript(t, s.dir, env, "-eu", "-c", script)
	if code != 0 {
		t.Fatalf("exit %d of\n%s\n%s", code, script, said)
	}
	return said
}

// holdSum holds the sum against the records and against what the server stored.
func (s scaleOut) holdSum(t *testing.T, names ...string) {
	t.Helper()
	type counted struct {
		Counts struct {
			Sent     int64 `json:"sent"`
			OK       int64 `json:"ok"`
			Failed   int64 `json:"failed"`
			InFlight int64 `json:"in_flight"`
		} `json:"counts"`
		Load struct {
			Clients int   `json:"clients"`
			Seed    int64 `json:"seed"`
		} `json:"load"`
		Latency struct {
			Count int64 `json:"count"`
		} `json:"latency"`
		Merged *struct {
			StartsApartS float64 `json:"starts_apart_s"`
		} `json:"merged"`
	}
	read := func(name string) (c counted) {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return c
	}
	var sent, ok, clients int64
	seeds := map[int64]bool{}
	for _, name := range names {
		c := read(name)
		sent, ok, clients = sent+c.Counts.Sent, ok+c.Counts.OK, clients+int64(c.Load.Clients)
		seeds[c.Load.Seed] = true
	}
	sum := read("all.json")
	if sum.Counts.Sent != sent || sum.Counts.OK != ok || sum.Latency.Count != ok || int64(sum.Load.Clients) != clients || ok == 0 {
		t.Errorf("the sum is %+v; the records have %d sent, %d ok, %d clients", sum, sent, ok, clients)
	}
	if sum.Merged == nil || sum.Merged.StartsApartS > 0.9 {
		t.Errorf("they did not start together: %+v", sum.Merged)
	}
	if len(seeds) != len(names) {
		t.Errorf("the seeds %v are not of each machine's own", seeds)
	}
	if sum.Counts.Failed != 0 || sum.Counts.InFlight != 0 {
		t.Errorf("not all requests succeeded: %+v", sum.Counts)
	}
	// Each batch is three lines. The writer may be behind the answers.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(s.dir, "data", "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		stored := int64(strings.Count(string(text), "\n"))
		if stored == 3*ok {
			return
		}
		if time.Now().After(deadline) || stored > 3*ok {
			t.Fatalf("the server stored %d metrics, want 3 for each of %d requests", stored, ok)
		}
	}
}

// TestScaleOutBySSH runs the loop of docs/scale-out.md against a server, and what
// it says of reading the sum.
func TestScaleOutBySSH(t *testing.T) {
	s := newScaleOut(t)
	said := s.play(t, replaced(t, s.scripts[0], "http://server:8080", s.url, "-d 30s", "-d 1s", "-c 50", "-c 2", "+10 seconds", "+3 seconds"))
	for _, want := range []string{"6 clients", "load1.json", "load2.json", "load3.json"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	s.holdSum(t, "load1.json", "load2.json", "load3.json")
	if said := s.play(t, s.scripts[2]); !strings.Contains(said, "load3.json") {
		t.Errorf("results show says\n%s", said)
	}
}

// job is what a test wants of the manifest.
type job struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Spec       struct {
		CompletionMode string `yaml:"completionMode"`
		Completions    int    `yaml:"completions"`
		Parallelism    int    `yaml:"parallelism"`
		BackoffLimit   *int   `yaml:"backoffLimit"`
		Template       struct {
			Spec struct {
				RestartPolicy string `yaml:"restartPolicy"`
				Containers    []struct {
					Image string `yaml:"image"`
					Env   []struct {
						Name  string `yaml:"name"`
						Value string `yaml:"value"`
					} `yaml:"env"`
					Command []string `yaml:"command"`
					Args    []string `yaml:"args"`
				} `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

// TestScaleOutByKubernetes plays the manifest's command as its pods would, and
// the commands around it.
func TestScaleOutByKubernetes(t *testing.T) {
	s := newScaleOut(t)
	text, err := os.ReadFile(filepath.Join("docs", "scale-out-job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var j job
	if err := yaml.Unmarshal(text, &j); err != nil {
		t.Fatal(err)
	}
	pod := j.Spec.Template.Spec
	if j.APIVersion != "batch/v1" || j.Kind != "Job" || j.Spec.CompletionMode != "Indexed" || j.Spec.Completions != 3 || j.Spec.Parallelism != j.Spec.Completions ||
		j.Spec.BackoffLimit == nil || *j.Spec.BackoffLimit != 0 || pod.RestartPolicy != "Never" || len(pod.Containers) != 1 {
		t.Fatalf("it is no Indexed Job of 3 pods that all run once: %+v", j)
	}
	c := pod.Containers[0]
	if c.Image != "IMAGE" || strings.Join(c.Command, " ") != "sh -c" || len(c.Args) != 1 {
		t.Fatalf("container %+v", c)
	}
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	if env["START_AT"] != "START_TIME" {
		t.Errorf("the start is %q, which the sed of the text does not replace", env["START_AT"])
	}
	url := replaced(t, env["URL"], "http://server:8080", s.url)
	s.write(t, "pod.sh", "URL="+strconv.Quote(url)+"\n"+
		replaced(t, c.Args[0], "-d 30s", "-d 1s", "-c 50", "-c 2", "/dev/termination-log", "termination$JOB_COMPLETION_INDEX")+"\n")
	s.write(t, "scale-out-job.yaml", string(text))
	said := s.play(t, replaced(t, s.scripts[1], "+60 seconds", "+3 seconds"))
	if !strings.Contains(said, "pod2.json") || !strings.Contains(said, "6 clients") {
		t.Errorf("merge says\n%s", said)
	}
	s.holdSum(t, "pod0.json", "pod1.json", "pod2.json")
	applied, err := os.ReadFile(filepath.Join(s.dir, "applied.yaml"))
	if err != nil || strings.Contains(string(applied), "IMAGE") || strings.Contains(string(applied), "START_TIME") {
		t.Errorf("what was applied still has a name to replace: %v\n%s", err, applied)
	}
}
