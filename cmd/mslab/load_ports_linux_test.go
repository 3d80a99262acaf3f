package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/results/record"
)

// fewPorts starts a server at an address that is not of 127.0.0.0/8, so that
// connections share one source address, and a load of it, where a network namespace
// has eleven ports.
const fewPorts = `set -e
ip link set lo up
ip address add 10.9.9.1/32 dev lo
echo 50000 50010 > /proc/sys/net/ipv4/ip_local_port_range
"$0" serve --addr 10.9.9.1:8080 --admin '' --data data --phase 7 > served &
trap 'kill $!; wait $!' EXIT
until grep -q listening served; do kill -0 $!; sleep 0.05; done
"$0" load http://10.9.9.1:8080/metrics --metrics 3 --progress none "$@"
`

// TestLoadWithoutPorts wants clients without a port in a class of their own, in
// bounded time, and no core kept busy by asking again.
func TestLoadWithoutPorts(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed (Debian: iproute2)")
	}
	for name, args := range map[string][]string{
		"closed loop": {"-c", "15", "-d", "1s"}, "open loop": {"-c", "15", "--rate", "500", "-d", "1s"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			inner := asMslab(t, dir)
			cmd := exec.Command("sh", append([]string{"-c", fewPorts, inner.Path, "-o", "record.json"}, args...)...)
			cmd.Dir, cmd.Env = dir, inner.Env
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			begun := time.Now()
			if err := cmd.Start(); errors.Is(err, os.ErrPermission) {
				t.Skipf("a network namespace needs root: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v:\n%s", err, &said)
			}
			r, err := record.Open(filepath.Join(dir, "record.json"))
			if err != nil {
				t.Fatal(err)
			}
			c := r.Counts
			if err := r.Check(); err != nil || c.OK == 0 || c.Connects > 11 || !r.Verdict.Valid || time.Since(begun) > 20*time.Second {
				t.Errorf("after %v: %v, %v, counts %+v", time.Since(begun), err, r.Verdict, c)
			}
			if name == "open loop" {
				return // requests take the connections that there are
			}
			// Four clients ask for a port again after 10 ms.
			if n := c.ByClass[record.NoLocalPort]; n < 4 || n > 4*110 || !strings.Contains(said.String(), "no_local_port") {
				t.Errorf("%d without a port, counts %+v:\n%s", n, c, &said)
			}
		})
	}
}
