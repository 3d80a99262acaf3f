package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mslab/server"
)

// TestKilledServerKeepsWhatItWrote kills a server of phase 1 (-9) under load,
// several times on one file. Its sink acknowledges what write(2) has taken, so
// every acknowledged batch must be in the file, whole, and the next server must
// start on it.
func TestKilledServerKeepsWhatItWrote(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range soaked(5, 100) {
		loadUntilKilled(t, dir, round, acknowledged)
	}
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged before the kills")
	}
	// A server that starts cuts off a torn tail.
	r := start(t, phaseByName(t, "threads"), func(c *server.Config) { c.DataDir = dir })
	stored := map[string]int{}
	for _, line := range r.lines(t) {
		var metric struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(line, &metric); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		stored[metric.ID]++
	}
	for id := range acknowledged {
		if stored[id] != 3 {
			t.Errorf("acknowledged batch %s has %d of 3 lines", id, stored[id])
		}
	}
	t.Logf("%d acknowledged, %d stored", len(acknowledged), len(stored))
}

func loadUntilKilled(t *testing.T, dir string, round int, acknowledged map[string]bool) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serveVariable+"=1", "MSLAB_TEST_DATA="+dir)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("read the server's address: %v", err)
	}
	url := strings.TrimSpace(line) + "/metrics"
	var wait sync.WaitGroup
	var mu sync.Mutex
	for client := range 8 {
		wait.Go(func() {
			http := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", round, client, i)
				q, err := newRequest(url, seedBody, "default")
				if err != nil {
					t.Error(err)
					return
				}
				q.Header.Set("X-Correlation-ID", id)
				answer, err := http.Do(q)
				if err != nil {
					return // killed
				}
				var body bytes.Buffer
				_, err = body.ReadFrom(answer.Body)
				_ = answer.Body.Close()
				if err == nil && answer.StatusCode == 200 {
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	_ = command.Wait()
	if _, err := os.Stat(filepath.Join(dir, server.LinesFile)); err != nil {
		t.Fatal(err)
	}
}
