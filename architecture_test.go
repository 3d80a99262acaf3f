// Package mslab_test holds what is true of the module as a whole: its layers,
// what its hot packages depend on, and what a newcomer is told.
package mslab_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// modulePath is the module's own prefix in import paths.
const modulePath = "mslab/"

// layers says for each top folder which of our packages it may import beside its
// own: the arrows of docs/ARCHITECTURE.md. A pattern that ends in /... takes what
// is below too.
var layers = map[string][]string{
	"server":    {},
	"results":   {},
	"loadgen":   {"results/..."},
	"profile":   {"results/..."},
	"ebpf":      {"results/..."},
	"chaos":     {"results/..."},
	"pipeline":  {"results/...", "server/sink"},
	"scenarios": {"server/...", "loadgen/...", "profile/...", "ebpf/...", "chaos/...", "pipeline/...", "results/..."},
	"cmd": {"server/...", "loadgen/...", "profile/...", "ebpf/...", "chaos/...", "pipeline/...", "scenarios/...",
		"results/..."},
	"docs": {"results/..."},
	"bench": {"server/...", "loadgen/...", "profile/...", "ebpf/...", "chaos/...", "pipeline/...", "scenarios/...",
		"results/..."},
}

// homes says where a library may be imported; others keep out.
var homes = []struct{ library, home string }{
	{"github.com/spf13/cobra", "cmd/..."},
	{"github.com/spf13/pflag", "cmd/..."},
	{"github.com/olekukonko/tablewriter", "results"},
	{"github.com/montanaflynn/stats", "results"},
	{"github.com/cilium/ebpf", "ebpf/..."},
	{"github.com/google/nftables", "chaos/..."},
	{"github.com/mdlayher/netlink", "chaos/..."},
	{"charm.land/bubbletea", "cmd/..."},
	{"charm.land/lipgloss", "cmd/..."},
	{"github.com/google/pprof/driver", "cmd/..."}, // its profile package is the format, which others speak
}

// hotPackages lists all that the packages on the measured paths may depend on
// beside the standard library.
var hotPackages = map[string][]string{
	"server":      {"mslab/server/...", "golang.org/x/sys/..."},
	"server/sink": {"mslab/server/sink"},
	"server/wire": {"mslab/server/wire"},
	"loadgen": {"mslab/loadgen/...", "mslab/results/record", "golang.org/x/sys/...",
		"github.com/HdrHistogram/hdrhistogram-go",
		"github.com/prometheus/procfs/..."}, // its own thread's wait for a core
}

// matches tells whether an import path is the pattern's, or below it.
func matches(path, pattern string) bool {
	if parent, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == parent || strings.HasPrefix(path, parent+"/")
	}
	return path == pattern
}

func matchesAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(path, p) })
}

// checkImport says what is wrong with one of our packages (its path below the
// module) importing path, "" where nothing is.
func checkImport(pkg, path string) string {
	for _, l := range homes {
		if matches(path, l.library+"/...") && !matches(pkg, l.home) {
			return l.library + " belongs in " + l.home
		}
	}
	own, ok := strings.CutPrefix(path, modulePath)
	if !ok {
		return ""
	}
	layer, _, _ := strings.Cut(pkg, "/")
	allowed, known := layers[layer]
	switch {
	case !known:
		return "folder " + layer + " has no layer; give it one in architecture_test.go and docs/ARCHITECTURE.md"
	case matches(own, layer+"/...") || matchesAny(own, allowed):
		return ""
	}
	return "not an arrow of docs/ARCHITECTURE.md"
}

func TestLayers(t *testing.T) {
	for _, system := range []string{"linux", "darwin"} {
		found := 0
		for _, p := range listPackages(t, system) {
			pkg, ok := strings.CutPrefix(p.ImportPath, modulePath)
			if !ok {
				continue // the module's root: these tests
			}
			found++
			// In-package tests count: a test must not couple what the code keeps apart.
			for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if wrong := checkImport(pkg, path); wrong != "" {
					t.Errorf("%s: %s imports %s: %s", system, pkg, path, wrong)
				}
			}
		}
		if found < 5 {
			t.Errorf("%s: only %d packages looked at", system, found)
		}
	}
}

func TestCheckImport(t *testing.T) {
	for _, c := range []struct {
		pkg, path string
		allowed   bool
	}{
		{"server", "mslab/server/wire", true},
		{"server", "mslab/results/record", false},
		{"server", "mslab/loadgen", false},
		{"loadgen", "mslab/results/record", true},
		{"loadgen", "mslab/server", false},
		{"chaos/nft", "mslab/ebpf", false},
		{"chaos", "github.com/google/nftables/expr", true},
		{"scenarios/doctor", "github.com/google/nftables", false},
		{"pipeline/kafka", "mslab/server/sink", true},
		{"pipeline/kafka", "mslab/server", false},
		{"results", "mslab/results/record", true},
		{"results", "mslab/scenarios", false},
		{"scenarios", "mslab/cmd/mslab", false},
		{"cmd/mslab", "mslab/scenarios", true},
		{"cmd/mslab", "github.com/spf13/cobra", true},
		{"scenarios", "github.com/spf13/cobra", false},
		{"scenarios", "charm.land/bubbletea/v2", false},
		{"loadgen", "charm.land/lipgloss/v2", false},
		{"cmd/mslab", "charm.land/bubbletea/v2", true},
		{"results", "github.com/olekukonko/tablewriter/tw", true},
		{"results/record", "github.com/olekukonko/tablewriter", false},
		{"profile", "mslab/results", true},
		{"profile", "mslab/scenarios", false},
		{"profile", "mslab/server/registry", false},
		{"profile", "github.com/google/pprof/profile", true},
		{"profile", "github.com/google/pprof/driver", false},
		{"utils", "mslab/server", false},
		{"loadgen", "strings", true},
	} {
		if wrong := checkImport(c.pkg, c.path); (wrong == "") != c.allowed {
			t.Errorf("%s imports %s: allowed %v, want %v (%s)", c.pkg, c.path, wrong == "", c.allowed, wrong)
		}
	}
}

func TestHotPackagesDependOnLittle(t *testing.T) {
	for pkg, allowed := range hotPackages {
		deps := strings.Fields(goList(t, "linux", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./"+pkg))
		if !slices.Contains(deps, modulePath+pkg) {
			t.Errorf("%s is not among its own dependencies %v", pkg, deps)
		}
		for _, path := range deps {
			if !matchesAny(path, allowed) {
				t.Errorf("%s depends on %s, which is not on its list", pkg, path)
			}
		}
	}
}

type listedPackage struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
}

func listPackages(t *testing.T, system string) []listedPackage {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(goList(t, system, "-json=ImportPath,Dir,Imports,TestImports,XTestImports", "./...")))
	var packages []listedPackage
	for {
		var p listedPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// goList runs `go list` as it answers for an operating system.
func goList(t *testing.T, system string, args ...string) string {
	t.Helper()
	command := exec.Command("go", append([]string{"list"}, args...)...)
	command.Env = append(os.Environ(), "GOOS="+system)
	out, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list %v: %v\n%s", args, err, exit.Stderr)
		}
		t.Fatalf("go list %v: %v", args, err)
	}
	return string(out)
}
