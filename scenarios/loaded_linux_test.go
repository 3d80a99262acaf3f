package scenarios

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUnderLoad looks at a server while it is loaded, and wants the load and
// the server gone afterwards.
func TestUnderLoad(t *testing.T) {
	exe := mslab(t)
	t.Setenv("TMPDIR", t.TempDir())
	before := affinity(t)
	var pid int
	counted, err := UnderLoad(t.Context(), Loaded{Phase: "keepalive", Clients: 4, Executable: exe, Overrides: map[string]string{"parse": "quadratic"}},
		func(ctx context.Context, s LoadedServer) error {
			pid = s.PID
			if s.Subject.Name != "keepalive" || s.Subject.Recipe["parse"] != "quadratic" || s.Load.Connection != "keep" || s.Load.Clients != 4 {
				t.Errorf("looks at %+v", s)
			}
			c := &child{name: "it", admin: s.Admin, http: adminClient()}
			defer c.http.CloseIdleConnections()
			first, err := c.counters(ctx)
			if err != nil {
				return err
			}
			time.Sleep(200 * time.Millisecond)
			second, err := c.counters(ctx)
			if err == nil && second["batches_processed"] <= first["batches_processed"] {
				t.Errorf("no load: %d batches, then %d", first["batches_processed"], second["batches_processed"])
			}
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
	if counted.Counts.OK == 0 || counted.Counts.Failed > 0 {
		t.Errorf("the load counted %+v", counted.Counts)
	}
	if !gone([]int{pid}) {
		t.Error("the server is left")
	}
	if after := affinity(t); after != before {
		t.Errorf("the cores of this process were %v before and %v after", before, after)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestUnderLoadEndsWithItsServer kills the server under the look, and ends the
// context under another one.
func TestUnderLoadEndsWithItsServer(t *testing.T) {
	exe := mslab(t)
	_, err := UnderLoad(t.Context(), Loaded{Phase: "5", Executable: exe}, func(ctx context.Context, s LoadedServer) error {
		if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
			return err
		}
		<-ctx.Done()
		return errors.New("what follows from it")
	})
	if err == nil || !strings.Contains(err.Error(), "pool ended by itself (signal: killed)") || strings.Contains(err.Error(), "what follows") {
		t.Errorf("a killed server: %v", err)
	}
	reason := errors.New("the reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err = UnderLoad(ctx, Loaded{Phase: "5", Executable: exe}, func(ctx context.Context, _ LoadedServer) error {
		cancel(reason)
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, reason) {
		t.Errorf("an ended context: %v", err)
	}
	failed := errors.New("nothing to see")
	if _, err = UnderLoad(t.Context(), Loaded{Phase: "5", Executable: exe}, func(context.Context, LoadedServer) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("a look that failed: %v", err)
	}
}

func TestLoadedCheck(t *testing.T) {
	for _, l := range []Loaded{
		{Phase: "99"}, {Phase: "7", Overrides: map[string]string{"parse": "fast"}}, {Phase: "7", Metrics: 5000},
		{Phase: "7", Overrides: map[string]string{"sink": "sync", "ack": "memory"}},
	} {
		if err := l.Check(); err == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
	if err := (Loaded{Phase: "linear-json"}).Check(); err != nil {
		t.Error(err)
	}
}
