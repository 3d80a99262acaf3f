package results

import (
	"os"
	"path/filepath"
	"regexp"
)

const (
	runsFolder      = "results/runs"
	referenceFolder = "results/reference"
	folderElsewhere = "results"
)

// Home says where runs are kept for the working folder dir: those of the user
// under Runs, those that come with the repository under Reference, "" outside
// of it. Inside mslab's own repository that is results/runs at its top, beside
// the package of that name; anywhere else ./results.
type Home struct {
	Runs      string
	Reference string
}

// FindHome looks for the repository in dir and the folders above it. The paths
// are relative to dir where that is possible.
func FindHome(dir string) Home {
	top, ok := repository(dir)
	if !ok {
		return Home{Runs: folderElsewhere}
	}
	up, err := filepath.Rel(dir, top)
	if err != nil {
		up = top
	}
	return Home{filepath.Join(up, runsFolder), filepath.Join(up, referenceFolder)}
}

// WorkingHome is the Home of the working folder.
func WorkingHome() Home {
	dir, err := os.Getwd()
	if err != nil {
		return Home{Runs: folderElsewhere}
	}
	return FindHome(dir)
}

// Roots are the folders to look for runs in, the user's first.
func (h Home) Roots() []string {
	if h.Reference == "" {
		return []string{h.Runs}
	}
	return []string{h.Runs, h.Reference}
}

var ownModule = regexp.MustCompile(`(?m)^module mslab\s*$`)

// repository is the folder, dir or one above it, whose go.mod names mslab.
func repository(dir string) (top string, ok bool) {
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, ownModule.Match(mod)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}
