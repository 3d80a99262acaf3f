// Package harness is what the benches share: building the program, pinning a
// process to a core, an order of play that is balanced, ratios with intervals.
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"mslab/results"
)

// Cores of a client and its server, on a machine that has both.
const (
	ClientCore = 0
	ServerCore = 1
)

// ModuleRoot is the nearest folder upwards with a go.mod.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the module: no go.mod here or above; run this in the module's folder")
		}
		dir = parent
	}
}

// BuildMslab builds the program as make build does, into folder, and returns its
// path.
func BuildMslab(ctx context.Context, stderr io.Writer, folder string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	fmt.Fprintln(stderr, "building mslab")
	mslab := filepath.Join(folder, "mslab")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", mslab, "./cmd/mslab")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build mslab: %w\n%s", err, out)
	}
	return mslab, nil
}

// Order draws an order of n things for every two blocks; the second plays it
// backwards, so that a drift of the machine falls on all alike. It is the same
// in each run.
func Order(n, block int) []int {
	order := rand.New(rand.NewPCG(uint64(block/2), 0x74726163)).Perm(n)
	if block%2 == 1 {
		for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
			order[i], order[j] = order[j], order[i]
		}
	}
	return order
}

// Ratio compares two things that were measured side by side: the geometric mean
// of the pairs' ratios, and its 95 % interval by sign flips over the pairs,
// infinite with fewer than six.
type Ratio struct {
	Mean, Low, High float64
	Pairs           int
}

// RatioOf is that of positive figures a[i] to b[i]. Of no pairs its Mean is NaN.
func RatioOf(a, b []float64) Ratio {
	logs := make([]float64, len(a))
	for i := range a {
		logs[i] = math.Log(a[i] / b[i])
	}
	if len(logs) == 0 {
		return Ratio{Mean: math.NaN(), Low: math.Inf(-1), High: math.Inf(1)}
	}
	low, high := results.SignFlipInterval(logs)
	return Ratio{Mean: math.Exp(results.Mean(logs)), Low: math.Exp(low), High: math.Exp(high), Pairs: len(logs)}
}

// Told says whether there were enough pairs for an interval.
func (r Ratio) Told() bool { return r.Pairs > 0 && !math.IsInf(r.High, 0) }
