package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mslab/scenarios"
)

// The values of --sandbox.
const (
	sandboxAuto = "auto"
	sandboxOn   = "on"
	sandboxOff  = "off"
)

var sandboxModes = []string{sandboxAuto, sandboxOn, sandboxOff}

func checkSandbox(mode string) error {
	if !slices.Contains(sandboxModes, mode) {
		return usagef("--sandbox %q: want auto, on or off", mode)
	}
	return nil
}

// checkWanted refuses to play on the host what cannot be played there.
func checkWanted(mode string, plan *scenarios.Plan) error {
	if running := plan.RunsAlready(); len(running) > 0 && scenarios.Inside() == scenarios.NoSandbox {
		switch {
		case mode == sandboxOn:
			return usagef("--sandbox on: %s runs already, on a network that a sandbox does not lead to", strings.Join(running, ", "))
		case plan.Namespace():
			return usagef("scenario %s wants a network namespace of its own, which does not lead to %s", plan.Record.Scenario, strings.Join(running, ", "))
		}
	}
	if mode == sandboxOff && plan.Namespace() {
		return usagef("--sandbox off: scenario %s wants a network namespace of its own", plan.Record.Scenario)
	}
	return nil
}

// chooseSandbox finds the sandbox that the plan has to be played in from here:
// none where this process is inside of one already, or where it is to be played
// on the host, which the plan then notes.
func chooseSandbox(ctx context.Context, mode string, plan *scenarios.Plan) (scenarios.Sandbox, error) {
	switch {
	case scenarios.Inside() != scenarios.NoSandbox, mode == sandboxOff, len(plan.RunsAlready()) > 0:
		return scenarios.NoSandbox, nil
	}
	sandbox, err := scenarios.FindSandbox(ctx)
	switch {
	case err == nil:
		return sandbox, nil
	case ctx.Err() != nil:
		return scenarios.NoSandbox, err
	case plan.Namespace():
		return scenarios.NoSandbox, fmt.Errorf("play %s in the sandbox that it wants: %w", plan.Record.Scenario, err)
	case mode == sandboxOn:
		return scenarios.NoSandbox, fmt.Errorf("play in a sandbox: %w", err)
	}
	plan.Notes = append(plan.Notes, fmt.Sprintf("Played on the host's network, since no sandbox works here: %v.", err))
	return scenarios.NoSandbox, nil
}

// playInside runs this program once more in the sandbox. It must not read from
// the terminal, which belongs to this process.
func playInside(cmd *cobra.Command, sandbox scenarios.Sandbox, args []string) error {
	code, err := sandbox.Run(cmd.Context(), args, scenarios.Stdio{Out: uncheckedWriter(cmd.OutOrStdout()), Err: cmd.ErrOrStderr()})
	if err != nil || code == exitFine {
		return err
	}
	return alreadySaid(code)
}

// uncheckedWriter is what is below the check of the output, so that a file is
// handed on as it is. The program that writes to it makes the check.
func uncheckedWriter(w io.Writer) io.Writer {
	if checked, ok := w.(*checkedWriter); ok {
		return checked.w
	}
	return w
}
