package scenarios

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocsDecode holds docs/scenarios.md to the decoder: its examples are
// scenarios, and it names every key of the top level and of a subject.
func TestDocsDecode(t *testing.T) {
	data, err := os.ReadFile("../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(examples) < 3 {
		t.Errorf("%d examples, want 3", len(examples))
	}
	for _, example := range examples {
		s, err := Decode("docs/scenarios.md", []byte(example[1]))
		if err != nil {
			t.Errorf("%v\n%s", err, example[1])
			continue
		}
		if _, err := newPlan(s, Options{}, splitCores([]int{0, 1})); err != nil {
			t.Errorf("plan %s: %v", s.Name, err)
		}
	}
	f := newDraft(decoder{})
	keys := append([]field(f.file().shape.Properties), f.subjectMapping(&SubjectSpec{}, "").shape.Properties...)
	for _, field := range keys {
		if !strings.Contains(text, field.key) {
			t.Errorf("nothing is said of the key %s", field.key)
		}
	}
}
