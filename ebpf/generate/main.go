// Command generate makes what package ebpf has from its generators.
//
//	generate objects NAME...   NAME.bpf.c to NAME_*_bpfel.{go,o}, by bpf2go
//	generate numbers           sysnum_linux_*.go, from golang.org/x/sys
//
// Objects need clang 14: another version makes other bytes of the same source,
// which a check for files out of date could not tell from a change. Where there is
// none, objects are left as they are, so that the rest can be generated with
// nothing but Go.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// clangVersion is the major version that made the committed objects.
const clangVersion = "14"

// types lists the C structs that also become Go types.
var types = map[string][]string{
	"syscalls": {"stat", "key", "target", "name", "call"},
	"cpu":      {"cpu_sample", "core_counts", "core"},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 1 && args[0] == "objects":
		return objects(args[1:])
	case len(args) == 1 && args[0] == "numbers":
		return numbers()
	}
	return errors.New("want: objects NAME..., or numbers")
}

// objects compiles each NAME.bpf.c of the working folder for both machines.
func objects(names []string) error {
	clang, why := findClang()
	if clang == "" {
		fmt.Fprintf(os.Stderr, "%s: %s left as committed\n", why, strings.Join(names, ", "))
		return nil
	}
	strip, err := findStrip()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s left as committed\n", err, strings.Join(names, ", "))
		return nil
	}
	for _, name := range names {
		args := []string{"tool", "bpf2go", "-cc", clang, "-strip", strip,
			"-cflags", "-O2 -g -Wall -Werror -mcpu=v3", "-tags", "linux", "-target", "amd64,arm64",
			"-go-package", "ebpf"}
		for _, t := range types[name] {
			args = append(args, "-type", t)
		}
		command := exec.Command("go", append(args, name, name+".bpf.c")...)
		command.Stdout, command.Stderr = os.Stderr, os.Stderr
		if err := command.Run(); err != nil {
			return fmt.Errorf("compile %s.bpf.c with %s: %w", name, clang, err)
		}
	}
	return nil
}

// findClang gives a clang of the version that is wanted: $CLANG, clang-14, clang.
func findClang() (path, why string) {
	found := ""
	for _, name := range []string{os.Getenv("CLANG"), "clang-" + clangVersion, "clang"} {
		if name == "" {
			continue
		}
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "-dumpversion").Output()
		if err != nil {
			continue
		}
		version := strings.TrimSpace(string(out))
		if major, _, _ := strings.Cut(version, "."); major == clangVersion {
			return path, ""
		}
		found = fmt.Sprintf(" (%s is %s)", name, version)
	}
	return "", "clang " + clangVersion + " not found" + found
}

// findStrip gives the llvm-strip of that version, too: what it leaves in an object
// may differ as well.
func findStrip() (string, error) {
	found := ""
	for _, name := range []string{"llvm-strip-" + clangVersion, "llvm-strip"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "--version").Output()
		if err == nil && strings.Contains(string(out), "LLVM version "+clangVersion+".") {
			return path, nil
		}
		found = fmt.Sprintf(" (%s is another version)", name)
	}
	return "", errors.New("llvm-strip " + clangVersion + " not found" + found)
}
