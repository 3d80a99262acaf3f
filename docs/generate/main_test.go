package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestTerminalIsWellFormed(t *testing.T) {
	svg, err := terminal("$ mslab run phases\n\na < b & ≤250ms │ -3 % faster")
	if err != nil {
		t.Fatal(err)
	}
	decoder, text := xml.NewDecoder(strings.NewReader(string(svg))), ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok {
			text += string(data)
		}
	}
	for _, want := range []string{"$ mslab run phases", "a < b & ≤250ms │ -3 % faster"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture does not say %q: %s", want, text)
		}
	}
}

func TestFillTables(t *testing.T) {
	table := func(run, title string) (string, error) { return "| " + run + " " + title + " |\n", nil }
	text := "before\n<!-- table ../r a title: x -->\nold\n<!-- end of table -->\nafter\n"
	want := "before\n<!-- table ../r a title: x -->\n\n| ../r a title: x |\n\n<!-- end of table -->\nafter\n"
	for range 2 { // filling in twice changes nothing
		got, err := fillTables(text, table)
		if err != nil || got != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
		text = got
	}
	for _, bad := range []string{"<!-- table r x -->\n", "<!-- table r x -->\n<!-- table r y -->\n<!-- end of table -->\n"} {
		if _, err := fillTables(bad, table); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
