package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mslab/results/record"
)

// ours is the tool that the others are held against.
const ours = "mslab"

// shot is one play of a tool.
type shot struct {
	url         string
	folder      string // of its own
	request     request
	connections int
	duration    time.Duration
}

// said is what a tool says of its own play.
type said struct {
	answered int64
	errors   int64 // that it counts itself: of the connection, or another status
	seconds  float64
}

// tool is a load generator, by the flags that make it fastest on one core.
type tool struct {
	name    string
	program string
	version string
	// seconds says that it plays whole seconds only.
	seconds bool
	// warmups says that it sends a request on each connection before it counts.
	warmups bool
	// command makes the files that it wants and returns its command line.
	command func(shot) ([]string, error)
	// read finds what it says in what it wrote.
	read func(ctx context.Context, program string, s shot, stdout string) (said, error)
}

func allTools() []tool {
	return []tool{
		{name: ours, program: "mslab", command: mslabCommand, read: readMslab},
		{name: "wrk", program: "wrk", seconds: true, command: wrkCommand, read: readWrk},
		{name: "h2load", program: "h2load", command: h2loadCommand, read: readH2load},
		{name: "hey", program: "hey", command: heyCommand, read: readHey},
		{name: "ab", program: "ab", seconds: true, command: abCommand, read: readAb},
		{name: "vegeta", program: "vegeta", command: vegetaCommand, read: readVegeta},
		{name: "fortio", program: "fortio", warmups: true, command: fortioCommand, read: readFortio},
		{name: "k6", program: "k6", seconds: true, command: k6Command, read: readK6},
	}
}

func toolNames() []string {
	var names []string
	for _, t := range allTools() {
		names = append(names, t.name)
	}
	return names
}

// installed lists the wanted tools that are here, and says which are not.
func installed(ctx context.Context, wanted []string, mslab string) (tools []tool, absent []string) {
	for _, name := range wanted {
		for _, t := range allTools() {
			if t.name != name {
				continue
			}
			path := mslab
			if t.name != ours {
				var err error
				if path, err = exec.LookPath(t.program); err != nil {
					absent = append(absent, t.name+" is left out: it is not on PATH")
					continue
				}
				t.version = versionOf(ctx, path)
			}
			t.program = path
			tools = append(tools, t)
		}
	}
	return tools, absent
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)*`)

// versionOf is what a Go program was built as, or the first number that a
// program of another kind prints; "" where none is to be had.
func versionOf(ctx context.Context, path string) string {
	if info, err := buildinfo.ReadFile(path); err == nil {
		return info.Main.Version
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	flag := map[string]string{"wrk": "-v", "ab": "-V", "nginx": "-v"}[filepath.Base(path)]
	if flag == "" {
		flag = "--version"
	}
	out, _ := exec.CommandContext(ctx, path, flag).CombinedOutput() // wrk says it and exits 1
	return versionNumber.FindString(string(out))
}

// length is how long a tool plays: what it takes in whole seconds is rounded up.
func (t tool) length(d time.Duration) time.Duration {
	if t.seconds {
		return (d + time.Second - 1).Truncate(time.Second)
	}
	return d
}

func headerFlags(r request) (flags []string) {
	for _, f := range r.header {
		flags = append(flags, "-H", f[0]+": "+f[1])
	}
	return flags
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func mslabCommand(s shot) ([]string, error) {
	return append([]string{"load", s.url, "--clients", strconv.Itoa(s.connections), "--duration", s.duration.String(),
		"--connection", "keep", "--body", s.request.file, "--progress", "none", "--out", filepath.Join(s.folder, "mslab.json")},
		headerFlags(s.request)...), nil
}

func readMslab(_ context.Context, _ string, s shot, _ string) (said, error) {
	var r record.Record
	if err := readJSON(filepath.Join(s.folder, "mslab.json"), &r); err != nil {
		return said{}, err
	}
	if !r.Verdict.Valid {
		return said{}, fmt.Errorf("its record is invalid: %s", strings.Join(r.Verdict.Reasons, "; "))
	}
	return said{answered: r.Counts.Answered, errors: r.Counts.Failed, seconds: r.Load.DurationS}, nil
}

// wrkScript sets what is sent once, before the load, and prints the result where
// wrk itself rounds it.
const wrkScript = `wrk.method = "POST"
local f = assert(io.open(%q, "rb"))
wrk.body = f:read("*a")
f:close()
%sfunction done(s)
  local e = s.errors
  io.write(string.format("done %%d %%d %%d\n", s.requests, s.duration, e.connect + e.read + e.write + e.timeout + e.status))
end
`

func wrkCommand(s shot) ([]string, error) {
	var header strings.Builder
	for _, f := range s.request.header {
		fmt.Fprintf(&header, "wrk.headers[%q] = %q\n", f[0], f[1])
	}
	script := filepath.Join(s.folder, "post.lua")
	if err := os.WriteFile(script, fmt.Appendf(nil, wrkScript, s.request.file, &header), 0o600); err != nil {
		return nil, err
	}
	return []string{"-t1", "-c" + strconv.Itoa(s.connections), "-d" + seconds(s.duration), "-s", script, s.url}, nil
}

var wrkDone = regexp.MustCompile(`(?m)^done (\d+) (\d+) (\d+)$`)

func readWrk(_ context.Context, _ string, _ shot, stdout string) (said, error) {
	v, err := numbers(wrkDone, stdout)
	if err != nil {
		return said{}, err
	}
	return said{answered: int64(v[0]), seconds: v[1] / 1e6, errors: int64(v[2])}, nil
}

func h2loadCommand(s shot) ([]string, error) {
	return append([]string{"--h1", "-t1", "-c" + strconv.Itoa(s.connections), "-D", s.duration.String(), "-d", s.request.file, s.url},
		headerFlags(s.request)...), nil
}

var (
	h2loadTime  = regexp.MustCompile(`finished in ([\d.]+)(us|ms|s|m),`)
	h2loadCount = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
)

func readH2load(_ context.Context, _ string, _ shot, stdout string) (said, error) {
	v, err := numbers(h2loadCount, stdout)
	if err != nil {
		return said{}, err
	}
	m := h2loadTime.FindStringSubmatch(stdout)
	if m == nil {
		return said{}, noMatch(h2loadTime, stdout)
	}
	took, err := time.ParseDuration(m[1] + m[2])
	return said{answered: int64(v[0]), errors: int64(v[2] + v[3] + v[4]), seconds: took.Seconds()}, err
}

func heyCommand(s shot) ([]string, error) {
	flags := []string{"-z", s.duration.String(), "-c", strconv.Itoa(s.connections), "-m", "POST", "-D", s.request.file, "-T", s.request.contentType()}
	return append(append(flags, headerFlags(s.request)...), s.url), nil
}

var (
	heyTotal  = regexp.MustCompile(`Total:\s+([\d.]+) secs`)
	heyStatus = regexp.MustCompile(`\[(\d{3})\]\s+(\d+) responses`)
	heyErrors = regexp.MustCompile(`(?m)^\s+\[(\d+)\]\s+\D`)
)

func readHey(_ context.Context, _ string, _ shot, stdout string) (said, error) {
	v, err := numbers(heyTotal, stdout)
	if err != nil {
		return said{}, err
	}
	out := said{seconds: v[0]}
	for _, m := range heyStatus.FindAllStringSubmatch(stdout, -1) {
		n, _ := strconv.ParseInt(m[2], 10, 64)
		out.answered += n
		if m[1][0] != '2' {
			out.errors += n
		}
	}
	if _, list, ok := strings.Cut(stdout, "Error distribution:"); ok {
		for _, m := range heyErrors.FindAllStringSubmatch(list, -1) {
			n, _ := strconv.ParseInt(m[1], 10, 64)
			out.errors += n
		}
	}
	return out, nil
}

// abMost is more than ab can do in a second; it keeps room for each.
const abMost = 500_000

func abCommand(s shot) ([]string, error) {
	flags := []string{"-k", "-q", "-c", strconv.Itoa(s.connections), "-t", seconds(s.duration), // -t sets -n, which so comes later
		"-n", strconv.Itoa(abMost * int(s.duration/time.Second)), "-p", s.request.file, "-T", s.request.contentType()}
	for _, f := range s.request.header {
		if f[0] != "Content-Type" {
			flags = append(flags, "-H", f[0]+": "+f[1])
		}
	}
	return append(flags, s.url), nil
}

var (
	abTime     = regexp.MustCompile(`Time taken for tests:\s+([\d.]+) seconds`)
	abComplete = regexp.MustCompile(`Complete requests:\s+(\d+)`)
	abFailed   = regexp.MustCompile(`Failed requests:\s+(\d+)`)
	abStatus   = regexp.MustCompile(`Non-2xx responses:\s+(\d+)`)
)

func readAb(_ context.Context, _ string, _ shot, stdout string) (said, error) {
	var v [3]float64
	for i, pattern := range []*regexp.Regexp{abTime, abComplete, abFailed} {
		found, err := numbers(pattern, stdout)
		if err != nil {
			return said{}, err
		}
		v[i] = found[0]
	}
	if other, err := numbers(abStatus, stdout); err == nil { // printed where there are any
		v[2] += other[0]
	}
	return said{seconds: v[0], answered: int64(v[1]), errors: int64(v[2])}, nil
}

func vegetaCommand(s shot) ([]string, error) {
	var target strings.Builder
	fmt.Fprintf(&target, "POST %s\n", s.url)
	for _, f := range s.request.header {
		fmt.Fprintf(&target, "%s: %s\n", f[0], f[1])
	}
	fmt.Fprintf(&target, "@%s\n", s.request.file)
	targets := filepath.Join(s.folder, "targets")
	if err := os.WriteFile(targets, []byte(target.String()), 0o600); err != nil {
		return nil, err
	}
	n := strconv.Itoa(s.connections)
	return []string{"attack", "-rate", "0", "-workers", n, "-max-workers", n, "-connections", n, "-duration", s.duration.String(),
		"-targets", targets, "-output", filepath.Join(s.folder, "vegeta.bin")}, nil
}

func readVegeta(ctx context.Context, program string, s shot, _ string) (said, error) {
	out, err := exec.CommandContext(ctx, program, "report", "-type", "json", filepath.Join(s.folder, "vegeta.bin")).Output()
	if err != nil {
		return said{}, fmt.Errorf("vegeta report: %w", err)
	}
	var r struct {
		Requests int64            `json:"requests"`
		Duration float64          `json:"duration"`
		Wait     float64          `json:"wait"`
		Codes    map[string]int64 `json:"status_codes"`
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return said{}, fmt.Errorf("read vegeta's report: %w", err)
	}
	return said{answered: r.Requests - r.Codes["0"], errors: r.Requests - r.Codes["200"], seconds: (r.Duration + r.Wait) / 1e9}, nil
}

func fortioCommand(s shot) ([]string, error) {
	return append(append([]string{"load", "-quiet", "-c", strconv.Itoa(s.connections), "-qps", "0", "-t", s.duration.String(),
		"-payload-file", s.request.file, "-json", filepath.Join(s.folder, "fortio.json")}, headerFlags(s.request)...), s.url), nil
}

func readFortio(_ context.Context, _ string, s shot, _ string) (said, error) {
	var r struct {
		ActualDuration float64
		RetCodes       map[string]int64
	}
	if err := readJSON(filepath.Join(s.folder, "fortio.json"), &r); err != nil {
		return said{}, err
	}
	out := said{seconds: r.ActualDuration / 1e9}
	for code, n := range r.RetCodes {
		if code != "-1" { // no answer
			out.answered += n
		}
		if code != "200" {
			out.errors += n
		}
	}
	return out, nil
}

const k6Script = `import http from 'k6/http';
const body = open(%q);
const params = {headers: %s};
export const options = {vus: %d, duration: %q, discardResponseBodies: true};
export default function () { http.post(%q, body, params); }
`

func k6Command(s shot) ([]string, error) {
	header := map[string]string{}
	for _, f := range s.request.header {
		header[f[0]] = f[1]
	}
	object, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	script := filepath.Join(s.folder, "post.js")
	text := fmt.Appendf(nil, k6Script, s.request.file, object, s.connections, s.duration.String(), s.url)
	if err := os.WriteFile(script, text, 0o600); err != nil {
		return nil, err
	}
	return []string{"run", "--quiet", "--no-usage-report", "--summary-export", filepath.Join(s.folder, "k6.json"), script}, nil
}

func readK6(_ context.Context, _ string, s shot, _ string) (said, error) {
	var r struct {
		Metrics struct {
			Requests struct{ Count, Rate float64 } `json:"http_reqs"`
			Failed   struct{ Passes float64 }      `json:"http_req_failed"` // passes: how many times it was true that it failed
		}
	}
	if err := readJSON(filepath.Join(s.folder, "k6.json"), &r); err != nil {
		return said{}, err
	}
	m := r.Metrics
	if m.Requests.Rate <= 0 {
		return said{}, fmt.Errorf("its summary has no rate of requests")
	}
	return said{answered: int64(m.Requests.Count - m.Failed.Passes), errors: int64(m.Failed.Passes), seconds: m.Requests.Count / m.Requests.Rate}, nil
}

func readJSON(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read what it wrote: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read what it wrote: %w", err)
	}
	return nil
}

// numbers are the groups of a pattern, as numbers.
func numbers(pattern *regexp.Regexp, text string) ([]float64, error) {
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return nil, noMatch(pattern, text)
	}
	out := make([]float64, len(m)-1)
	for i, group := range m[1:] {
		v, err := strconv.ParseFloat(group, 64)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", group, err)
		}
		out[i] = v
	}
	return out, nil
}

func noMatch(pattern *regexp.Regexp, text string) error {
	return fmt.Errorf("%s is not in what it printed: %.400q", pattern, text)
}

// label is the name, and the version where there is one.
func (t tool) label() string {
	if t.version == "" {
		return t.name
	}
	return t.name + " " + strings.TrimPrefix(t.version, "v")
}
