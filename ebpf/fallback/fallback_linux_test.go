package fallback

import (
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// TestWatchThisProcess sleeps, writes and burns a known amount, and wants to see
// at least that.
func TestWatchThisProcess(t *testing.T) {
	w, err := Watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer wr.Close()
	const rounds = 200
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buffer := make([]byte, 10)
	for range rounds {
		if _, err := wr.Write(buffer); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, buffer); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond) // the thread gives its core up
	}
	const busy = 20 * time.Millisecond // on a core, which may take long to get
	begin, err := processCPU(os.Getpid())
	for now := begin; err == nil && now-begin < busy; {
		now, err = processCPU(os.Getpid())
	}
	if err != nil {
		t.Fatal(err)
	}
	refuse(t)
	f := w.Stop()
	if f.Voluntary < rounds/2 {
		t.Errorf("%d voluntary switches in %d sleeps", f.Voluntary, rounds)
	}
	if f.IO == nil || f.IO.ReadCalls < rounds || f.IO.WriteCalls < rounds || f.IO.WriteBytes < 10*rounds {
		t.Errorf("%d reads and writes of 10 bytes: %+v", rounds, f.IO)
	}
	if f.CPU < busy || f.CPU > time.Duration(runtime.NumCPU())*f.Elapsed {
		t.Errorf("CPU %s in %s", f.CPU, f.Elapsed)
	}
	if f.Threads < 2 || f.ThreadsMost < f.Threads || f.Timeslices == 0 {
		t.Errorf("figures %+v", f)
	}
	found := false
	for _, c := range f.Network {
		found = found || c.Name == "OutRsts" && c.Value >= 1
	}
	if !found {
		t.Errorf("a refused connection is not in the network's counters: %+v", f.Network)
	}
}

// refuse makes the kernel send a reset.
func refuse(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Fatalf("%s answers", address)
	}
}

// TestWatchOfAnEndedProcess keeps what was seen last.
func TestWatchOfAnEndedProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 30")
	if err := cmd.Start(); err != nil {
		t.Skipf("needs a shell: %v", err)
	}
	w, err := Watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	var before Figures
	for limit := time.Now().Add(10 * time.Second); before.CPU < 20*time.Millisecond && time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		before = w.Read()
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	after := w.Stop()
	if before.CPU < 20*time.Millisecond || after.CPU < before.CPU || after.Timeslices < before.Timeslices {
		t.Errorf("before the end %+v, after it %+v", before, after)
	}
	if _, err := Watch(cmd.Process.Pid); err == nil {
		t.Error("watches a process that is gone")
	}
}

func TestIdsThatAreTakenAgain(t *testing.T) {
	var sum counts
	sum.add(counts{voluntary: 3, slices: 4, wait: 5}, counts{voluntary: 5, slices: 7, wait: 9})
	if sum != (counts{voluntary: 2, slices: 3, wait: 4}) {
		t.Errorf("sum %+v", sum)
	}
	if !(counts{voluntary: 1}).less(counts{voluntary: 2}) || (counts{voluntary: 2, slices: 9}).less(counts{voluntary: 2}) {
		t.Error("a taken id is not told from the same thread")
	}
}
