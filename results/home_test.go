package results

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestHomeInTheRepositoryAndElsewhere(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "server", "wire")
	other := filepath.Join(top, "vendored")
	for _, dir := range []string{deep, other} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := FindHome(top); got != (Home{Runs: "results"}) {
		t.Errorf("outside of the repository: %+v", got)
	}
	for path, text := range map[string]string{
		filepath.Join(top, "go.mod"):   "// a comment\nmodule mslab\n\ngo 1.26\n",
		filepath.Join(other, "go.mod"): "module mslab.example/other\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := FindHome(top); !slices.Equal(got.Roots(), []string{"results/runs", "results/reference"}) {
		t.Errorf("at the top of the repository: %v", got.Roots())
	}
	if got := FindHome(deep); !slices.Equal(got.Roots(), []string{"../../results/runs", "../../results/reference"}) {
		t.Errorf("in a folder of the repository: %v", got.Roots())
	}
	if got := FindHome(other); !slices.Equal(got.Roots(), []string{"results"}) {
		t.Errorf("in another module: %v", got.Roots())
	}
}
