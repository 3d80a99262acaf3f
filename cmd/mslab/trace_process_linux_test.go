package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestProcessTitle(t *testing.T) {
	own := os.Getpid()
	title, err := processTitle(own)
	if err != nil || !strings.HasSuffix(title, " (pid "+strconv.Itoa(own)+")") {
		t.Errorf("own process: %q, %v", title, err)
	}
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, task := range tasks {
		id, err := strconv.Atoi(filepath.Base(task))
		if err != nil || id == own {
			continue
		}
		if _, err := processTitle(id); err == nil || !strings.Contains(err.Error(), "a thread of process "+strconv.Itoa(own)) {
			t.Errorf("thread %d of this process: %v", id, err)
		}
		break
	}
	if _, err := processTitle(1 << 29); err == nil || !strings.Contains(err.Error(), "no such process") {
		t.Errorf("a process beyond pid_max: %v", err)
	}
}

func TestWatchEnd(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skipf("needs sleep: %v", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	ended, stop, err := watchEnd(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		t.Error("ended while it sleeps")
	case <-time.After(50 * time.Millisecond):
	}
	stop() // and nothing is left to wait for
	ended, stop, err = watchEnd(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	_ = cmd.Process.Kill() // it is not reaped: a zombie has ended
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the end of a killed process is not seen")
	}
	if _, _, err := watchEnd(1 << 29); err == nil || !strings.Contains(err.Error(), "no such process") {
		t.Errorf("a process beyond pid_max: %v", err)
	}
}

func TestListenerOf(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	if pid, err := listenerOf(address); err != nil || pid != os.Getpid() {
		t.Errorf("%s: process %d, %v; want this one, %d", address, pid, err, os.Getpid())
	}
	_ = listener.Close()
	if pid, err := listenerOf(address); err == nil {
		t.Errorf("%s, where nothing listens any more: process %d", address, pid)
	}
	if _, err := listenerOf("http://127.0.0.1"); err == nil {
		t.Error("an address without a port has a process")
	}
}
