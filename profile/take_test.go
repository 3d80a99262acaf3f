package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// admin is an admin listener over this process: the profiles are real, the
// requests are counted by the looks at it.
type admin struct {
	*httptest.Server
	looks atomic.Int64
	early time.Duration // cut off each window
}

func newAdmin(t *testing.T) *admin {
	t.Helper()
	a := &admin{}
	routes := http.NewServeMux()
	routes.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"requests_total":1,"batches_processed":1}`)
	})
	window := func(w http.ResponseWriter, r *http.Request) time.Duration {
		var seconds float64
		_, _ = fmt.Sscanf(r.FormValue("seconds"), "%g", &seconds)
		d := time.Duration(seconds * 1e9)
		text, _ := json.Marshal(Window{Length: d - a.early, CPU: d / 2, Requests: 100, Batches: 50})
		w.Header().Set(windowHeader, string(text))
		a.looks.Add(1)
		return d
	}
	routes.HandleFunc("/window", func(w http.ResponseWriter, r *http.Request) {
		d := window(w, r)
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "{}")
	})
	routes.HandleFunc("/debug/pprof/", func(w http.ResponseWriter, r *http.Request) {
		window(w, r)
		pprof.Index(w, r)
	})
	a.Server = httptest.NewServer(routes)
	t.Cleanup(a.Close)
	return a
}

func open(t *testing.T, a *admin) *Admin {
	t.Helper()
	opened, err := OpenAdmin(t.Context(), a.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return opened
}

// TestTakeEachKind takes profiles of this process and wants their tables.
func TestTakeEachKind(t *testing.T) {
	a := newAdmin(t)
	opened := open(t, a)
	for _, k := range Kinds() {
		if k.how == sampled {
			continue // the handler is the server's own: tested with it
		}
		t.Run(k.Name, func(t *testing.T) {
			taken, err := Take(t.Context(), opened, k, Options{Duration: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if err := taken.Profile.CheckValid(); err != nil {
				t.Error(err)
			}
			if !k.Moment() && taken.Window.Requests != 100 {
				t.Errorf("window %+v", taken.Window)
			}
			table, err := taken.Table("title", 5, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range table.Rows {
				if len(row) != len(table.Columns) {
					t.Fatalf("%d cells in %d columns", len(row), len(table.Columns))
				}
			}
			if len(table.Rows) > 5 || len(table.Notes) == 0 {
				t.Errorf("%d rows, notes %q", len(table.Rows), table.Notes)
			}
		})
	}
}

// TestTurns wants as many stretches without the profiler as with it.
func TestTurns(t *testing.T) {
	a := newAdmin(t)
	mutex, err := FindKind("mutex")
	if err != nil {
		t.Fatal(err)
	}
	opened := open(t, a)
	before := a.looks.Load()
	taken, err := Take(t.Context(), opened, mutex, Options{Duration: 2 * time.Second, Steady: true})
	if err != nil {
		t.Fatal(err)
	}
	if looks := a.looks.Load() - before; looks != 4 || taken.Cost.Pairs != 2 {
		t.Errorf("%d stretches, %d pairs; want 4 and 2", looks, taken.Cost.Pairs)
	}
	if taken.Window.Length != 2*time.Second || taken.Window.Requests != 200 {
		t.Errorf("window %+v, want that of the profiled stretches alone", taken.Window)
	}
	if taken.Cost.Ratio != 1 {
		t.Errorf("equal stretches, ratio %v", taken.Cost.Ratio)
	}
}

func TestNotOurAdmin(t *testing.T) {
	strange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			fmt.Fprint(w, "# TYPE go_goroutines gauge\n")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(strange.Close)
	ingest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"requests_total":1,"batches_processed":1}`)
	}))
	t.Cleanup(ingest.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for address, want := range map[string]string{
		strange.URL:          "no mslab server",
		ingest.URL:           "no profiles",
		gone.URL:             "refused",
		"localhost:6060":     "want http://HOST:PORT",
		"https://127.0.0.1":  "want http://HOST:PORT",
		"http://127.0.0.1:x": "want http://HOST:PORT",
	} {
		a, err := OpenAdmin(t.Context(), address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v; want an error with %q", address, a, err, want)
		}
	}
}

// TestServerThatStops wants an error, not half a profile, where the window was
// cut short, and none of the client's own words where the connection ended.
func TestServerThatStops(t *testing.T) {
	a := newAdmin(t)
	opened := open(t, a)
	a.early = 600 * time.Millisecond
	allocs, err := FindKind("allocs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), opened, allocs, Options{Duration: time.Second}); err == nil || !strings.Contains(err.Error(), "stopped after 400ms of 1s") {
		t.Errorf("a short window: %v", err)
	}
	go func() {
		time.Sleep(100 * time.Millisecond)
		a.CloseClientConnections()
	}()
	if _, err := opened.watch(t.Context(), 10*time.Second); err == nil || !strings.Contains(err.Error(), "the server has stopped") {
		t.Errorf("a connection that ended: %v", err)
	}
}

func TestInterruptedTake(t *testing.T) {
	opened := open(t, newAdmin(t))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	heap, err := FindKind("heap")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(ctx, opened, heap, Options{Duration: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's error", err)
	}
}

func TestFindKind(t *testing.T) {
	if _, err := FindKind("memory"); err == nil || !strings.Contains(err.Error(), "cpu, heap, allocs, mutex, block, goroutine, threadcreate") {
		t.Errorf("an unknown kind: %v", err)
	}
}
