package loadgen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"mslab/results/record"
)

const (
	// MaxRetries is how many times at most a request may be sent again.
	MaxRetries = 1000
	// longestBackoff is what doubled pauses come to in the end, where the first is
	// not longer itself.
	longestBackoff = 10 * time.Second
	retryStream    = 1<<63 + 3 // of random numbers; see thinkStream
)

// Retry says which requests are sent again after they failed. Each attempt counts as
// sent and has a latency of its own; all of a request's bear one ID and one body.
// Bounds of the load count requests, not attempts; where a duration bounds it, none
// is sent again after its end. In an open loop an attempt is due when its pause is
// over, and holds its connection, or the place of one, until then.
type Retry struct {
	Max int // times that a request is sent again, up to MaxRetries; 0: none
	// Backoff is the longest pause before the first of them. It doubles with each, up
	// to 10 s, and each pause is drawn evenly from 0 to that ("full jitter" of
	// M. Brooker, Exponential Backoff And Jitter, 2015). 0: no pause.
	Backoff time.Duration
	On      []record.Class // that are tried again; default those of ParseRetryOn("503,timeout")
}

// retryWords are what several classes are called together, or one in short.
func retryWords() map[string][]record.Class {
	words := map[string][]record.Class{
		"timeout": {record.ConnectTimeout, record.ReadTimeout},
		"429":     {record.Status429},
		"503":     {record.Status503},
		"4xx":     {record.Status4xx, record.Status429},
		"5xx":     {record.Status5xx, record.Status503},
	}
	for _, class := range record.Classes {
		if class == record.OK || class == record.Shed {
			continue // nothing failed, or nothing was sent
		}
		words[string(class)] = []record.Class{class}
		words["any"] = append(words["any"], class)
		if !class.Answered() {
			words["error"] = append(words["error"], class)
		}
	}
	return words
}

// ParseRetryOn reads a list like "503,timeout": classes of the record, "429", "503",
// "4xx", "5xx", "timeout", "error" for all without an answer, "any".
func ParseRetryOn(list string) ([]record.Class, error) {
	words := retryWords()
	var on []record.Class
	for word := range strings.SplitSeq(list, ",") {
		classes, known := words[strings.TrimSpace(word)]
		if !known {
			return nil, fmt.Errorf("%q is nothing to try again on; want 429, 503, 4xx, 5xx, timeout, error (no answer), any, or a class such as %s", word, record.Reset)
		}
		for _, class := range classes {
			if !slices.Contains(on, class) {
				on = append(on, class)
			}
		}
	}
	return on, nil
}

func (r *Retry) validate() error {
	switch {
	case r.Max < 0 || r.Max > MaxRetries:
		return fmt.Errorf("check the load: retries must be between 0 and %d, not %d", MaxRetries, r.Max)
	case r.Backoff < 0:
		return fmt.Errorf("check the load: the backoff of retries must not be negative, it is %v", r.Backoff)
	case slices.Contains(r.On, record.OK), slices.Contains(r.On, record.Shed):
		return fmt.Errorf("check the load: only requests that were sent and failed can be tried again, not those of %q or %q", record.OK, record.Shed)
	}
	return nil
}

// named tells whether requests bear an ID.
func (p *Plan) named() bool { return p.Ledger != nil || p.Retry.Max > 0 }

// retries decides on the retries of a run. It is not safe for concurrent use.
type retries struct {
	Retry
	rng     *rand.Rand
	waiting int // requests that pause before they are sent again
}

func newRetries(p *Plan) retries {
	return retries{Retry: p.Retry, rng: rand.New(rand.NewPCG(uint64(p.Seed), retryStream))}
}

// pause draws that before retry n, from 1.
func (r *retries) pause(n int) time.Duration {
	longest := r.Backoff
	for range n - 1 {
		if longest >= longestBackoff {
			break
		}
		longest = min(2*longest, longestBackoff)
	}
	if longest == 0 {
		return 0
	}
	return time.Duration(r.rng.Int64N(int64(longest) + 1))
}

// attempts is where a request stands that may be sent more than once.
type attempts struct {
	again  int    // times that it was, or waits to be, sent again
	doubt  bool   // the server may have done one of those that failed
	waits  bool   // for the next
	last   ending // of the one before
	warmup bool   // that one belonged to it
}

// settle decides whether the request that ended so is sent again, and after which
// pause. If not, the ledger gets its line.
func (s *session) settle(a *attempts, id []byte, e ending, t *tally, over bool) (pause time.Duration, again bool) {
	r := &s.retries
	e.doubt = a.doubt
	if r.Max > 0 && slices.Contains(r.On, e.class) {
		if a.again < r.Max && !over {
			a.doubt = a.doubt || e.delivered && e.class.InDoubt()
			a.last, a.warmup, a.waits = e, t == s.warm, true
			a.again++
			r.waiting++
			return r.pause(a.again), true
		}
		if a.again == r.Max {
			t.exhausted++
		}
	}
	s.batch(id, e, t == s.warm)
	return 0, false
}

// resend counts the next attempt, which comes due at at.
func (s *session) resend(a *attempts, t *tally, at int64) {
	a.waits = false
	s.retries.waiting--
	t.start(at)
	t.retries++
}

// giveUp ends a request that waits to be sent again and will not be.
func (s *session) giveUp(a *attempts, id []byte) {
	if !a.waits {
		return
	}
	a.waits = false
	s.retries.waiting--
	s.batch(id, a.last, a.warmup)
}
