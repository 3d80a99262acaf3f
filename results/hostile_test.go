package results

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/results/record"
)

// smallRun stores a run of two trials and gives its folder and its files.
func smallRun(t *testing.T) (dir, runJSON, trial string) {
	t.Helper()
	run := sampleRun()
	run.Trials = run.Trials[:2]
	dir = t.TempDir()
	storeRun(t, dir, run)
	return dir, filepath.Join(dir, runFile), must(filepath.Glob(filepath.Join(dir, trialsDir, "*.json")))[0]
}

// mustRefuse wants an error in one line that names the file and says what to do,
// soon and without much memory.
func mustRefuse(t *testing.T, what, dir, file string) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	_, err := OpenRun(dir)
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	switch {
	case err == nil:
		t.Errorf("%s: read without an error", what)
	case !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n"):
		t.Errorf("%s: error %q, want one line that names %s", what, err, file)
	}
	if took > 5*time.Second {
		t.Errorf("%s: refused after %v", what, took)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 256<<20 {
		t.Errorf("%s: %d MiB were allocated for it", what, took>>20)
	}
}

// A file cut at any byte is refused by name, and nothing panics. What ends after
// the last brace is whole.
func TestTruncatedAtEveryByte(t *testing.T) {
	dir, runJSON, trial := smallRun(t)
	for _, path := range []string{runJSON, trial} {
		whole := must(os.ReadFile(path))
		for n := range len(whole) - 2 {
			if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenRun(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "truncated") && !strings.Contains(err.Error(), "empty") {
				t.Fatalf("%s cut to %d of %d bytes: error %v, want that it is truncated", path, n, len(whole), err)
			}
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenRun(dir); err != nil {
		t.Fatal(err)
	}
}

// What is no file is refused before it is opened: a pipe would never answer.
func TestNoFileAtAll(t *testing.T) {
	kinds := map[string]func(path string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o755) },
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a pipe behind a link": func(path string) error {
			return linkTo(path, "pipe", func(p string) error { return syscall.Mkfifo(p, 0o644) })
		},
		"a link to itself":  func(path string) error { return os.Symlink(path, path) },
		"a link to nowhere": func(path string) error { return os.Symlink(path+".gone", path) },
	}
	if os.Geteuid() != 0 { // who may read every file
		kinds["a file that may not be read"] = func(path string) error { return os.WriteFile(path, []byte("{}"), 0) }
	}
	for what, make := range kinds {
		t.Run(what, func(t *testing.T) {
			for _, which := range []string{"run", "trial"} {
				dir, path, trial := smallRun(t)
				if which == "trial" {
					path = trial
				}
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := make(path); err != nil {
					t.Fatal(err)
				}
				mustRefuse(t, what+" as "+which, dir, path)
				if _, err := record.Open(path); err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("%s as a record: error %v", what, err)
				}
				// The list names the folder and goes on.
				if list, err := ListRuns(filepath.Dir(dir)); which == "run" && (err != nil || len(list) != 1 || list[0].Error == "") {
					t.Errorf("%s: listed as %+v, %v", what, list, err)
				}
			}
		})
	}
}

func linkTo(path, name string, make func(string) error) error {
	target := filepath.Join(filepath.Dir(path), "."+name)
	if err := make(target); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// A gigabyte is looked at for its first block, or for its size.
func TestHugeFiles(t *testing.T) {
	for what, head := range map[string]string{
		"zeros":          "",
		"text":           "hello",
		"spaces":         strings.Repeat(" ", 8192),
		"an endless run": `{"schema": "mslab.run/v1", "plan": {"scenario": "` + strings.Repeat("x", 8192),
		"an endless key": `{"` + strings.Repeat("x", 8192),
	} {
		t.Run(what, func(t *testing.T) {
			for _, which := range []string{"run", "trial"} {
				dir, path, trial := smallRun(t)
				if which == "trial" {
					path = trial
				}
				f := must(os.Create(path))
				_, err := io.WriteString(f, head)
				if err == nil {
					err = f.Truncate(1 << 30) // a hole: it takes no disk
				}
				if err = firstOf(err, f.Close()); err != nil {
					t.Fatal(err)
				}
				mustRefuse(t, what+" as "+which, dir, path)
			}
		})
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Files that are JSON and ours by their schema, and that nothing of ours wrote.
func TestHostileContents(t *testing.T) {
	_, runJSON, trial := smallRun(t)
	wholeRun, wholeTrial := string(must(os.ReadFile(runJSON))), string(must(os.ReadFile(trial)))
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, c := range []struct{ what, whole, old, new, says string }{
		{"wrong type", wholeRun, `"seed": 1`, `"seed": "one"`, "seed"},
		{"not a number", wholeRun, `"min_effect": 0.013`, `"min_effect": NaN`, "not a run"},
		{"beyond a float", wholeRun, `"min_effect": 0.013`, `"min_effect": 1e999`, "min_effect"},
		{"a list", wholeRun, wholeRun, "[]", "begins with"},
		{"null", wholeRun, wholeRun, "null", "begins with"},
		{"deep", wholeRun, `"seed": 1`, `"seed": ` + deep, "depth"},
		{"blocks without number", wholeRun, `"blocks": 10`, `"blocks": 2000000000`, "blocks"},
		{"negative blocks", wholeRun, `"blocks": 10`, `"blocks": -1`, "blocks"},
		{"a name that rings", wholeRun, `"name": "threads"`, `"name": "\u001b[2Jthreads"`, "control characters"},
		{"newer", wholeRun, RunSchema, "mslab.run/v7", "newer"},
		{"twice", wholeRun, wholeRun, wholeRun + wholeRun, "run"},

		{"wrong type", wholeTrial, `"sent": 201`, `"sent": "many"`, "sent"},
		{"a fraction of a request", wholeTrial, `"sent": 201`, `"sent": 200.5`, "sent"},
		{"beyond 64 bits", wholeTrial, `"sent": 201`, `"sent": 99999999999999999999`, "sent"},
		{"not a number", wholeTrial, `"sent": 201`, `"sent": NaN`, "not JSON"},
		{"negative count", wholeTrial, `"in_flight": 0`, `"in_flight": -5`, "in_flight"},
		{"negative CPU", wholeTrial, `"cpu_ns": `, `"cpu_ns": -`, "negative"},
		{"deep", wholeTrial, `"sent": 201`, `"sent": ` + deep, "depth"},
		{"block 0", wholeTrial, `"block": 1`, `"block": 0`, "blocks count from 1"},
		{"a class of nothing", wholeTrial, `"by_class": {` + "\n      \"read_timeout\": {", `"by_class": {"reset": null, "read_timeout": {`, "reset has no histogram"},
		{"falling percentiles", wholeTrial, `"p90": `, `"p90": 9`, "do not rise"},
		{"no histogram", wholeTrial, `"hdr": "`, `"hdr": "*`, "HDR histogram"},
		{"newer", wholeTrial, record.Schema, "mslab.result/v7", "newer"},
		{"twice", wholeTrial, wholeTrial, wholeTrial + wholeTrial, "one file holds one record"},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir, path, trialPath := smallRun(t)
			if c.whole == wholeTrial {
				path = trialPath
			}
			if !strings.Contains(c.whole, c.old) {
				t.Fatalf("the file does not hold %q", c.old)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(c.whole, c.old, c.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			mustRefuse(t, c.what, dir, path)
			if _, err := OpenRun(dir); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

// A trial that names a folder beside the files is told of, not left out.
func TestStrangersAmongTrials(t *testing.T) {
	dir, _, trial := smallRun(t)
	if err := os.Mkdir(trial+".json", 0o755); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "a folder among the trials", dir, trial+".json")
}

// FuzzOpenRun reads any run.json beside any trial, and draws and compares what
// it accepts: whatever comes of it, it is no panic.
func FuzzOpenRun(f *testing.F) {
	run := sampleRun()
	run.Trials = run.Trials[:1]
	runJSON := must(json.Marshal(run))
	trial := must(json.Marshal(run.Trials[0]))
	f.Add(runJSON, trial)
	f.Add(runJSON[:200], trial[:200])
	f.Add(bytes.Replace(runJSON, []byte(`"blocks":10`), []byte(`"blocks":0`), 1), trial)
	f.Add(runJSON, bytes.Replace(trial, []byte(`"slices":[`), []byte(`"slices":[{},`), 1))
	f.Add(runJSON, bytes.Replace(trial, []byte(`"by_class":{"read_timeout":{`), []byte(`"by_class":{"x":{},"read_timeout":{`), 1))
	f.Fuzz(func(t *testing.T, runJSON, trial []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, trialsDir), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{runFile: runJSON, filepath.Join(trialsDir, "a.json"): trial} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run, err := OpenRun(dir)
		if err != nil {
			return
		}
		if tables, err := Tables(run, -1); err == nil {
			_ = Render(io.Discard, "markdown", tables)
		}
		if _, err := Compare(run, MetricCPU, run.Pairs(), 0); err != nil {
			t.Errorf("a run that was read cannot be compared: %v", err)
		}
		_, _ = ComparePercentiles(run, run.Pairs(), 0)
		if joined, err := Join(run, run); err == nil {
			_ = RenderBenchstat(io.Discard, joined)
		}
	})
}
