package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"mslab/bench/harness"
)

// kind is a way to start a server.
type kind struct {
	name  string
	about string
	start func(ctx context.Context, folder string) (*server, error)
}

// prepareServers compiles or finds the servers that are wanted; one that cannot
// be had is left out.
func (b *bench) prepareServers(ctx context.Context) error {
	for _, name := range b.servers {
		prepare := prepareC
		if name == serverNginx {
			prepare = prepareNginx
		}
		k, err := prepare(ctx, b.folder)
		var missing *missingError
		switch {
		case errors.As(err, &missing):
			b.absent = append(b.absent, fmt.Sprintf("server %s is left out: %s", name, missing.why))
		case err != nil:
			return err
		default:
			b.kinds = append(b.kinds, k)
		}
	}
	if len(b.kinds) == 0 {
		return fmt.Errorf("no server to play against: %s", strings.Join(b.absent, "; "))
	}
	return nil
}

// missingError says what a server needs and does not find.
type missingError struct{ why string }

func (e *missingError) Error() string { return e.why }

// compileServer builds the C server into folder.
func compileServer(ctx context.Context, folder string) (string, error) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		return "", &missingError{"there is no C compiler (" + cc + ") on PATH"}
	}
	root, err := harness.ModuleRoot()
	if err != nil {
		return "", err
	}
	program := filepath.Join(folder, "server")
	compile := exec.CommandContext(ctx, cc, "-O2", "-Wall", "-Wextra", "-o", program, filepath.Join(root, "bench", "server", "c", "server.c"))
	if out, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the C server with %s: %w\n%s", cc, err, out)
	}
	return program, nil
}

func prepareC(ctx context.Context, folder string) (kind, error) {
	program, err := compileServer(ctx, folder)
	if err != nil {
		return kind{}, err
	}
	return kind{name: serverC, about: "C, one thread, epoll, a constant answer",
		start: func(context.Context, string) (*server, error) { return startC(program) }}, nil
}

func startC(program string) (*server, error) {
	s, err := startServer(program)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(s.url, "http://") {
		_, stopErr := s.stop()
		return nil, errors.Join(errors.New("start the C server: it printed no address"), stopErr)
	}
	return s, nil
}

var countLine = regexp.MustCompile(`requests=(\d+) connections=\d+ malformed=(\d+) span_ns=(\d+)`)

// readCount reads the C server's last line.
func readCount(printed string) (counted, error) {
	v, err := numbers(countLine, printed)
	if err != nil {
		return counted{}, fmt.Errorf("read the C server's count: %w", err)
	}
	return counted{requests: int64(v[0]), malformed: int64(v[1]), span: time.Duration(v[2])}, nil
}

// nginxConfig has one process, which counts, and nothing that would cost a
// request anything.
const nginxConfig = `daemon off;
master_process off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log crit;
events { worker_connections 4096; use epoll; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  default_type application/json;
  server { listen 127.0.0.1:%[2]d backlog=4096; location / { return 200 '%[4]s'; } }
  server { listen 127.0.0.1:%[3]d; location / { stub_status; } }
}
`

func prepareNginx(ctx context.Context, _ string) (kind, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return kind{}, &missingError{"nginx is not on PATH"}
	}
	return kind{name: serverNginx, about: "nginx " + versionOf(ctx, program) + ", return 200, one process",
		start: func(ctx context.Context, folder string) (*server, error) {
			// Another process may take a port between its choice and its use.
			var failed error
			for range 3 {
				s, err := startNginx(ctx, program, folder)
				if err == nil || ctx.Err() != nil {
					return s, err
				}
				failed = err
			}
			return nil, failed
		}}, nil
}

func startNginx(ctx context.Context, program, folder string) (*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, folder, ports[0], ports[1], answer), 0o600); err != nil {
		return nil, fmt.Errorf("write nginx' configuration: %w", err)
	}
	s, err := startSilent(program, "-p", folder, "-c", config, "-e", filepath.Join(folder, "error.log"))
	if err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	status := fmt.Sprintf("http://127.0.0.1:%d/", ports[1])
	begin := time.Now()
	first, err := stubStatus(ctx, status)
	for err != nil && time.Since(begin) < serverStart && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		first, err = stubStatus(ctx, status)
	}
	if err != nil {
		_, stopErr := s.stop()
		return nil, errors.Join(fmt.Errorf("start nginx: %w", err), stopErr)
	}
	s.count = func() (counted, error) {
		last, err := stubStatus(context.WithoutCancel(ctx), status)
		return counted{requests: last - first - 1}, err // the asking itself counts
	}
	return s, nil
}

// freePorts are n that nothing listens on right now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

var stubCount = regexp.MustCompile(`(?m)^ (\d+) (\d+) (\d+) $`)

// stubStatus is how many requests nginx has begun, this one too.
func stubStatus(ctx context.Context, url string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask nginx for its count: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("ask nginx for its count: %w", err)
	}
	v, err := numbers(stubCount, string(text))
	if err != nil {
		return 0, fmt.Errorf("read nginx' count: %w", err)
	}
	return int64(v[2]), nil
}
