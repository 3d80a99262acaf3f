package main

import (
	"fmt"
	"strings"

	"mslab/results/record"
	"mslab/server/registry"
)

// liveServer finds the one server that is running.
func liveServer(dir string) (registry.Entry, error) {
	entries, err := registry.List(dir)
	if err != nil {
		return registry.Entry{}, fmt.Errorf("find the live server: %w; give its URL", err)
	}
	switch len(entries) {
	case 0:
		return registry.Entry{}, fmt.Errorf("find the live server: none is running; start one with mslab serve, or give a URL")
	case 1:
		return entries[0], nil
	}
	var live []string
	for _, e := range entries {
		live = append(live, fmt.Sprintf("%s/metrics (phase %d %s, pid %d)", e.URL, e.Phase, e.Name, e.PID))
	}
	return registry.Entry{}, usagef("find the live server: several are running; give the URL of one: %s", strings.Join(live, ", "))
}

// subjectOf describes a registered server in a record.
func subjectOf(e registry.Entry) record.Subject {
	phase := e.Phase
	return record.Subject{Name: e.Name, Phase: &phase, URL: e.URL + "/metrics"}
}
