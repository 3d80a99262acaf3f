package scenarios

import (
	"fmt"
	"strings"
	"time"

	"mslab/results/record"
)

// What it takes for a resource to be named. A resource that works all the time
// binds by the utilization law; the others are named for the share of the
// requests that met them.
const (
	// saturatedShare of its cores' time makes the server's CPU the bottleneck.
	saturatedShare = 0.95
	// busyCores is enough where the cores had no time left: the kernel's work for
	// the server's packets is on its cores, not on its account.
	busyCores = 0.80
	idleShare = 0.05

	writingShare = 0.90 // of the time, in which writes come one after the other
	ioShare      = 0.50 // of the time, in which some task of the machine waited for a disk
	lockShare    = 0.50 // of the summed time of all requests
	limitedShare = 0.05 // of the answers
	// A full accept queue costs a client the SYN timer, a second at least.
	overflowShare = 0.01 // of the connections
	synShare      = 0.05 // of the clients' time, at 1 s for each SYN sent again
)

// machineLoad is what the kernel says of the machine during a trial's load.
type machineLoad struct {
	idle float64 // seconds in which the server's cores had nothing to do, summed
	io   float64 // seconds in which some task waited for a disk (PSI)
	read bool    // idle is known
}

func (m machineLoad) since(before machineLoad) machineLoad {
	return machineLoad{m.idle - before.idle, m.io - before.io, m.read && before.read}
}

func (m *machineLoad) add(o machineLoad) {
	m.idle, m.io, m.read = m.idle+o.idle, m.io+o.io, o.read
}

// suspect is a resource, how much of it was used, in words, and whether that is
// enough to name it.
type suspect struct {
	resource string
	evidence string
	binds    bool
}

// judgeBottleneck names the resource that bound a trial and what it is told by.
// The generator's own word comes first. A policy comes before what it protects;
// a resource in use all the time before the queues in front of it. Where there
// is none the evidence is what was looked at. Nothing is said of a server that
// could not be read.
func judgeBottleneck(r *record.Record, c cores, m machineLoad) {
	if r.Verdict.Bottleneck != "" || r.Server == nil {
		return
	}
	var wall float64
	for _, s := range r.Slices {
		wall += s.DurationS
	}
	if wall <= 0 {
		return
	}
	var looked []string
	for _, s := range suspects(r, c, m, wall) {
		if s.binds {
			r.Verdict.Bottleneck, r.Verdict.Evidence = s.resource, s.evidence
			return
		}
		if s.evidence != "" {
			looked = append(looked, s.evidence)
		}
	}
	if r.Load.ThinkNS > 0 {
		looked = append(looked, fmt.Sprintf("clients think for %s between requests", time.Duration(r.Load.ThinkNS)))
	}
	r.Verdict.Bottleneck, r.Verdict.Evidence = record.UnknownResource, strings.Join(looked, ", ")
}

func suspects(r *record.Record, c cores, m machineLoad, wall float64) []suspect {
	return []suspect{
		limiterSuspect(r), cpuSuspect(r, c, m, wall), diskSuspect(r, m, wall), lockSuspect(r, wall), queueSuspect(r, wall),
	}
}

func limiterSuspect(r *record.Record) suspect {
	limited := r.Counts.ByClass[record.Status429]
	if limited == 0 {
		return suspect{}
	}
	share := float64(limited) / float64(max(1, r.Counts.Answered))
	return suspect{record.RateLimiter, fmt.Sprintf("%s of the answers were 429", shareText(share)), share >= limitedShare}
}

func cpuSuspect(r *record.Record, c cores, m machineLoad, wall float64) suspect {
	used := float64(r.Server.CPUNS) / 1e9 / (wall * float64(c.forServer()))
	if used <= 0 {
		return suspect{} // not measured
	}
	s := suspect{record.ServerCPU, fmt.Sprintf("server CPU %s of %s for %.1f s", shareText(used), count(c.forServer(), "core"), wall), used >= saturatedShare}
	if idle := m.idle / (wall * float64(c.forServer())); m.read && c.pinned() && !s.binds {
		s.evidence += fmt.Sprintf(" (idle %s)", shareText(max(0, idle)))
		s.binds = used >= busyCores && idle <= idleShare
	}
	return s
}

// diskSuspect asks the server how long it was writing, else the kernel, which
// knows it of the whole machine only.
func diskSuspect(r *record.Record, m machineLoad, wall float64) suspect {
	if ns, counted := r.Server.Counters["sink_write_ns"]; counted {
		share := float64(ns) / 1e9 / wall
		return suspect{record.Disk, fmt.Sprintf("within writes to its file %s of the time", shareText(share)), share >= writingShare}
	}
	if share := m.io / wall; share >= ioShare {
		return suspect{record.Disk, fmt.Sprintf("tasks of this machine waited for its disks %s of the time", shareText(share)), true}
	}
	return suspect{}
}

func lockSuspect(r *record.Record, wall float64) suspect {
	ns, counted := r.Server.Counters["mutex_wait_ns"]
	if !counted {
		return suspect{}
	}
	spent := wall * 1e9 * float64(max(1, r.Load.Clients))
	if r.Little != nil && r.Little.RequestsNS > 0 {
		spent = r.Little.RequestsNS
	}
	share := float64(ns) / spent
	return suspect{record.LockWait, fmt.Sprintf("waits for locks %s of the requests' time", shareText(share)), share >= lockShare}
}

func queueSuspect(r *record.Record, wall float64) suspect {
	overflows := r.Server.ListenOverflows
	if overflows == 0 {
		return suspect{}
	}
	s := suspect{resource: record.AcceptQueue, evidence: fmt.Sprintf("the accept queue was full %s", times(overflows))}
	s.binds = float64(overflows) >= overflowShare*float64(max(1, r.Counts.Connects))
	if again := r.Server.SynRetransmits; again > 0 {
		share := float64(again) / (wall * float64(max(1, r.Load.Clients)))
		s.evidence += fmt.Sprintf(" and %s sent again, which cost the clients %s of their time at 1 s each", count(int(again), "SYN"), shareText(min(1, share)))
		s.binds = s.binds || share >= synShare
	}
	return s
}

// times says how often, in words.
func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func shareText(share float64) string {
	switch {
	case share > 0 && share < 0.005:
		return "under 1 %"
	case share < 1 && share >= 0.995:
		return "over 99 %"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}
