//go:build race

package wire

import (
	"strings"
	"testing"
)

func TestKeptRequestIsPoisoned(t *testing.T) {
	s := NewSession(Limits{})
	s.Advance(copy(s.ReadBuffer(), post("body", "Authorization: me")))
	_, req := s.Next()
	kept, body := req.Authorization, req.Body
	s.Next()
	if want := strings.Repeat("\xdd", 4); kept != want[:2] || string(body) != want {
		t.Errorf("kept %q and %q beyond the request's end, want them overwritten", kept, body)
	}
}
