package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/results/record"
)

// nginxSeen logs each request as it arrived, its body too, which nginx knows where
// it hands it on.
const nginxSeen = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log crit;
events { worker_connections 512; }
http {
  log_format seen escape=json '{"method":"$request_method","uri":"$request_uri","protocol":"$server_protocol","host":"$http_host","length":"$content_length","type":"$content_type","extra":"$http_x_extra","agent":"$http_user_agent","accept":"$http_accept","body":"$request_body"}';
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000;
  server {
    listen 127.0.0.1:%[2]d;
    access_log off;
    client_body_in_single_buffer on;
    location / { proxy_pass http://127.0.0.1:%[3]d; access_log %[1]s/seen seen; }
    location = /missing { return 404; }
    location = /busy { return 503; }
    location = /limited { return 429; }
    location = /broken { return 500; }
    location = /moved { return 301 /; }
    location = /big { alias %[1]s/big; }
    location = /few { keepalive_requests 10; return 200 'few'; }
  }
  server { listen 127.0.0.1:%[3]d; access_log off; location / { return 200 'seen'; } }
}
`

// loggingNginx is an nginx that logs what arrives.
type loggingNginx struct {
	url string
	log string
}

func startLoggingNginx(t *testing.T) *loggingNginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed (Debian: nginx-light)")
	}
	dir := t.TempDir()
	ports := [2]int{}
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxSeen, dir, ports[0], ports[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("0123456789abcdef"), 200_000), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-p", dir, "-c", config, "-e", filepath.Join(dir, "error.log"))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("nginx ended with %v: %s", err, &said)
		}
	})
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	waitFor(t, "nginx to listen", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return &loggingNginx{url: "http://" + address, log: filepath.Join(dir, "seen")}
}

// take returns how often each different request arrived since the last call, once
// there are at least so many.
func (n *loggingNginx) take(t *testing.T, least int) map[string]int {
	t.Helper()
	var seen map[string]int
	waitFor(t, fmt.Sprintf("nginx to log %d requests", least), func() bool {
		seen = map[string]int{}
		text, err := os.ReadFile(n.log)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for line := range strings.Lines(string(text)) {
			seen[line]++
			count++
		}
		return count >= least
	})
	if err := os.Truncate(n.log, 0); err != nil {
		t.Fatal(err)
	}
	return seen
}

// TestLoadDrivesNginxAsWrkDoes sends the same request by both, and wants nginx to
// see the same.
func TestLoadDrivesNginxAsWrkDoes(t *testing.T) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		t.Skip("wrk is not installed (Debian: wrk)")
	}
	nginx := startLoggingNginx(t)
	for name, c := range map[string]struct {
		path, script string
		flags        []string
		body         string
	}{
		"plain GET": {path: "/a/b?c=d&e=%20f", script: ""},
		"header":    {path: "/", script: `wrk.headers["X-Extra"] = "one two"; wrk.headers["Host"] = "other.example:81"`, flags: []string{"-H", "X-Extra: one two", "-H", "Host: other.example:81"}},
		"POST": {path: "/metrics", script: `wrk.method = "POST"; wrk.body = "{\"a\": [1, 2]}\n"; wrk.headers["Content-Type"] = "application/json"`,
			flags: []string{"-H", "Content-Type: application/json"}, body: "{\"a\": [1, 2]}\n"},
		"PUT":    {path: "/item", script: `wrk.method = "PUT"; wrk.body = "\"\\\r\n\r\nGET / HTTP/1.1\r\n\r\n"`, flags: []string{"--method", "PUT"}, body: "\"\\\r\n\r\nGET / HTTP/1.1\r\n\r\n"},
		"DELETE": {path: "/item?id=1", script: `wrk.method = "DELETE"`, flags: []string{"--method", "DELETE"}},
		// wrk waits for a body that does not come: it sends one on each connection.
		"HEAD": {path: "/", script: `wrk.method = "HEAD"`, flags: []string{"--method", "HEAD"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script := filepath.Join(dir, "request.lua")
			if err := os.WriteFile(script, []byte(c.script), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(wrk, "-t1", "-c2", "-d1s", "-s", script, nginx.url+c.path).CombinedOutput(); err != nil {
				t.Fatalf("wrk: %v\n%s", err, out)
			}
			want := nginx.take(t, 1)
			args := append([]string{"load", nginx.url + c.path, "-c", "2", "-n", "200", "-o", "record.json"}, c.flags...)
			if c.body != "" {
				if err := os.WriteFile(filepath.Join(dir, "body"), []byte(c.body), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--body", "body")
			}
			r := loadRecord(t, dir, 0, args...)
			got := nginx.take(t, 200)
			if len(want) != 1 || len(got) != 1 || slices.Collect(maps.Keys(want))[0] != slices.Collect(maps.Keys(got))[0] {
				t.Errorf("nginx saw of wrk %v\nand of mslab %v", want, got)
			}
			for line, n := range got {
				var seen struct{ Body string }
				if err := json.Unmarshal([]byte(line), &seen); err != nil || seen.Body != c.body || n != 200 {
					t.Errorf("%v; nginx saw the body %q %d times, want %q 200 times", err, seen.Body, n, c.body)
				}
			}
			if r.Counts.OK != 200 || r.Counts.Connects != 2 {
				t.Errorf("counts %+v, want 200 ok over 2 connections", r.Counts)
			}
		})
	}
}

// TestLoadClassesWhatNginxAnswers wants statuses in their classes, a large file
// whole, and connections that nginx closes after ten requests opened anew.
func TestLoadClassesWhatNginxAnswers(t *testing.T) {
	nginx := startLoggingNginx(t)
	dir := t.TempDir()
	for path, want := range map[string]struct {
		class    record.Class
		exit     int
		connects [2]int64 // at least and at most
	}{
		"/missing": {record.Status4xx, 1, [2]int64{2, 2}}, "/limited": {record.Status429, 1, [2]int64{2, 2}},
		"/busy": {record.Status503, 1, [2]int64{2, 2}}, "/moved": {record.Status3xx, 1, [2]int64{2, 2}},
		"/broken": {record.Status5xx, 1, [2]int64{100, 100}}, // nginx closes after it
		"/big":    {record.OK, 0, [2]int64{2, 2}}, "/few": {record.OK, 0, [2]int64{10, 11}},
	} {
		r := loadRecord(t, dir, want.exit, "load", nginx.url+path, "-c", "2", "-n", "100", "-o", "record.json")
		if c := r.Counts; c.ByClass[want.class] != 100 || c.Sent != 100 || c.Connects < want.connects[0] || c.Connects > want.connects[1] {
			t.Errorf("%s: counts %+v, want 100 %s over %v connections", path, c, want.class, want.connects)
		}
	}
}

// TestLoadDrivesThePeers drives a server of net/http and one of fasthttp with GET
// and POST.
func TestLoadDrivesThePeers(t *testing.T) {
	folder := subjectFolder(t)
	for _, peer := range []string{"nethttp", "fasthttp"} {
		cmd := exec.Command(filepath.Join(folder, peer), "-addr", "127.0.0.1:0")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s ended with %v", peer, err)
			}
		})
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		url := strings.TrimSpace(strings.TrimPrefix(line, "listening "))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "body"), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			class record.Class
			exit  int
			args  []string
		}{
			{record.OK, 0, []string{url + "/"}},
			{record.OK, 0, []string{url + "/", "--connection", "new"}},
			{record.OK, 0, []string{url + "/", "--rate", "2000"}},
			{record.OK, 0, []string{url + "/metrics", "--body", "body", "-H", "Content-Type: application/json"}},
			{record.Status4xx, 1, []string{url + "/nowhere"}},
		} {
			r := loadRecord(t, dir, c.exit, append([]string{"load", "-c", "4", "-n", "500", "-o", "record.json"}, c.args...)...)
			if r.Counts.ByClass[c.class] != 500 || r.Counts.Sent != 500 {
				t.Errorf("%s %v: counts %+v, want 500 %s", peer, c.args[1:], r.Counts, c.class)
			}
		}
	}
}

// loadRecord plays a load that writes record.json, and wants it valid and to exit
// so.
func loadRecord(t *testing.T, dir string, exit int, args ...string) *record.Record {
	t.Helper()
	cmd, _, stderr := start(t, dir, args...)
	_ = cmd.Wait() // its code is looked at
	if code := cmd.ProcessState.ExitCode(); code != exit {
		t.Fatalf("%v: exit code %d, want %d; stderr: %s", args, code, exit, stderr)
	}
	r, err := record.Open(filepath.Join(dir, "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Verdict.Valid {
		t.Errorf("%v: not valid: %v", args, r.Verdict.Reasons)
	}
	return r
}
