package server

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"mslab/server/sink"
)

// TestPhasesDifferInTheirChanges holds each recipe against its base.
func TestPhasesDifferInTheirChanges(t *testing.T) {
	phases := Phases()
	for i, phase := range phases {
		if phase.Number != i {
			t.Errorf("phase %d stands at place %d", phase.Number, i)
		}
		if err := phase.Recipe.Check(); err != nil {
			t.Errorf("phase %d: %v", phase.Number, err)
		}
		if phase.Base < 0 {
			continue
		}
		if got := phases[phase.Base].Recipe.Diff(phase.Recipe); !slices.Equal(sorted(got), sorted(phase.Changes)) {
			t.Errorf("phase %d differs from %d in %v, its Changes say %v", phase.Number, phase.Base, got, phase.Changes)
		}
	}
}

func sorted(stages []Stage) []Stage {
	stages = slices.Clone(stages)
	slices.Sort(stages)
	return stages
}

// TestVariants: every variant of every stage can be chosen and its source is
// built in; planned and unknown ones are refused.
func TestVariants(t *testing.T) {
	recipe := Phases()[7].Recipe
	for _, info := range Stages() {
		for _, variant := range info.Variants {
			changed, err := recipe.With(info.Stage, variant.Name)
			if err != nil || changed.Get(info.Stage) != variant.Name {
				t.Errorf("%s %s: %v", info.Stage, variant.Name, err)
			}
			if _, err := SourceFile(variant.Source); err != nil {
				t.Errorf("%s %s: %v", info.Stage, variant.Name, err)
			}
		}
		for _, name := range append(info.Planned, "nonsense", "") {
			if _, err := recipe.With(info.Stage, name); err == nil {
				t.Errorf("%s %q is accepted", info.Stage, name)
			}
		}
	}
}

// windowModel is the limiter's definition written out: all admitted times.
type windowModel map[string][]int64

func (m windowModel) allow(client string, rate int, now int64) bool {
	within := 0
	for _, at := range m[client] {
		if now-at < windowNS {
			within++
		}
	}
	if within >= rate {
		return false
	}
	m[client] = append(m[client], now)
	return true
}

func TestLimitersAgainstModel(t *testing.T) {
	for _, variant := range []string{"mutex", "shards"} {
		t.Run(variant, func(t *testing.T) {
			random := rand.New(rand.NewSource(1))
			for _, rate := range []int{1, 3, 40} {
				l, model, now := newLimiter(variant, rate), windowModel{}, int64(0)
				for range 3000 {
					now += random.Int63n(4 * windowNS / int64(3*rate))
					client := fmt.Sprint(random.Intn(3))
					if got, want := l.allow(client, now), model.allow(client, rate, now); got != want {
						t.Fatalf("rate %d, client %s at %d: %v, want %v", rate, client, now, got, want)
					}
				}
			}
		})
	}
}

// TestLimiterForgetsIdleClients: names made up for each request do not pile up.
func TestLimiterForgetsIdleClients(t *testing.T) {
	windows := newClientWindows(10, sweepFrom)
	for i := range int64(50 * sweepFrom) {
		windows.allow(fmt.Sprint(i), i*windowNS/1000)
	}
	if n := len(windows.byName); n > 3*sweepFrom {
		t.Errorf("%d clients are remembered", n)
	}
	shards, n := newLimiterShards(10), 0
	for i := range int64(50 * sweepFrom) {
		shards.allow(fmt.Sprint(i), i*windowNS/1000)
	}
	for i := range shards.shards {
		n += len(shards.shards[i].windows.byName)
	}
	if n > 3*sweepFrom {
		t.Errorf("%d clients are remembered in all shards", n)
	}
}

// TestLimitersAdmitExactly: however many threads ask at once, rate are let in.
func TestLimitersAdmitExactly(t *testing.T) {
	for _, variant := range []string{"mutex", "shards"} {
		l, admitted := newLimiter(variant, 500), make([]int, 8)
		var wait sync.WaitGroup
		for thread := range admitted {
			wait.Go(func() {
				for range 200 {
					if l.allow("one", 42) {
						admitted[thread]++
					}
				}
			})
		}
		wait.Wait()
		total := 0
		for _, n := range admitted {
			total += n
		}
		if total != 500 {
			t.Errorf("%s admitted %d, want 500", variant, total)
		}
	}
}

// TestEventsAreCounted: recorded and dropped are all there were, also where the
// room is far too small; what fits is not dropped.
func TestEventsAreCounted(t *testing.T) {
	const producers, each = 8, 5000
	for name, make := range map[string]func(int) events{
		"lock": func(n int) events { return newEventsLock(n) },
		"ring": func(n int) events { return newEventsRing(n) },
	} {
		for _, capacity := range []int{2, 64, 1 << 16} {
			t.Run(fmt.Sprint(name, capacity), func(t *testing.T) {
				e := make(capacity)
				var wait sync.WaitGroup
				for range producers {
					wait.Go(func() {
						for i := range each {
							e.record(event{at: int64(i), allowed: i%2 == 0})
						}
					})
				}
				wait.Wait()
				e.close()
				recorded, dropped := e.counts()
				if recorded+dropped != producers*each {
					t.Errorf("%d recorded and %d dropped, want %d in all", recorded, dropped, producers*each)
				}
				if capacity >= producers*each && dropped > 0 {
					t.Errorf("%d dropped with room for all", dropped)
				}
				if recorded < int64(capacity) && recorded < producers*each {
					t.Errorf("%d recorded with room for %d", recorded, capacity)
				}
			})
		}
	}
}

// TestSinksAcknowledgeOnce: each batch is acknowledged exactly once, its lines
// are in the file, and after Close a batch is refused.
func TestSinksAcknowledgeOnce(t *testing.T) {
	for name, make := range map[string]func(*linesFile) sink.Sink{
		"sync":          func(f *linesFile) sink.Sink { return newSinkSync(f) },
		"async":         func(f *linesFile) sink.Sink { return newSinkAsync(f, false) },
		"async written": func(f *linesFile) sink.Sink { return newSinkAsync(f, true) },
	} {
		t.Run(name, func(t *testing.T) {
			file, err := openLines(t.TempDir(), 0)
			if err != nil {
				t.Fatal(err)
			}
			s := make(file)
			const producers, each = 8, 200
			acks := newAckCounter()
			var wait sync.WaitGroup
			for range producers {
				wait.Go(func() {
					for range each {
						s.Put(&sink.Batch{ID: "x", Metrics: []sink.Metric{{Name: "a", Type: "gauge"}}}, acks.ack)
					}
				})
			}
			wait.Wait()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s.Put(&sink.Batch{}, acks.ack)
			if acks.ok != producers*each || acks.failed != 1 || s.Pending() != 0 {
				t.Errorf("%d acknowledged, %d failed, %d pending", acks.ok, acks.failed, s.Pending())
			}
			line := appendJSONLines(nil, &sink.Batch{ID: "x", Metrics: []sink.Metric{{Name: "a", Type: "gauge"}}})
			if want := int64(len(line) * producers * each); file.size != want {
				t.Errorf("%d bytes written, want %d", file.size, want)
			}
		})
	}
}

// TestAsyncSinkIsBounded: while the writer sleeps, the queue refuses what goes
// beyond its bounds in batches and in bytes, and takes again once it is written.
func TestAsyncSinkIsBounded(t *testing.T) {
	for _, c := range []struct{ size, room int }{{0, asyncCapacity}, {asyncBytes / 8, 8}} {
		file, err := openLines(t.TempDir(), 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		s := newSinkAsync(file, false)
		var refused error
		count := func(err error) {
			if err != nil {
				refused = err
			}
		}
		put := func() { s.Put(&sink.Batch{ID: "x", Size: c.size}, count) }
		taken := 0
		for ; refused == nil && taken <= 2*asyncCapacity; taken++ {
			put()
		}
		// The writer may have taken some out of the queue before it fell asleep.
		if !errors.Is(refused, errSinkFull) || taken < c.room {
			t.Errorf("size %d: %v after %d batches, want %v after %d", c.size, refused, taken, errSinkFull, c.room)
		}
		if c.size > 0 && taken > c.room+1 {
			t.Errorf("size %d: %d batches taken, want %d", c.size, taken-1, c.room)
		}
		for deadline := time.Now().Add(5 * time.Second); s.Pending() > 0 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		refused = nil
		if put(); refused != nil {
			t.Errorf("size %d: %v once everything is written", c.size, refused)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s.bytes.Load() != 0 || s.Pending() != 0 {
			t.Errorf("size %d: %d bytes, %d batches after the close", c.size, s.bytes.Load(), s.Pending())
		}
	}
}

// TestGuardBounds: outside the pool the guard lets 10,000 batches wait for their
// acknowledgement and no more; in the pool the queue of connections does.
func TestGuardBounds(t *testing.T) {
	g := newGuard(Recipe{Guard: "queue", Exec: "threads"})
	for i := range guardCapacity {
		if !g.enter() {
			t.Fatalf("batch %d is refused", i)
		}
	}
	if g.enter() {
		t.Errorf("a batch beyond %d is let in", guardCapacity)
	}
	g.leave()
	if !g.enter() || g.enter() {
		t.Errorf("one that left makes room for one")
	}
	for _, r := range []Recipe{{Guard: "queue", Exec: "pool"}, {Guard: "none", Exec: "threads"}} {
		if newGuard(r) != nil {
			t.Errorf("%+v has a guard of batches", r)
		}
	}
}

type ackCounter struct {
	mu         sync.Mutex
	ok, failed int
}

func newAckCounter() *ackCounter { return &ackCounter{} }

func (c *ackCounter) ack(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.ok++
	} else {
		c.failed++
	}
}
