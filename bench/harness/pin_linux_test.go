package harness

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPinSelf wants children to inherit the one core while pinned, and afterwards the
// cores that there were.
func TestPinSelf(t *testing.T) {
	if !Pins() {
		t.Skipf("this process may not run on both cores %d and %d", ClientCore, ServerCore)
	}
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	unpin, err := PinSelf(ServerCore)
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := exec.Command("sed", "-n", "s/^Cpus_allowed_list:\t//p", "/proc/self/status").Output()
	if unpinned := unpin(); unpinned != nil {
		t.Fatal(unpinned)
	}
	if err != nil || strings.TrimSpace(string(allowed)) != "1" {
		t.Errorf("a child may run on cores %q (%v), want 1", allowed, err)
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("cores afterwards %v (%v), want %v", after, err, before)
	}
}
