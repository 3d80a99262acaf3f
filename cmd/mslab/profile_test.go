package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pprofile "github.com/google/pprof/profile"

	"mslab/ebpf"
	"mslab/profile"
	"mslab/results/record"
)

type profileTable struct {
	Tables []struct {
		Title string
		Rows  []struct {
			Stage      string
			Function   string
			Flat, Cum  float64
			FlatShare  float64  `json:"flat_share"`
			PerRequest *float64 `json:"per_request"`
		}
		Notes []string
	}
}

// takeProfile runs mslab profile in a folder and returns its table.
func takeProfile(t *testing.T, dir string, args ...string) profileTable {
	t.Helper()
	cmd, stdout, stderr := start(t, dir, append([]string{"profile"}, args...)...)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("mslab profile %v: %v\n%s", args, err, stderr)
	}
	return readProfileTable(t, stdout.Bytes(), args)
}

// buildPlain builds mslab as its users have it: under the race detector most of
// a parser's time lies in the detector's C code, from which no stack leads back.
func buildPlain(t *testing.T) (exe string) {
	t.Helper()
	exe = filepath.Join(t.TempDir(), "mslab")
	build := exec.Command("go", "build", "-o", exe, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build mslab: %v\n%s", err, said)
	}
	return exe
}

// takeProfileBy is takeProfile by another program.
func takeProfileBy(t *testing.T, exe, dir string, args ...string) profileTable {
	t.Helper()
	cmd := exec.Command(exe, append([]string{"profile"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("mslab profile %v: %v\n%s", args, err, &stderr)
	}
	return readProfileTable(t, stdout.Bytes(), args)
}

func readProfileTable(t *testing.T, text []byte, args []string) profileTable {
	t.Helper()
	var table profileTable
	if err := json.Unmarshal(text, &table); err != nil || len(table.Tables) == 0 {
		t.Fatalf("mslab profile %v: %v in\n%s", args, err, text)
	}
	return table
}

// TestProfileNamesTheParser profiles large bodies under the quadratic and the
// linear parser, and reads the file with go tool pprof.
func TestProfileNamesTheParser(t *testing.T) {
	if testing.Short() {
		t.Skip("loads servers for seconds: skipped by -short")
	}
	dir := t.TempDir()
	plain := buildPlain(t)
	first := func(phase string) string {
		table := takeProfileBy(t, plain, dir, "cpu", "--phase", phase, "--metrics", "300", "--duration", "2s", "--json", "-o", phase+".pb.gz")
		for _, row := range table.Tables[1].Rows {
			if phase == "3" && strings.Contains(row.Function, "Quadratic") {
				t.Errorf("phase 3 parses in one pass, and spends time in %s", row.Function)
			}
		}
		if top := table.Tables[1].Rows[0].Function; phase == "2" && !strings.Contains(top, "parseQuadratic") {
			t.Errorf("phase 2 under bodies of 300 metrics: %s is the first function, want one of parseQuadratic", top)
		}
		return table.Tables[0].Rows[0].Stage
	}
	if got := first("2"); got != "parse quadratic" {
		t.Errorf("phase 2 under bodies of 300 metrics: %q is the first stage, want parse quadratic", got)
	}
	if got := first("3"); strings.Contains(got, "quadratic") {
		t.Errorf("phase 3 under bodies of 300 metrics: %q is the first stage", got)
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-cum", filepath.Join(dir, "2.pb.gz")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "server.parseQuadratic") {
		t.Errorf("go tool pprof: %v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestProfileAgreesWithTheFile profiles a server that threads do not leave, and
// holds what is printed against the file, against go tool pprof, and the sampled
// time against the process' clock.
func TestProfileAgreesWithTheFile(t *testing.T) {
	if testing.Short() {
		t.Skip("loads a server for seconds: skipped by -short")
	}
	dir := t.TempDir()
	table := takeProfile(t, dir, "cpu", "--via", "runtime", "--phase", "5", "--duration", "3s", "--json", "-o", "cpu.pb.gz")
	file, err := os.Open(filepath.Join(dir, "cpu.pb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := pprofile.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	var total float64
	for _, s := range p.Sample {
		total += float64(s.Value[1])
	}
	functions := table.Tables[len(table.Tables)-1]
	first := functions.Rows[0]
	if math.Abs(first.Flat/total-first.FlatShare) > 1e-9 {
		t.Errorf("%s: flat %v of %v, printed share %v", first.Function, first.Flat, total, first.FlatShare)
	}
	if first.PerRequest == nil || *first.PerRequest <= 0 {
		t.Errorf("%s: no figure for a request", first.Function)
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-unit", "ms", "-nodecount", "1", filepath.Join(dir, "cpu.pb.gz")).CombinedOutput()
	row := regexp.MustCompile(`(?m)^\s*([0-9.]+)ms\s.*` + regexp.QuoteMeta(first.Function) + `( \(inline\))?$`).FindStringSubmatch(string(out))
	if err != nil || row == nil {
		t.Fatalf("go tool pprof does not have %s first: %v\n%s", first.Function, err, out)
	}
	var ms float64
	if err := json.Unmarshal([]byte(row[1]), &ms); err != nil || math.Abs(ms-first.Flat/1e6) > 0.5 {
		t.Errorf("%s: flat %v ms by go tool pprof, %v ns by ours", first.Function, ms, first.Flat)
	}
	notes := strings.Join(functions.Notes, "\n")
	if !strings.Contains(notes, "the process' clock says") || !strings.Contains(notes, "Cost of the profiler: CPU per request") {
		t.Errorf("notes:\n%s", notes)
	}
}

// TestProfiledServerEnds kills the server while it is profiled: one line, exit 1
// and no file.
func TestProfiledServerEnds(t *testing.T) {
	dir := t.TempDir()
	server, _, _ := start(t, dir, "serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "data")
	waitFor(t, "the server", func() bool { found, _ := filepath.Glob(filepath.Join(dir, "mslab", "*.json")); return len(found) == 1 })
	cmd, stdout, stderr := startProfile(t, dir, "allocs", "--duration", "30s", "-o", "allocs.pb.gz")
	time.Sleep(300 * time.Millisecond)
	_ = server.Process.Kill()
	_ = server.Wait()
	_ = cmd.Wait()
	said := strings.TrimPrefix(stderr.String(), "profiling allocs of phase 7 keepalive ")
	_, said, _ = strings.Cut(said, "\n")
	if cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || !strings.HasPrefix(said, "mslab: ") || strings.Count(said, "\n") != 1 || !strings.Contains(said, "the server has stopped") {
		t.Errorf("exit code %d, stdout %q, stderr %q", cmd.ProcessState.ExitCode(), stdout, said)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*allocs*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestInterruptedProfile wants the signal's exit code, no file and no server.
func TestInterruptedProfile(t *testing.T) {
	dir := t.TempDir()
	cmd, _, stderr := startProfile(t, dir, "cpu", "--via", "runtime", "--phase", "5", "--duration", "1m")
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 130 || !strings.HasSuffix(stderr.String(), "mslab: interrupted by SIGINT\n") {
		t.Errorf("exit code %d; stderr: %q", got, stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*cpu-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestInterruptedKernelProfile wants what was sampled until then.
func TestInterruptedKernelProfile(t *testing.T) {
	skipWithoutKernelSampling(t)
	dir := t.TempDir()
	cmd, stdout, stderr := startProfile(t, dir, "cpu", "--phase", "5", "--duration", "1m", "--json", "-o", "cpu.pb.gz")
	time.Sleep(3 * time.Second) // the first one is the server without the profiler
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 130 || !strings.HasSuffix(stderr.String(), "mslab: interrupted by SIGINT\n") {
		t.Errorf("exit code %d; stderr: %q", got, stderr)
	}
	table := readProfileTable(t, stdout.Bytes(), nil)
	wantAgreement(t, table)
	notes := strings.Join(table.Tables[len(table.Tables)-1].Notes, "\n")
	if !strings.Contains(notes, "Interrupted after") || strings.Contains(notes, "at rest") {
		t.Errorf("notes:\n%s", notes)
	}
	if out, err := exec.Command("go", "tool", "pprof", "-top", filepath.Join(dir, "cpu.pb.gz")).CombinedOutput(); err != nil {
		t.Errorf("go tool pprof -top: %v\n%s", err, out)
	}
}

// TestKilledProfile wants nothing left in the folder of a profile that ends with
// its process.
func TestKilledProfile(t *testing.T) {
	dir := t.TempDir()
	server, _, _ := start(t, dir, "serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "data")
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	waitFor(t, "the server", func() bool { found, _ := filepath.Glob(filepath.Join(dir, "mslab", "*.json")); return len(found) == 1 })
	before := names(t, dir)
	cmd, _, _ := startProfile(t, dir, "cpu", "--duration", "30s")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	after := names(t, dir)
	if !nameless(t, dir) { // a file system without O_TMPFILE
		after = slices.DeleteFunc(after, func(name string) bool { return strings.HasSuffix(name, ".tmp") })
	}
	if !slices.Equal(before, after) {
		t.Errorf("in the folder before: %v; after: %v", before, after)
	}
}

// nameless tells whether a file that is being written has no name in dir.
func nameless(t *testing.T, dir string) bool {
	t.Helper()
	before := len(names(t, dir))
	file, err := record.CreateWhole(filepath.Join(dir, "nameless"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Abort()
	return len(names(t, dir)) == before
}

// told is a buffer that may be read while a process writes to it.
type told struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *told) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *told) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// startProfile starts mslab profile and waits until it says that it profiles.
func startProfile(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, stdout *bytes.Buffer, stderr *told) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("not supported on %s: the phases are built on Linux system calls", runtime.GOOS)
	}
	stdout, stderr = &bytes.Buffer{}, &told{}
	cmd = asMslab(t, dir, append([]string{"profile"}, args...)...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitFor(t, "the profile to begin", func() bool { return strings.Contains(stderr.String(), "profiling "+args[0]) })
	return cmd, stdout, stderr
}

func skipWithoutKernelSampling(t *testing.T) {
	t.Helper()
	if _, err := ebpf.CheckCPU(); err != nil {
		t.Skipf("no sampling by the kernel here: %v", err)
	}
}

// clockLine is what the notes say of the total and of what the kernel charged.
var clockLine = regexp.MustCompile(`stand for \S+ of CPU; .* says \S+( \(\S+ a request\))?: ([+-][0-9.]+) %`)

// wantAgreement holds the printed total against what the kernel charged.
func wantAgreement(t *testing.T, table profileTable) {
	t.Helper()
	notes := strings.Join(table.Tables[len(table.Tables)-1].Notes, "\n")
	found := clockLine.FindStringSubmatch(notes)
	if found == nil || !strings.Contains(notes, "Sampled by the kernel") {
		t.Fatalf("notes:\n%s", notes)
	}
	if off, err := strconv.ParseFloat(found[2], 64); err != nil || math.Abs(off) > 100*profile.Agreement {
		t.Errorf("%v %% off what the kernel charged; notes:\n%s", off, notes)
	}
}

// TestKernelProfileAgreesWithTheClock profiles phases whose threads live long and
// short.
func TestKernelProfileAgreesWithTheClock(t *testing.T) {
	if testing.Short() {
		t.Skip("loads servers for seconds: skipped by -short")
	}
	skipWithoutKernelSampling(t)
	dir := t.TempDir()
	plain := buildPlain(t)
	for _, phase := range []string{"2", "5", "7"} {
		t.Run(phase, func(t *testing.T) {
			table := takeProfileBy(t, plain, dir, "cpu", "--via", "kernel", "--phase", phase, "--duration", "2s", "--json", "-o", phase+".pb.gz")
			if len(table.Tables) != 2 {
				t.Fatalf("%d tables, want that by stage and that by function", len(table.Tables))
			}
			wantAgreement(t, table)
			if first := table.Tables[1].Rows[0]; first.PerRequest == nil || *first.PerRequest <= 0 {
				t.Errorf("%s: no figure for a request", first.Function)
			}
		})
	}
}

// TestProfileOfACommand profiles a command and its child, and wants its output out
// of the way and its status told.
func TestProfileOfACommand(t *testing.T) {
	skipWithoutKernelSampling(t)
	dir := t.TempDir()
	cmd, stdout, stderr := start(t, dir, "profile", "cpu", "--json", "-o", "cpu.pb.gz", "--",
		"sh", "-c", "echo here; burn() { i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; }; burn; (burn); exit 3")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.HasPrefix(stderr.String(), "here\n") || !strings.Contains(stderr.String(), "exit status 3") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	table := readProfileTable(t, stdout.Bytes(), nil)
	wantAgreement(t, table)
	if notes := strings.Join(table.Tables[0].Notes, "\n"); !strings.Contains(notes, "2 processes are in it") {
		t.Errorf("notes:\n%s", notes)
	}
	if out, err := exec.Command("go", "tool", "pprof", "-tags", filepath.Join(dir, "cpu.pb.gz")).CombinedOutput(); err != nil || !strings.Contains(string(out), "sh") {
		t.Errorf("go tool pprof -tags: %v\n%s", err, out)
	}
}

// TestProfileOfAShortCommand wants a command that ends before it is sampled to be
// known by what it was charged, from its first instruction on.
func TestProfileOfAShortCommand(t *testing.T) {
	skipWithoutKernelSampling(t)
	table := takeProfile(t, t.TempDir(), "cpu", "--json", "-o", "cpu.pb.gz", "--", "true")
	notes := strings.Join(table.Tables[0].Notes, "\n")
	if len(table.Tables[0].Rows) == 0 {
		t.Errorf("no rows; notes:\n%s", notes)
	}
	found := regexp.MustCompile(`stand for (\S+) of CPU; rusage .* says (\S+):`).FindStringSubmatch(notes)
	if found == nil {
		t.Fatalf("notes:\n%s", notes)
	}
	sampled, sampledErr := time.ParseDuration(found[1])
	charged, chargedErr := time.ParseDuration(found[2])
	// Of less than a millisecond, the few instructions between the two readings
	// are more than the share that totals agree to.
	const between = 200 * time.Microsecond
	if err := errors.Join(sampledErr, chargedErr); err != nil || (sampled-charged).Abs() > between {
		t.Errorf("sampled %s, charged %s (%v); notes:\n%s", sampled, charged, err, notes)
	}
}

// TestProfileOfAnyProcess profiles a process that is no server, and that ends
// meanwhile.
func TestProfileOfAnyProcess(t *testing.T) {
	skipWithoutKernelSampling(t)
	dir := t.TempDir()
	busy := exec.Command("sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Process.Kill(); _ = busy.Wait() })
	cmd, stdout, stderr := startProfile(t, dir, "cpu", "--pid", strconv.Itoa(busy.Process.Pid), "--duration", "30s", "--json", "-o", "cpu.pb.gz")
	time.Sleep(time.Second)
	_ = busy.Process.Kill()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	table := readProfileTable(t, stdout.Bytes(), nil)
	if notes := strings.Join(table.Tables[0].Notes, "\n"); len(table.Tables[0].Rows) == 0 || !strings.Contains(notes, "The process ended after") {
		t.Errorf("%d rows, notes:\n%s", len(table.Tables[0].Rows), notes)
	}
}
