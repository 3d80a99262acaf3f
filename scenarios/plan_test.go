package scenarios

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"mslab/results"
)

func TestOrderOfTwoIsABBA(t *testing.T) {
	first := map[int]int{}
	for seed := range int64(200) {
		got := order(orderSource(seed, "arm", 1, 0), 2, 4)
		a, b := got[0], got[1]
		first[a]++
		if want := []int{a, b, b, a}; a == b || !slices.Equal(got[:4], want) {
			t.Fatalf("seed %d: %v, want a, b, b, a", seed, got)
		}
	}
	if first[0] < 70 || first[1] < 70 {
		t.Errorf("who begins is not random: %v of 200", first)
	}
}

func TestOrderIsBalanced(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7} {
		for _, rounds := range []int{1, 2, 4, 5} {
			got := order(orderSource(1, "arm", 1, 0), n, rounds)
			if len(got) != n*rounds {
				t.Fatalf("%d subjects, %d rounds: %d slices", n, rounds, len(got))
			}
			position := make([]int, n)
			for round := range rounds {
				seen := make([]bool, n)
				for i, s := range got[round*n : (round+1)*n] {
					if seen[s] {
						t.Fatalf("round %d of %v plays %d twice", round, got, s)
					}
					seen[s] = true
					if round < rounds/2*2 {
						position[s] += i
					}
				}
			}
			for s := range position {
				if position[s] != position[0] {
					t.Errorf("%d subjects, %d rounds: the positions of subject %d sum to %d, of subject 0 to %d",
						n, rounds, s, position[s], position[0])
				}
			}
		}
	}
}

func TestOrderFollowsTheSeed(t *testing.T) {
	play := func(seed int64) (all []int) {
		for block := range 5 {
			all = append(all, order(orderSource(seed, "arm", block+1, 0), 7, 4)...)
		}
		return all
	}
	if !slices.Equal(play(1), play(1)) {
		t.Error("one seed gave two orders")
	}
	if slices.Equal(play(1), play(2)) {
		t.Error("two seeds gave one order")
	}
}

func planOf(t *testing.T, yaml string, o Options, cores ...int) *Plan {
	t.Helper()
	s, err := Decode("f.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(s, o, splitCores(cores))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanOfASubjectAgainstItself(t *testing.T) {
	p := planOf(t, "name: x\nmatrix: {subject: [3, 3, linear-json]}\n", Options{}, 0, 1)
	var names []string
	for _, s := range p.Record.Subjects {
		names = append(names, s.Title())
	}
	if got, want := strings.Join(names, ", "), "3 linear-json, 3 linear-json', 3 linear-json''"; got != want {
		t.Errorf("subjects %s, want %s", got, want)
	}
	want := []results.PairPlan{{A: "linear-json", B: "linear-json'"}, {A: "linear-json'", B: "linear-json''"}}
	if got := p.Record.Arms[0].Pairs; !slices.Equal(got, want) {
		t.Errorf("pairs %v, want %v", got, want)
	}
}

func TestPlanPairs(t *testing.T) {
	const base = "name: x\nmatrix: {subject: [1, 2, 5]}\n"
	cases := []struct {
		name, more string
		o          Options
		want       []results.PairPlan
	}{
		{"neighbours", "", Options{}, []results.PairPlan{{A: "threads", B: "async"}, {A: "async", B: "pool"}}},
		{"named", "compare: [[1, 5]]\n", Options{}, []results.PairPlan{{A: "threads", B: "pool"}}},
		{"none", "compare: []\n", Options{}, nil},
		{"other phases", "", Options{Phases: []string{"pool", "7"}}, []results.PairPlan{{A: "pool", B: "keepalive"}}},
		{"named pair gone", "compare: [[1, 5]]\n", Options{Phases: []string{"1", "2"}}, []results.PairPlan{{A: "threads", B: "async"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := planOf(t, base+c.more, c.o, 0, 1).Record.Arms[0].Pairs; !slices.Equal(got, c.want) {
				t.Errorf("pairs %v, want %v", got, c.want)
			}
		})
	}
}

func TestPlanShows(t *testing.T) {
	const yaml = "name: x\nshows: true\nmatrix: {subject: [2, 3, 4, 7]}\narms: {s: {listen: backlog1024}}\n"
	one, four := planOf(t, yaml, Options{}, 0, 1), planOf(t, yaml, Options{}, 0, 1, 2, 3)
	lock := one.Record.Arms[1]
	if lock.Name != "3-4" || lock.Blocks != 0 || lock.Pairs[0].CannotShow != "needs 2 server cores, 1 here" {
		t.Errorf("one core for the server: %+v", lock)
	}
	if four.Record.Arms[1].Pairs[0].CannotShow != "" || four.Record.Arms[1].Blocks == 0 {
		t.Errorf("two cores for the server: %+v", four.Record.Arms[1])
	}
	large := one.Record.Arms[0]
	if large.Loads[0].Metrics != 300 || !slices.Equal(large.Subjects, []string{"async", "linear-json"}) || !large.Ranked {
		t.Errorf("the load of phase 3 is not played: %+v", large)
	}
	if kept := one.Record.Arms[2]; kept.Loads[0].Connection != "keep" || kept.Loads[0].Clients != 16 {
		t.Errorf("the load of phase 7 is not played: %+v", kept)
	}
	if got := one.arms[0].flags["rate-limit"]; got != "" {
		t.Errorf("the flags of one pair reached another: rate-limit %s", got)
	}
	if one.arms[1].flags["rate-limit"] != "1000000" {
		t.Errorf("the hot limiter of phase 4 is off: %v", one.arms[1].flags)
	}
}

func TestPlanRaisesBlocks(t *testing.T) {
	p := planOf(t, "name: x\nmatrix: {subject: [1, 2]}\nrepeat: {blocks: 2}\narms:\n  r:\n  u: {ranked: false}\n", Options{}, 0, 1)
	if p.Record.Arms[0].Blocks != 8 || p.arms[0].blocks != 8 || len(p.Notes) != 1 {
		t.Errorf("ranked: %d blocks, notes %v", p.Record.Arms[0].Blocks, p.Notes)
	}
	if p.Record.Arms[1].Blocks != 2 {
		t.Errorf("unranked: %d blocks, want the 2 asked for", p.Record.Arms[1].Blocks)
	}
	if got := planOf(t, "name: x\nmatrix: {subject: [1]}\nrepeat: {blocks: 2}\n", Options{}, 0).Record.Arms[0].Blocks; got != 2 {
		t.Errorf("nothing to compare: %d blocks, want 2", got)
	}
}

func TestPlanOptions(t *testing.T) {
	s, err := Find("phases")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(s, Options{Clients: []int{5, 6}, Blocks: 40, MinEffect: 0.02, MinEffectFrom: "here"}, splitCores([]int{0, 1}))
	if err != nil {
		t.Fatal(err)
	}
	for _, arm := range p.Record.Arms {
		if len(arm.Loads) != 2 || arm.Loads[0].Clients != 5 || arm.Loads[1].Clients != 6 {
			t.Errorf("arm %s: loads %+v", arm.Name, arm.Loads)
		}
	}
	if a, b := p.Record.Arms[0].Blocks, p.Record.Arms[1].Blocks; a != 40 || b != 2 {
		t.Errorf("blocks %d and %d, want 40 in the ranked arm and 2 in the other", a, b)
	}
	if p.Record.MinEffect != 0.02 || p.Record.MinEffectFrom != "here" {
		t.Errorf("min effect %v from %q", p.Record.MinEffect, p.Record.MinEffectFrom)
	}
	if s.Arms[0].Blocks != 10 {
		t.Error("the options changed the scenario")
	}
	if _, err := newPlan(s, Options{Phases: []string{"99"}}, splitCores([]int{0})); err == nil {
		t.Error("phase 99 was planned")
	}
}

func TestPlanRefusesCombinationsWithoutMeaning(t *testing.T) {
	s, err := Decode("f.yaml", []byte("name: x\nmatrix: {subject: [1]}\narms: {a: {ack: memory}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newPlan(s, Options{}, splitCores([]int{0})); err == nil || !strings.Contains(err.Error(), "has no meaning") {
		t.Errorf("a synchronous sink that acknowledges from memory: %v", err)
	}
}

func TestPlanFitsItsPromise(t *testing.T) {
	for name, limit := range map[string]time.Duration{"first-look": 3 * time.Minute, "phases": 8 * time.Minute, "headline": 2 * time.Minute,
		"overflow": 4 * time.Minute, "shows": 8 * time.Minute, "aa": 6 * time.Minute} {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := newPlan(s, Options{}, splitCores([]int{0, 1}))
		if err != nil {
			t.Fatal(err)
		}
		if d := p.Duration(); d > limit || d < 5*time.Second {
			t.Errorf("%s takes about %s, want at most %s", name, d, limit)
		}
		if slices.ContainsFunc(p.Notes, func(note string) bool { return strings.Contains(note, "raised to") }) {
			t.Errorf("%s does not ask for enough blocks: %v", name, p.Notes)
		}
		var out bytes.Buffer
		if err := p.Describe(&out); err != nil || !strings.Contains(out.String(), "in all") {
			t.Errorf("describe %s: %v\n%s", name, err, out.String())
		}
	}
}

func TestSplitCores(t *testing.T) {
	for n, want := range map[int][2]int{1: {1, 0}, 2: {1, 1}, 3: {2, 1}, 4: {2, 2}, 5: {3, 2}} {
		list := make([]int, n)
		for i := range list {
			list[i] = 10 + i
		}
		c := splitCores(list)
		if c.forServer() != want[0] || len(c.generator) != want[1] {
			t.Errorf("%d cores: server %d, generator %v; want %v", n, c.forServer(), c.generator, want)
		}
		for _, core := range c.generator {
			if slices.Contains(c.server, core) {
				t.Errorf("%d cores: both have core %d", n, core)
			}
		}
	}
}

func TestPlanKeepsTheMinimumEffectAskedFor(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    float64
	}{
		{Options{MinEffect: 0, MinEffectFrom: "--min-effect"}, 0},
		{Options{MinEffect: 0.03, MinEffectFrom: "--min-effect"}, 0.03},
		{Options{}, 0.01},
	} {
		p, err := newPlan(Default(), c.options, splitCores([]int{0, 1}))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Record.MinEffect; got != c.want || p.Record.MinEffectFrom == "" {
			t.Errorf("%+v: %v from %q, want %v", c.options, got, p.Record.MinEffectFrom, c.want)
		}
	}
}
