package server

import "testing"

func FuzzParsersAgainstEncodingJSON(f *testing.F) {
	f.Add(seedBody(3))
	for _, c := range acceptCases() {
		if len(c.body) < 2000 {
			f.Add([]byte(c.body))
		}
	}
	for _, c := range refuseCases() {
		if len(c[1]) < 2000 {
			f.Add([]byte(c[1]))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want, refusal := oracle(body)
		for _, p := range parsers() {
			got, err := p.parse(body)
			if (err == nil) != (refusal == nil) {
				t.Fatalf("%s says %v, encoding/json %v", p.name, err, refusal)
			}
			if d := difference(got, want); d != "" {
				t.Fatalf("%s: %s", p.name, d)
			}
		}
	})
}

// FuzzNumbers goes for the digits: the fast path against encoding/json.
func FuzzNumbers(f *testing.F) {
	for _, literal := range []string{"0", "-0", "75.5", "4294967212.07", "9007199254740993", "1e22", "1e23", "123e-22", "0.3", "5e-324", "1e999", "01", "1.e1"} {
		f.Add(literal)
	}
	f.Fuzz(func(t *testing.T, literal string) {
		body := []byte(one(`"name":"a","value":` + literal))
		want, refusal := oracle(body)
		got, err := validated(parseLinear)(body)
		if (err == nil) != (refusal == nil) {
			t.Fatalf("parseLinear says %v, encoding/json %v", err, refusal)
		}
		if d := difference(got, want); d != "" {
			t.Fatal(d)
		}
	})
}
