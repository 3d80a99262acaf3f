package scenarios

import (
	"strings"
	"testing"

	"mslab/results/record"
)

// bottlenecks has an arm for each resource that can be made scarce here. A lock
// cannot: the limiter's and the events' are held for 0.1 µs of a request of
// 100 µs, and what waits for the sink's lock waits for the file behind it.
const bottlenecks = `name: bottlenecks
matrix: {subject: [1], clients: [20]}
arms:
  disk: {listen: backlog1024, sink-delay: 2ms}
  limiter: {listen: backlog1024, rate-limit: 200, load: {same-client: true, slice: 1s}}
  queue: {load: {clients: [60], requests-per-client: 10}}
  cpu: {listen: backlog1024, load: {metrics: 200}}
  think: {listen: backlog1024, load: {think: 50ms}}
load: {connection: new, slice: 500ms, warmup: 50ms}
repeat: {blocks: 1, slices: 2}
`

// TestBottlenecksAreTold makes each resource scarce in a run and asks the trial
// for it.
func TestBottlenecksAreTold(t *testing.T) {
	run, _ := playTiny(t, bottlenecks)
	want := map[string]struct{ resource, evidence string }{
		"disk":    {record.Disk, "within writes to its file"},
		"limiter": {record.RateLimiter, "of the answers were 429"},
		"queue":   {record.AcceptQueue, "the accept queue was full"},
		"cpu":     {record.ServerCPU, "server CPU "},
		"think":   {record.UnknownResource, "clients think for 50ms between requests"},
	}
	seen := map[string]bool{}
	for _, trial := range run.Trials {
		w, v := want[trial.Arm], trial.Verdict
		seen[trial.Arm] = true
		t.Logf("%s: %s (%s)", trial.Arm, v.Bottleneck, v.Evidence)
		if v.Bottleneck == record.GeneratorCPU {
			continue // a machine with others on it; the generator's word is tested in loadgen
		}
		var wall float64
		for _, slice := range trial.Slices {
			wall += slice.DurationS
		}
		used := float64(trial.Server.CPUNS) / 1e9 / wall
		if w.resource == record.ServerCPU && used < busyCores {
			t.Logf("others left the server %.0f %% of its core: nothing can be told of it", 100*used)
			continue
		}
		if v.Bottleneck != w.resource || !strings.Contains(v.Evidence, w.evidence) {
			t.Errorf("%s: %q by %q, want %q by %q", trial.Arm, v.Bottleneck, v.Evidence, w.resource, w.evidence)
		}
		if trial.Arm == "disk" {
			// The threads wait for the lock behind which one writes.
			if waited, wrote := trial.Server.Counters["mutex_wait_ns"], trial.Server.Counters["sink_write_ns"]; waited < wrote {
				t.Errorf("20 threads waited %d ns for a lock that was held for %d ns", waited, wrote)
			}
		}
	}
	for arm := range want {
		if !seen[arm] {
			t.Errorf("no trial of arm %s", arm)
		}
	}
}
