package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPlansArePastedIntoAShell has a shell say which words it finds in the lines of
// a plan: those that were there before the lines were broken, without comments.
func TestPlansArePastedIntoAShell(t *testing.T) {
	long := "say nft add chain inet mslab_PID_START_RANDOM partition { type filter hook input priority raw\\; }"
	for _, c := range []struct{ command, want string }{
		{"say short", "<short>"},
		{long, "<nft><add><chain><inet><mslab_PID_START_RANDOM><partition><{><type><filter><hook><input><priority><raw;><}>"},
		{"say echo 3 > /dev/null || true # before 6.13", ""},
		{"say " + strings.Repeat("a ", 30) + "# this begins a comment that does not fit, and it goes on", strings.Repeat("<a>", 30)},
		{"say " + strings.Repeat("a ", 36) + "# this", strings.Repeat("<a>", 36)},
		{"# CHILD takes 1000000 blocks of 10 MiB and writes to each page of them, until it is killed", ""},
	} {
		var printed bytes.Buffer
		printCommands(&printed, []string{c.command, "say"})
		for line := range strings.Lines(printed.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		out, err := exec.Command("sh", "-ec", "say() { for w; do printf '<%s>' \"$w\"; done; }\n"+printed.String()).CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("the shell read %q (%v), want %q of\n%s", out, err, c.want, &printed)
		}
	}
}
