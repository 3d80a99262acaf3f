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
// for it. Where others use the machine, they may be what is scarce: each is to be
// told in one of three runs.
func TestBottlenecksAreTold(t *testing.T) {
	want := map[string]struct{ resource, evidence string }{
		"disk":    {record.Disk, "within writes to its file"},
		"limiter": {record.RateLimiter, "of the answers were 429"},
		"queue":   {record.AcceptQueue, "the accept queue was full"},
		"cpu":     {record.ServerCPU, "server CPU "},
		"think":   {record.UnknownResource, "clients think for 50ms between requests"},
	}
	for try := 1; try <= 3 && len(want) > 0; try++ {
		run, _ := playTiny(t, bottlenecks)
		for _, trial := range run.Trials {
			v := trial.Verdict
			t.Logf("run %d, %s: %s (%s)", try, trial.Arm, v.Bottleneck, v.Evidence)
			if w, open := want[trial.Arm]; open && v.Bottleneck == w.resource && strings.Contains(v.Evidence, w.evidence) {
				delete(want, trial.Arm)
			}
			// Threads wait for the lock behind which one writes.
			if waited, wrote := trial.Server.Counters["mutex_wait_ns"], trial.Server.Counters["sink_write_ns"]; trial.Arm == "disk" && waited < wrote {
				t.Errorf("20 threads waited %d ns for a lock that was held for %d ns", waited, wrote)
			}
		}
	}
	for arm, w := range want {
		t.Errorf("%s: %q by %q was told in none of three runs", arm, w.resource, w.evidence)
	}
}
