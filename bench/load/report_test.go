package main

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"strings"
	"testing"
	"time"

	"mslab/bench/harness"
)

func TestParse(t *testing.T) {
	for _, wrong := range [][]string{{"-tools", "wrk,siege"}, {"-server", "apache"}, {"-runs", "0"}, {"-d", "1ms"}, {"-format", "xml"},
		{"-gate", "-runs", "9"}, {"more"}, {"-connections", "0"}} {
		if code := run(t.Context(), &bytes.Buffer{}, &bytes.Buffer{}, wrong); code != 2 {
			t.Errorf("%q: exit %d, want 2", wrong, code)
		}
	}
	o, err := parse(&bytes.Buffer{}, []string{"-tools", "wrk", "-server", "c"})
	if err != nil || strings.Join(o.tools, ",") != "mslab,wrk" || strings.Join(o.servers, ",") != "c" {
		t.Errorf("%+v, %v; want ours beside it", o, err)
	}
	if _, err := parse(&bytes.Buffer{}, []string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

// TestReadsWhatToolsPrint holds the readers against what the tools printed.
func TestReadsWhatToolsPrint(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want said
	}{
		"wrk":    {"  Latency  4ms\nRequests/sec: 122945.67\ndone 246248 2002910 7\n", said{answered: 246248, errors: 7, seconds: 2.00291}},
		"h2load": {"finished in 304.24ms, 85523.33 req/s, 8.89MB/s\nrequests: 25657 total, 25757 started, 25657 done, 25654 succeeded, 1 failed, 2 errored, 0 timeout\n", said{answered: 25657, errors: 3, seconds: 0.30424}},
		"hey": {"  Total:\t0.3014 secs\nStatus code distribution:\n  [200]\t5595 responses\n  [503]\t5 responses\n\nError distribution:\n  [93]\tGet \"http://127.0.0.1:1/\": refused\n",
			said{answered: 5600, errors: 98, seconds: 0.3014}},
		"ab": {"Time taken for tests:   1.001 seconds\nComplete requests:      121814\nFailed requests:        2\nNon-2xx responses:      3\nKeep-Alive requests:    121814\n",
			said{answered: 121814, errors: 5, seconds: 1.001}},
	} {
		for _, tool := range allTools() {
			if tool.name != name {
				continue
			}
			got, err := tool.read(t.Context(), tool.program, shot{}, test.text)
			if err != nil || got.answered != test.want.answered || got.errors != test.want.errors || math.Abs(got.seconds-test.want.seconds) > 1e-9 {
				t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
			}
			if _, err := tool.read(t.Context(), tool.program, shot{}, "something else\n"); err == nil {
				t.Errorf("%s: reads a result in what is none", name)
			}
		}
	}
}

func TestWholeSecondsAreRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{300 * time.Millisecond: time.Second, time.Second: time.Second, 1500 * time.Millisecond: 2 * time.Second} {
		if got := (tool{seconds: true}).length(d); got != want {
			t.Errorf("%v: %v, want %v", d, got, want)
		}
		if got := (tool{}).length(d); got != d {
			t.Errorf("%v becomes %v", d, got)
		}
	}
}

func TestJudgesPlays(t *testing.T) {
	for name, test := range map[string]struct {
		reading reading
		failed  error
		problem string
	}{
		"all is answered":     {reading: reading{requests: 1000, said: said{answered: 1000, seconds: 1}}},
		"some are in flight":  {reading: reading{requests: 1100, span: 1, said: said{answered: 1000, seconds: 1}}},
		"more than in flight": {reading: reading{requests: 1101, said: said{answered: 1000, seconds: 1}}, problem: "more apart"},
		"it says too many":    {reading: reading{requests: 999, said: said{answered: 1000, seconds: 1}}, problem: "more apart"},
		"errors":              {reading: reading{requests: 1000, said: said{answered: 1000, errors: 3, seconds: 1}}, problem: "3 requests failed"},
		"no request":          {reading: reading{said: said{seconds: 1}}, problem: "no request"},
		"another time":        {reading: reading{requests: 1000, span: 1.2, said: said{answered: 1000, seconds: 1}}, problem: "busy for 1.200 s"},
		"it failed":           {reading: reading{requests: 1000}, failed: errors.New("exit status 1"), problem: "exit status 1"},
	} {
		r := test.reading
		r.judge(test.failed, 100)
		if (r.problem == "") != (test.problem == "") || !strings.Contains(r.problem, test.problem) {
			t.Errorf("%s: %q, want %q", name, r.problem, test.problem)
		}
	}
}

// synthetic has ours at factor times the rate of wrk, and 1/factor of its CPU, in
// rounds in which the machine's speed changes.
func synthetic(rounds int, factor float64) *measurement {
	b := &bench{options: options{runs: rounds, connections: 100, duration: time.Second}, kinds: []kind{{name: serverC}, {name: serverNginx}},
		tools: []tool{{name: ours}, {name: "wrk"}}, absent: []string{"hey is left out: it is not on PATH"}}
	m := newMeasurement(b)
	for round := range rounds {
		speed := 1 + 0.3*float64(round%2)
		for k := range b.kinds {
			for t, f := range []float64{factor, 1} {
				m.set(k, t, round, reading{requests: int64(1e7 * speed * f), client: 7000 / speed / f, server: 6000, said: said{seconds: 100}})
			}
		}
	}
	return m
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		rounds int
		factor float64
		want   verdict
		missed bool
	}{{10, 1.3, met, false}, {10, 1.1, missedGoal, true}, {9, 1.3, tooFew, false}} {
		m := synthetic(test.rounds, test.factor)
		for _, g := range goals() {
			r, v := m.outcome(g)
			if g.tool != "wrk" {
				if v != notPlayed {
					t.Errorf("%s: %s without a play", g.tool, v)
				}
				continue
			}
			factor := test.factor
			if g.atMost {
				factor = 1 / factor
			}
			want := test.want
			if g.server == serverNginx && test.factor == 1.1 {
				want = met // 0.91 of the CPU
			}
			if math.Abs(r.Mean-factor) > 1e-6 || v != want {
				t.Errorf("%s at %v in %d rounds: %.3f, %s; want %.3f, %s", g.what, test.factor, test.rounds, r.Mean, v, factor, want)
			}
		}
		if m.missed() != test.missed {
			t.Errorf("at %v in %d rounds: missed is %v", test.factor, test.rounds, m.missed())
		}
	}
}

func TestVerdictsBetween(t *testing.T) {
	atLeast, worseEnd, atMost := goal{bound: 1.2}, goal{bound: 1.2, whole: true}, goal{bound: 0.8, atMost: true}
	for _, test := range []struct {
		g         goal
		low, high float64
		mean      float64
		want      verdict
	}{
		{atLeast, 1.21, 1.3, 1.25, met}, {atLeast, 1.1, 1.3, 1.25, metByMiddle}, {atLeast, 1.1, 1.3, 1.15, reached}, {atLeast, 1.1, 1.19, 1.15, missedGoal},
		{worseEnd, 1.21, 1.3, 1.25, met}, {worseEnd, 1.1, 1.3, 1.25, missedGoal},
		{atMost, 0.7, 0.79, 0.75, met}, {atMost, 0.7, 0.9, 0.75, metByMiddle}, {atMost, 0.7, 0.9, 0.85, reached}, {atMost, 0.81, 0.9, 0.85, missedGoal},
		{atLeast, math.Inf(-1), math.Inf(1), 1.25, tooFew},
	} {
		if got := test.g.judge(harness.Ratio{Mean: test.mean, Low: test.low, High: test.high, Pairs: leastRuns}); got != test.want {
			t.Errorf("%v in %v to %v against %+v: %s, want %s", test.mean, test.low, test.high, test.g.bound, got, test.want)
		}
	}
}

// TestAPlayThatDoesNotCountIsSaid leaves it out of figures and pairs, and says so.
func TestAPlayThatDoesNotCountIsSaid(t *testing.T) {
	m := synthetic(10, 1.3)
	bad := *m.readings[0][1][4]
	bad.problem, bad.requests = "it says that 7 requests failed", 1
	m.set(0, 1, 4, bad)
	if r := m.ratio(0, 1, rpsOf); r.Pairs != 9 || math.Abs(r.Mean-1.3) > 1e-6 {
		t.Errorf("ratio %+v, want 1.3 of 9 rounds", r)
	}
	busy := *m.readings[0][1][6]
	busy.others = 0.4
	m.set(0, 1, 6, busy)
	if r := m.ratio(0, 1, rpsOf); r.Pairs != 8 {
		t.Errorf("%d rounds count, want 8: one had others on the machine", r.Pairs)
	}
	var b bytes.Buffer
	if err := m.render(&b, "table"); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"left out: wrk in round 5: it says that 7 requests failed", "left out: wrk in round 7: others kept 0.40 cores busy", "hey is left out: it is not on PATH", "wrk 8 ", "not measured", "20 of 20"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, &b)
		}
	}
	if m.missed() {
		t.Error("another tool's errors are a miss of ours")
	}
	calm := *m.readings[1][0][1]
	calm.others = 1
	if m.set(1, 0, 1, calm); m.missed() {
		t.Error("a busy machine is a miss of ours")
	}
	mine := *m.readings[1][0][2]
	mine.problem = "it miscounts"
	m.set(1, 0, 2, mine)
	if !m.missed() {
		t.Error("a play of ours that does not add up is no miss")
	}
}
