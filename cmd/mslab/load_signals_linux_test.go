package main

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results/record"
)

// promptly is how soon after Ctrl-C a load has printed what it measured.
const promptly = time.Second

// muteServer is a server that takes requests and never answers them.
type muteServer struct {
	url   string
	taken atomic.Int64
	trust string // the file of the certificate to trust; "" for plain HTTP
}

// serveMute starts one. Plain HTTP is the raw engine's, TLS that of net/http.
func serveMute(t *testing.T, tls bool) *muteServer {
	t.Helper()
	s := &muteServer{}
	over := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		s.taken.Add(1)
		<-over
	}))
	if tls {
		server.StartTLS()
		s.trust = filepath.Join(t.TempDir(), "server.pem")
		certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		if err := os.WriteFile(s.trust, certificate, 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		close(over)
		server.Close()
	})
	s.url = server.URL
	return s
}

// engines are what a load is driven by, and whether it is over TLS.
func engines() map[string]bool { return map[string]bool{"raw": false, "net": true} }

// load is a load of the server, of 4 clients for a minute.
func (s *muteServer) load(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := asMslab(t, dir, append([]string{"load", s.url, "-c", "4", "-d", "1m", "--timeout", "1m"}, args...)...)
	cmd.Env = append(cmd.Env, "GORACE="+noExitSleep)
	if s.trust != "" {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+s.trust)
	}
	return cmd
}

// TestCtrlCOnAServerThatNeverAnswers wants what there is within a second, though
// every request is in flight and no timeout is near.
func TestCtrlCOnAServerThatNeverAnswers(t *testing.T) {
	for engine, tls := range engines() {
		for stretch, args := range map[string][]string{
			"closed loop": nil, "open loop": {"--rate", "100"}, "warm-up": {"--warmup", "1m"}, "new connections": {"--connection", "new"},
		} {
			t.Run(engine+", "+stretch, func(t *testing.T) {
				dir, server := t.TempDir(), serveMute(t, tls)
				cmd := server.load(t, dir, append(args, "-o", "record.json", "--hlog", "load.hlog")...)
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "every client's request", func() bool { return server.taken.Load() >= 4 })
				told := time.Now()
				if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait() // its code is looked at
				took := time.Since(told)
				t.Logf("ended after %v", took)
				if code := cmd.ProcessState.ExitCode(); code != 130 || took > promptly {
					t.Errorf("exit code %d after %v, want 130 within %v; stderr: %s", code, took, promptly, &stderr)
				}
				if !strings.Contains(stdout.String(), "INCOMPLETE") || !strings.Contains(stdout.String(), "in flight") {
					t.Errorf("no figures that are marked incomplete:\n%s", &stdout)
				}
				r, err := record.Open(filepath.Join(dir, "record.json"))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Check(); err != nil || !r.Incomplete || r.Counts.OK != 0 || stretch != "warm-up" && r.Counts.InFlight < 4 {
					t.Errorf("%v; incomplete %v, counts %+v; want at least 4 in flight", err, r.Incomplete, r.Counts)
				}
				text, err := os.ReadFile(filepath.Join(dir, "load.hlog"))
				if err != nil {
					t.Fatal(err)
				}
				if _, lines := parseLog(t, string(text)); (len(lines) == 0) != (stretch == "warm-up") {
					t.Errorf("%d intervals of a %s", len(lines), stretch)
				}
			})
		}
	}
}

// TestSecondCtrlCEndsALoad wants a load that cannot print what it has, since
// nobody reads that, to end at the second Ctrl-C: by the signal, which shells
// report as 130.
func TestSecondCtrlCEndsALoad(t *testing.T) {
	for engine, tls := range engines() {
		t.Run(engine, func(t *testing.T) {
			dir, server := t.TempDir(), serveMute(t, tls)
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer read.Close()
			fillPipe(t, write)
			cmd := server.load(t, dir, "-o", "record.json")
			cmd.Stdout = write
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			write.Close()
			waitFor(t, "every client's request", func() bool { return server.taken.Load() >= 4 })
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = cmd.Wait() // its status is looked at
			}()
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
				t.Fatalf("ended at the first Ctrl-C, though its output is stuck: %v", cmd.ProcessState)
			case <-time.After(promptly):
			}
			told := time.Now()
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				_ = cmd.Process.Kill()
				<-ended
			}
			if took := time.Since(told); took > promptly {
				t.Errorf("ended %v after the second Ctrl-C", took)
			}
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
				t.Errorf("ended with the status %v, want death by SIGINT", status)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*record*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// fillPipe writes until no more goes in.
func fillPipe(t *testing.T, write *os.File) {
	t.Helper()
	fd := int(write.Fd()) // which makes it block again for whoever inherits it
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); ; {
		if _, err := unix.Write(fd, block); errors.Is(err, unix.EAGAIN) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

// TestCtrlCBeforeAConnectionIs wants the same of a server whose connections never
// come to be: it says no word of TLS, or its backlog is full.
func TestCtrlCBeforeAConnectionIs(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for what, url := range map[string]string{
		"raw, full backlog": "http://" + fullBacklog(t) + "/", "net, no word of TLS": "https://" + silent.Addr().String() + "/",
	} {
		t.Run(what, func(t *testing.T) {
			cmd := asMslab(t, t.TempDir(), "load", url, "-d", "1m", "--timeout", "1m")
			var stdout bytes.Buffer
			cmd.Stdout = &stdout
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said := bufio.NewReader(stderr)
			first, err := said.ReadString('\n')
			if err != nil || !strings.Contains(first, " in flight 10") {
				t.Errorf("the first second is %q, %v; want 10 requests in flight", first, err)
			}
			told := time.Now()
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(said)
			_ = cmd.Wait() // its code is looked at
			if took, code := time.Since(told), cmd.ProcessState.ExitCode(); took > promptly || code != 130 {
				t.Errorf("exit code %d after %v, want 130 within %v; stderr: %s", code, took, promptly, rest)
			}
			if !strings.Contains(stdout.String(), "10 sent: 0 ok, 0 failed, 10 in flight") {
				t.Errorf("the requests are not accounted for:\n%s", &stdout)
			}
		})
	}
}

// fullBacklog is the address of a listener that leaves further SYNs unanswered.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("a backlog of 0 takes more than 10 connections here")
	return ""
}
