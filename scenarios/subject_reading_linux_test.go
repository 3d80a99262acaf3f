package scenarios

import (
	"slices"
	"testing"
	"time"
)

// TestRecycledWorkerIsCountedOnce ends a worker that had used much before the
// slice, as servers do that renew their workers: by a parent that waits for it,
// and by the keeper that adopted it.
func TestRecycledWorkerIsCountedOnce(t *testing.T) {
	const parent, worker, renewed = 10, 11, 12
	at := func(p process) processReading {
		return processReading{process: p, cpu: p.user + p.system, ran: p.user + p.system}
	}
	before := treeReading{processes: map[int]processReading{
		parent: at(process{pid: parent, started: 1, user: 100 * time.Millisecond, system: 50 * time.Millisecond}),
		worker: at(process{pid: worker, started: 2, user: 4 * time.Second, system: 2 * time.Second}),
	}}
	// The worker used 300 + 200 ms more, and the one in its place 30 + 20 ms.
	master := process{pid: parent, started: 1, user: 110 * time.Millisecond, system: 60 * time.Millisecond}
	young := at(process{pid: renewed, started: 3, user: 30 * time.Millisecond, system: 20 * time.Millisecond})
	waited := master
	waited.waitedUser, waited.waitedSystem = 4300*time.Millisecond, 2200*time.Millisecond
	for name, after := range map[string]treeReading{
		"parent": {processes: map[int]processReading{parent: at(waited), renewed: young}},
		"keeper": {processes: map[int]processReading{parent: at(master), renewed: young},
			adoptedUser: 4300 * time.Millisecond, adoptedSystem: 2200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			u := between(before, after, nil)
			if want := 570 * time.Millisecond; u.cpu != want {
				t.Errorf("CPU %s, want %s", u.cpu, want)
			}
			if want := 340 * time.Millisecond; u.user != want {
				t.Errorf("user %s, want %s", u.user, want)
			}
			if want := 230 * time.Millisecond; u.system != want {
				t.Errorf("system %s, want %s", u.system, want)
			}
		})
	}
}

// TestServiceManagerIsNoServer has init hold the socket of a service beside it.
func TestServiceManagerIsNoServer(t *testing.T) {
	table := []process{{pid: 1}, {pid: 20, parent: 1}, {pid: 21, parent: 20}, {pid: 30, parent: 1}, {pid: 31, parent: 30}}
	if got := withoutAncestors([]int{1, 20, 21}, table, 31); !slices.Equal(got, []int{20, 21}) {
		t.Errorf("holders %v, want 20 and 21", got)
	}
	if got := withoutAncestors([]int{31}, table, 31); len(got) != 0 {
		t.Errorf("holders %v, want none: the generator is no server", got)
	}
}
