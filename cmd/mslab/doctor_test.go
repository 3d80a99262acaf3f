package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

// nobody is the user that tests become where they run as root.
const nobody = 65534

// openCopy copies this program, under the name of mslab, to where every user
// can run it.
func openCopy(t *testing.T) (exe string) {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	exe = filepath.Join(dir, "mslab")
	to, err := os.OpenFile(exe, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return exe
}

type doctorReport struct {
	Schema string
	Checks []struct {
		Name, Why, Fix string
		OK             bool
	}
}

// examined runs a command that ends in doctor --json and checks the form of what it prints.
func examined(t *testing.T, cmd *exec.Cmd) doctorReport {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "GORACE="+noExitSleep)
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v; stderr: %s", err, &stderr)
	}
	var report doctorReport
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if report.Schema != "mslab.doctor/v1" || len(report.Checks) < 30 {
		t.Errorf("schema %q, %d checks", report.Schema, len(report.Checks))
	}
	seen := map[string]bool{}
	for _, c := range report.Checks {
		if c.Name == "" || seen[c.Name] {
			t.Errorf("the name %q is empty or there twice", c.Name)
		}
		seen[c.Name] = true
		if c.Why == "" || (c.Fix == "") != c.OK || strings.ContainsAny(c.Why+c.Fix, "\n\r") || strings.Contains(c.Why+c.Fix, "%!") {
			t.Errorf("%+v: want a why, and a fix only where it does not work, in one line each", c)
		}
		if strings.Contains(c.Why, "refuse to test") {
			t.Errorf("%s: the check ran the tests instead of mslab: %s", c.Name, c.Why)
		}
		t.Logf("%-16s %-5v %s %s", c.Name, c.OK, c.Why, c.Fix)
	}
	return report
}

func (r doctorReport) ok(t *testing.T, name string) bool {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c.OK
		}
	}
	t.Errorf("no check %q", name)
	return false
}

func TestDoctor(t *testing.T) {
	r := examined(t, exec.Command(openCopy(t), "doctor", "--json"))
	if runtime.GOOS == "linux" && !r.ok(t, "cpu clock") {
		t.Error("the CPU clock of a child cannot be read, yet runs are ranked by it")
	}
}

func TestDoctorAsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, to become another user")
	}
	cmd := exec.Command(openCopy(t), "doctor", "--json")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	r := examined(t, cmd)
	// As nobody, a place that only root may write to must be found out.
	if r.ok(t, "results folder") || r.ok(t, "net namespace") && runtime.GOOS == "linux" {
		t.Error("nobody writes to / or makes a network namespace")
	}
}

func TestDoctorSeesALowLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not supported on " + runtime.GOOS)
	}
	exe := openCopy(t)
	r := examined(t, exec.Command("sh", "-c", "ulimit -n 256 && exec "+exe+" doctor --json"))
	if r.ok(t, "open files") {
		t.Error("256 open files are enough")
	}
}

func TestDoctorFitsATerminal(t *testing.T) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(openCopy(t), "doctor")
	cmd.Env = append(os.Environ(), "GORACE="+noExitSleep)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	for line := range strings.Lines(stdout.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
