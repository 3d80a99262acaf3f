package results

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestOverviewOfSeveralArms: a run with several ranked arms is summed up in one
// table, first; an arm that was not played stands there with its reason and has
// no table of its own.
func TestOverviewOfSeveralArms(t *testing.T) {
	run := sampleRun()
	played := slices.IndexFunc(run.Plan.Arms, func(a ArmPlan) bool { return a.Ranked })
	unplayed := run.Plan.Arms[played]
	unplayed.Name, unplayed.Blocks = "unplayed", 0
	unplayed.Overrides = map[string]string{"listen": "backlog1024", "rate-limit": "1000000"}
	unplayed.Pairs = []PairPlan{{A: "threads", B: "async", CannotShow: "needs 2 server cores, 1 here"}}
	run.Plan.Arms = append(slices.Clone(run.Plan.Arms), unplayed)

	tables := must(Tables(run, -1))
	var all, first bytes.Buffer
	if err := RenderText(&all, tables); err != nil {
		t.Fatal(err)
	}
	if err := RenderText(&first, WithoutDetail(tables)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"what each change does", "rate-limit", "1000000", "cannot show here (needs 2 server cores, 1 here)", "% faster"} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("a first look does not say %q:\n%s", want, first.String())
		}
	}
	if strings.Contains(all.String(), "unplayed:") {
		t.Errorf("an arm that was not played has a table:\n%s", all.String())
	}
	for line := range strings.Lines(first.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > lineWidth {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	title := run.Plan.Arms[played].Name + ": what a request costs"
	if !strings.Contains(all.String(), title) || strings.Contains(first.String(), title) {
		t.Errorf("%q belongs to the whole, not to a first look", title)
	}
}
