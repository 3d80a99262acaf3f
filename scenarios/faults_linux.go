package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mslab/chaos"
	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
)

// timeline plays the faults of one trial while its load runs, and keeps what is
// needed to say what they did.
type timeline struct {
	faults   []Fault
	reaper   []string     // of chaos.Options
	warm     bytes.Buffer // the ledger of the warm-up
	ledger   *os.File
	requests []record.Request
	played   []record.Fault
	warnings []string // of what was healed of others
	tell     func(Event)
}

// newTimeline makes the timeline of a trial, nil where it has no faults. Its
// ledger lies in the run's temporary folder.
func (r *runner) newTimeline(faults []Fault) (*timeline, error) {
	if len(faults) == 0 {
		return nil, nil
	}
	ledger, err := os.CreateTemp(r.scratch, "ledger-*.jsonl")
	if err != nil {
		return nil, fmt.Errorf("make a ledger: %w", err)
	}
	return &timeline{faults: faults, reaper: r.play.Reaper, ledger: ledger, tell: r.progress.tell}, nil
}

// join plays the faults beside a load that is about to begin. What it returns is
// called when the load is over: it heals what is not healed yet, and returns
// once nothing is injected any more.
func (t *timeline) join(ctx context.Context, c *child, offer *loadgen.Plan) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	began := make(chan time.Time, 1)
	begun := offer.Begun
	offer.Begun = func(at time.Time) {
		if begun != nil {
			begun(at)
		}
		began <- at
	}
	if offer.Metrics > 0 { // what a foreign subject stores is not known
		offer.Ledger = t.ledger
	}
	offer.Ended = func(r record.Request) { t.requests = append(t.requests, r) }
	t.played = make([]record.Fault, len(t.faults))
	for i, f := range t.faults {
		t.played[i].FaultPlan = f.record()
	}
	var group sync.WaitGroup
	group.Go(func() {
		select {
		case start := <-began:
			t.playAll(ctx, c, start)
		case <-ctx.Done():
		}
	})
	group.Go(func() { // a server that has ended has nothing left to break
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// playAll plays the faults at their times after start, until ctx ends.
func (t *timeline) playAll(ctx context.Context, c *child, start time.Time) {
	for i, f := range t.faults {
		timer := time.NewTimer(time.Until(start.Add(f.At)))
		select {
		case <-timer.C:
			t.play(ctx, c, f, start, &t.played[i])
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// play injects a fault and returns when it is healed.
func (t *timeline) play(ctx context.Context, c *child, f Fault, start time.Time, played *record.Fault) {
	injection, err := t.inject(ctx, c, f)
	if err != nil {
		if ctx.Err() == nil {
			played.Error = err.Error()
		}
		return
	}
	t.tell(FaultBegun{Name: f.Name, For: f.For})
	defer func() { t.tell(FaultEnded{Name: f.Name, Error: played.Error}) }()
	<-injection.Done() // it heals by itself, when its time is over or ctx ends
	if err := injection.Heal(context.WithoutCancel(ctx)); err != nil {
		played.Error = err.Error()
	}
	status := injection.Status()
	played.Verified, played.Via = status.Verified, status.Via
	played.InjectedS = new(status.InjectedAt.Sub(start).Seconds())
	if !status.HealedAt.IsZero() {
		played.HealedS = new(status.HealedAt.Sub(start).Seconds())
	}
	var words []string
	played.Verdict = map[string]any{}
	for _, fact := range status.Evidence {
		if fact.Words != "" { // some figures are for programs only
			words = append(words, fact.Words)
		}
		played.Verdict[fact.Key] = fact.Value
	}
	played.Evidence = strings.Join(words, "; ")
}

func (t *timeline) inject(ctx context.Context, c *child, f Fault) (*chaos.Injection, error) {
	server, err := url.Parse(c.url)
	if err != nil {
		return nil, fmt.Errorf("find the port of %s: %w", c.name, err)
	}
	port, err := strconv.Atoi(server.Port())
	if err != nil {
		return nil, fmt.Errorf("find the port of %s: %w", c.name, err)
	}
	spec, err := f.spec(c.pid, port)
	if err != nil {
		return nil, err
	}
	return chaos.Inject(ctx, spec, chaos.Options{
		Reaper: t.reaper, OwnNamespace: Inside() != NoSandbox,
		Warn: func(line string) { t.warnings = append(t.warnings, line) },
	})
}

// measure says what the clients felt of each fault. Whole is whether the load was
// played to its end under a server that lived: then every fault had its chance.
func (t *timeline) measure(deadline time.Duration, whole bool) []record.Fault {
	for i := range t.played {
		if f := &t.played[i]; whole && f.InjectedS == nil && f.Error == "" {
			f.Error = "the load was over before it took effect"
		}
	}
	results.MeasureFaults(t.played, t.requests, deadline)
	t.requests = nil
	return t.played
}

// amiss tells why the trial is invalid: a fault that did not bite, or was not
// undone.
func (t *timeline) amiss() []string {
	var reasons []string
	for _, f := range t.played {
		switch {
		case f.Error != "" && f.InjectedS == nil:
			reasons = append(reasons, fmt.Sprintf("the fault %s did not bite: %s", f.Name, f.Error))
		case f.Error != "":
			reasons = append(reasons, fmt.Sprintf("the fault %s was not undone: %s", f.Name, f.Error))
		case f.InjectedS != nil && !f.Verified:
			reasons = append(reasons, fmt.Sprintf("the fault %s did not bite: %s", f.Name, f.Evidence))
		}
	}
	return reasons
}

// bit says that a fault has taken effect: what became of the server since is
// its doing.
func (t *timeline) bit() bool {
	return t != nil && slices.ContainsFunc(t.played, func(f record.Fault) bool { return f.Verified })
}

// verify holds the ledger against what the server has stored. The server must
// have ended.
func (t *timeline) verify(c *child) (*record.Stored, error) {
	if _, err := t.ledger.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	warm, err := asWarmup(&t.warm)
	if err != nil {
		return nil, err
	}
	report, err := results.VerifyLog(io.MultiReader(bytes.NewReader(warm), t.ledger), filepath.Join(c.dir, "data"))
	if err != nil {
		return nil, err
	}
	return &record.Stored{Acknowledged: report.Acknowledged, Stored: report.Stored, Lost: report.Lost,
		Duplicated: report.Duplicated, Unknown: report.Unknown}, nil
}

// asWarmup marks the batches of a ledger as those of a warm-up: the load that
// warms a server is one by itself and does not know what it is for.
func asWarmup(ledger io.Reader) ([]byte, error) {
	var marked []byte
	for b, err := range record.ReadLedger(ledger) {
		if err != nil {
			return nil, fmt.Errorf("read the ledger of the warm-up: %w", err)
		}
		b.Warmup = true
		marked = b.AppendJSON(marked)
	}
	return marked, nil
}

// close removes the ledger.
func (t *timeline) close() error {
	return errors.Join(t.ledger.Close(), os.Remove(t.ledger.Name()))
}

// settle says what was stored of the trials that had faults. Their servers have
// ended, and their data is still there.
func (r *runner) settle(cells []*cell) error {
	var errs []error
	for _, c := range cells {
		if c.timeline == nil {
			continue
		}
		if len(c.parts) > 0 && c.child.foreign == nil {
			stored, err := c.timeline.verify(c.child)
			if err != nil {
				r.note(fmt.Sprintf("What %s stored is not known: %v.", c.player.subject.Name, err))
			}
			c.parts[0].Stored = stored
		}
		r.note(c.timeline.warnings...)
		errs = append(errs, c.timeline.close())
	}
	return errors.Join(errs...)
}

// tryFaults tells before anything is played which fault of the plan cannot be
// injected here.
func (p *Plan) tryFaults(ctx context.Context) error {
	tried := map[[2]string]bool{}
	for _, arm := range p.arms {
		for _, f := range arm.faults {
			via := f.Options["via"]
			if tried[[2]string{f.Name, via}] {
				continue
			}
			tried[[2]string{f.Name, via}] = true
			kind, err := chaos.Find(f.Name)
			if err == nil {
				err = kind.TryVia(ctx, via)
			}
			if err == nil {
				err = chaos.CheckJournal("")
			}
			if err != nil {
				return fmt.Errorf("play the fault %s of arm %s: %w", f.Name, arm.name, err)
			}
		}
	}
	return nil
}
