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
