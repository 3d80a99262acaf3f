//go:build !linux

package main

import "os/exec"

// startOn starts a command on any core.
func startOn(cmd *exec.Cmd, _ int) error { return cmd.Start() }
