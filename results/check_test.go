package results

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRenderChecks(t *testing.T) {
	checks := []Checked{
		{"one", Works("tried %d & came back", 1)},
		{"two", Fails("mend it", "tried <2>: %s", strings.Repeat("no answer ", 12))},
	}
	render := func(format string) string {
		var b strings.Builder
		if err := RenderChecks(&b, format, checks); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var doc map[string]any
	out := render("json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc["schema"] != DoctorSchema {
		t.Fatalf("%v: %s", err, out)
	}
	first := doc["checks"].([]any)[0].(map[string]any)
	if len(first) != 4 || first["name"] != "one" || first["ok"] != true || first["why"] != "tried 1 & came back" || first["fix"] != "" {
		t.Errorf("%v", first)
	}
	table := render("table")
	for _, want := range []string{"one    yes  tried 1 & came back", "two    no   tried <2>", "1 of 2 work.", "two    mend it"} {
		if !strings.Contains(table, want) {
			t.Errorf("want %q in\n%s", want, table)
		}
	}
	if csv := render("csv"); !strings.HasPrefix(csv, "table,name,ok,why,fix\n,one,yes,tried 1 & came back,\n,two,no,tried <2>") {
		t.Errorf("%s", csv)
	}
	if md := render("markdown"); !strings.Contains(md, "what to do") || !strings.Contains(md, "mend it") {
		t.Errorf("%s", md)
	}
	checks = checks[:1]
	if table := render("table"); strings.Contains(table, "What to do") || !strings.Contains(table, "1 of 1 work.") {
		t.Errorf("%s", table)
	}
	checks = nil
	if out := render("json"); !strings.Contains(out, `"checks": []`) {
		t.Errorf("%s", out)
	}
}
