// Package doctor finds out what works on this machine by trying it: a check
// pins a thread, makes a namespace, loads a BPF program, and takes it back. No
// check touches the host's firewall or its settings, and none goes by a version
// number.
//
// A new check is a function and a line in the list of its system.
package doctor

import (
	"context"
	"errors"
	"os"
	"time"

	"mslab/results"
)

const (
	// limitEach and limitAll bound how long a check and all of them may take.
	limitEach = time.Second
	limitAll  = 5 * time.Second
	// grace is for a check whose child was killed to say so.
	grace = 100 * time.Millisecond

	onceMore = "run mslab doctor once more, when the machine is less busy"
)

// Options says where a program like ours keeps things, and how it is run once
// more.
type Options struct {
	// Again is the command line, without the program, that ends in a call of
	// Inside with one more argument.
	Again []string
	// Folders are written to: what each is for, and its path. One that does not
	// exist is looked for in the folders above it.
	Folders []Folder
}

// Folder is a folder that must take files.
type Folder struct {
	Name string // of the check
	Path string
	Free int64 // bytes wanted
}

// Run makes the checks one after the other, each within 1 s and all within 5 s,
// and returns them all, or where ctx ends those made until then. A check that
// does not come back in time, or panics, has failed. One that hangs in a system
// call cannot be called back: it ends with the process.
func Run(ctx context.Context, checks []results.Check) []results.Checked {
	bounded, cancel := context.WithTimeout(ctx, limitAll)
	defer cancel()
	made := make([]results.Checked, 0, len(checks))
	for _, c := range checks {
		found := try(bounded, c)
		if ctx.Err() != nil {
			break // interrupted: what was cut short is not broken
		}
		made = append(made, results.Checked{Name: c.Name, Finding: found})
	}
	return made
}

func try(ctx context.Context, c results.Check) results.Finding {
	if ctx.Err() != nil {
		return results.Fails(onceMore,
			"not tried: the checks before it used up the time (%s)", limitAll)
	}
	ctx, cancel := context.WithTimeout(ctx, limitEach)
	defer cancel()
	found := make(chan results.Finding, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				found <- results.Fails("please report it together with the system's name and version", "the check itself broke: %v", r)
			}
		}()
		found <- c.Try(ctx)
	}()
	select {
	case f := <-found:
		return f
	case <-ctx.Done():
	}
	select {
	case f := <-found:
		return f
	case <-time.After(grace):
		return results.Fails(onceMore, "tried, and nothing came back within %s", limitEach)
	}
}

// needRoot says how to get a right that the kernel refused.
func needRoot() string {
	if os.Geteuid() != 0 {
		return "run mslab with sudo"
	}
	return "this root lacks the capability: run outside of the container, or give it more rights"
}

// cause is an error without the operation and the path, which a finding names
// itself.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
