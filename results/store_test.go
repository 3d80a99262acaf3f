package results

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mslab/results/record"
)

func TestStoreAndOpen(t *testing.T) {
	run, dir := sampleRun(), filepath.Join(t.TempDir(), "runs", "x")
	run.Trials = slices.DeleteFunc(run.Trials, func(r *record.Record) bool { return r.Block > 2 })
	store := storeRun(t, dir, run)
	tables := must(Tables(run, -1))
	if err := store.WriteTable(tables); err != nil {
		t.Fatal(err)
	}
	got, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Trials) != len(run.Trials) {
		t.Fatalf("%d trials, want %d: cells share a file name", len(got.Trials), len(run.Trials))
	}
	if !reflect.DeepEqual(got.Plan, run.Plan) || !got.Started.Equal(run.Started) || got.Dir != dir {
		t.Errorf("the plan read is not the plan written")
	}
	var before, after strings.Builder
	_, _ = RenderText(&before, tables), RenderText(&after, must(Tables(got, -1)))
	if before.String() != after.String() {
		t.Error("the tables of the stored run are not those of the run")
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".tmp") {
			t.Errorf("%s is left over", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoreNamesAreSafeAndApart(t *testing.T) {
	names := map[string]string{}
	for _, subject := range []string{"a b", "a/b", "../../etc/x", "a_b", strings.Repeat("x", 300) + "1", strings.Repeat("x", 300) + "2", "", "ä"} {
		r := trialOf("isolated", 1, subject, 1)
		name := trialName(r)
		if strings.ContainsAny(name, "/ ") || len(name) > 200 || strings.HasPrefix(name, ".") {
			t.Errorf("subject %q is stored as %q", subject, name)
		}
		if other, taken := names[name]; taken {
			t.Errorf("subjects %q and %q share %q", subject, other, name)
		}
		names[name] = subject
	}
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	if got := RunDirName("first look", started); got != "first_look-20260102T020405Z" {
		t.Errorf("folder %q", got)
	}
}

func TestCreateStoreRefusesAnotherRun(t *testing.T) {
	dir := t.TempDir()
	storeRun(t, dir, pairRun(1))
	if _, err := CreateStore(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want one that is fs.ErrExist", err)
	}
	if _, err := ReopenStore(dir); err != nil {
		t.Errorf("reopening: %v", err)
	}
	if _, err := ReopenStore(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reopening an empty folder: %v", err)
	}
}

func TestOpenRunRefuses(t *testing.T) {
	good := sampleRun()
	good.Trials = good.Trials[:2]
	firstTrial := func(dir string) string {
		return must(filepath.Glob(filepath.Join(dir, trialsDir, "*.json")))[0]
	}
	replace := func(file func(string) string, old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := file(dir)
			text := string(must(os.ReadFile(path)))
			if !strings.Contains(text, old) {
				t.Fatalf("%s does not hold %q", path, old)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(text, old, new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	runJSON := func(dir string) string { return filepath.Join(dir, runFile) }
	truncate := func(file func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Truncate(file(dir), 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name  string
		spoil func(*testing.T, string)
		want  string
	}{
		{"no run.json", func(t *testing.T, dir string) { _ = os.Remove(runJSON(dir)) }, "mslab results list"},
		{"truncated run.json", truncate(runJSON), "run.json: the file is truncated"},
		{"empty run.json", func(t *testing.T, dir string) { _ = os.Truncate(runJSON(dir), 0) }, "run.json: the file is empty"},
		{"foreign run.json", func(t *testing.T, dir string) { _ = os.WriteFile(runJSON(dir), []byte(`{"a":1}`), 0o644) }, "run.json: not a run"},
		{"newer run.json", replace(runJSON, RunSchema, "mslab.run/v2"), `"mslab.run/v2" is newer`},
		{"unknown key", replace(runJSON, `"seed"`, `"sead"`), "sead"},
		{"pair of nobody", replace(runJSON, `"b": "async"`, `"b": "asink"`), "asink"},
		{"truncated trial", truncate(firstTrial), ".json: the file is truncated"},
		{"newer trial", replace(firstTrial, record.Schema, "mslab.result/v9"), `"mslab.result/v9" is newer`},
		{"trial of another run", replace(firstTrial, `"arm": "isolated"`, `"arm": "alien"`), `no arm "alien"`},
		{"no trials folder", func(t *testing.T, dir string) { _ = os.RemoveAll(filepath.Join(dir, trialsDir)) }, "trials"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			storeRun(t, dir, good)
			c.spoil(t, dir)
			_, err := OpenRun(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v; want one line with %q and the folder", err, c.want)
			}
		})
	}
}

func TestOpenRunMarksBrokenAccounting(t *testing.T) {
	run := sampleRun()
	run.Trials = run.Trials[:1]
	run.Trials[0].Counts.Sent += 5
	dir := t.TempDir()
	storeRun(t, dir, run)
	got, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Trials[0].Verdict; v.Valid || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0], "accounting") {
		t.Errorf("verdict %+v; want not valid for its accounting", v)
	}
}

func TestOpenRunPassesOverLeftOvers(t *testing.T) {
	run, dir := sampleRun(), t.TempDir()
	run.Trials = run.Trials[:3]
	storeRun(t, dir, run)
	if err := os.WriteFile(filepath.Join(dir, trialsDir, ".x.json.123.tmp"), []byte(`{"sch`), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := OpenRun(dir)
	if err != nil || len(got.Trials) != 3 {
		t.Fatalf("%v; a run killed while it wrote must be readable", err)
	}
}

func TestListRuns(t *testing.T) {
	root := t.TempDir()
	older, newer := sampleRun(), pairRun(1, 1, 1)
	newer.Started = older.Started.Add(time.Hour)
	older.Trials = older.Trials[:4]
	storeRun(t, filepath.Join(root, "older"), older)
	for _, r := range newer.Trials {
		r.Latency = latencyOf(1, 1, 1)
	}
	storeRun(t, filepath.Join(root, "newer"), newer)
	if err := os.Mkdir(filepath.Join(root, "alien"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := ListRuns(root)
	if err != nil || len(got) != 3 {
		t.Fatalf("%d runs, error %v; want two and the folder that is none", len(got), err)
	}
	if got[0].Scenario != "test" || got[0].Blocks != 3 || got[0].Trials != 6 || got[1].Scenario != "phases" || got[1].Subjects != 4 {
		t.Errorf("%+v; want the newer run first", got)
	}
	if got[2].Error == "" || !strings.Contains(got[2].Error, "run.json") {
		t.Errorf("%+v; want the error of the foreign folder", got[2])
	}
	if none, err := ListRuns(filepath.Join(root, "nowhere")); err != nil || none != nil {
		t.Errorf("%v, %v of a root that does not exist", none, err)
	}
}
