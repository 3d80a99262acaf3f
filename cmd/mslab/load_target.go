package main

import (
	"fmt"
	"slices"
	"strings"

	"mslab/results/record"
	"mslab/server/registry"
)

// choice is how a command lets its user name a server.
type choice struct {
	otherwise string // what to do where none runs, after "start one with mslab serve, or"
	by        string // what to give of one of several
}

// liveServer finds the one server that is running.
func liveServer(dir string, c choice) (registry.Entry, error) {
	entries, err := registry.List(dir)
	if err != nil {
		return registry.Entry{}, fmt.Errorf("find the live server: %w; %s", err, c.otherwise)
	}
	switch len(entries) {
	case 0:
		return registry.Entry{}, fmt.Errorf("find the live server: none is running; start one with mslab serve, or %s", c.otherwise)
	case 1:
		return entries[0], nil
	}
	var live []string
	for _, e := range entries {
		live = append(live, fmt.Sprintf("%s/metrics (phase %d %s, pid %d)", e.URL, e.Phase, e.Name, e.PID))
	}
	return registry.Entry{}, usagef("find the live server: several are running; give %s of one: %s", c.by, strings.Join(live, ", "))
}

// serverByPID finds a registered server by its process.
func serverByPID(dir string, pid int) (registry.Entry, error) {
	entries, err := registry.List(dir)
	if err != nil {
		return registry.Entry{}, fmt.Errorf("find server with pid %d: %w", pid, err)
	}
	i := slices.IndexFunc(entries, func(e registry.Entry) bool { return e.PID == pid })
	switch {
	case i >= 0:
		return entries[i], nil
	case !registry.Running(pid):
		return registry.Entry{}, fmt.Errorf("find server with pid %d: there is no such process", pid)
	}
	return registry.Entry{}, fmt.Errorf("find server with pid %d: the process is no server that mslab serve has registered for this user", pid)
}

// subjectOf describes a registered server in a record.
func subjectOf(e registry.Entry) record.Subject {
	phase := e.Phase
	return record.Subject{Name: e.Name, Phase: &phase, URL: e.URL + "/metrics"}
}
