package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"mslab/chaos"
	"mslab/results"
)

// The formats of what chaos prints as JSON.
const (
	chaosSchema       = "mslab.chaos/v1"
	chaosStatusSchema = "mslab.chaos-status/v1"
)

// serverWatch is what a server counted while a fault lasted; the admin listener
// is another port, which a partition leaves alone.
type serverWatch struct {
	url           string // "" where the server cannot be read
	begin, change map[string]int64
}

// counterTimeout is for an answer of the admin listener of a busy server.
const counterTimeout = 2 * time.Second

func watchServer(ctx context.Context, admin string) *serverWatch {
	w := &serverWatch{url: admin}
	if admin == "" {
		return w
	}
	if counters, err := readCounters(ctx, admin); err == nil {
		w.begin = counters
	}
	return w
}

// end reads the counters again.
func (w *serverWatch) end(ctx context.Context) {
	if w.begin == nil {
		return
	}
	counters, err := readCounters(ctx, w.url)
	if err != nil {
		return
	}
	w.change = map[string]int64{}
	for name, value := range counters {
		w.change[name] = value - w.begin[name]
	}
}

// readCounters asks a server for its counters.
func readCounters(ctx context.Context, admin string) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, counterTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(admin, "/")+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", admin, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // never through a proxy
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", admin, err)
	}
	defer answer.Body.Close()
	var counters map[string]int64
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&counters); err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", admin, err)
	}
	return counters, nil
}

// watchedCounters are those that tell what a fault did, and what they are called.
var watchedCounters = []struct{ name, words string }{
	{"requests_total", "requests completed meanwhile"},
	{"overloaded_requests", "requests refused as overloaded"},
	{"connections_accepted", "connections accepted"},
	{"connections_refused", "connections refused"},
}

// renderChaos prints what came of a fault.
func renderChaos(w io.Writer, format string, s chaos.Status, healed bool, server *serverWatch) error {
	if format == formatJSON {
		return chaosJSON(w, s, healed, server)
	}
	return results.Render(w, format, []results.Table{chaosTable(s, healed, server)})
}

// instant prints a moment, and within what it is known.
func instant(at time.Time, within time.Duration) string {
	if at.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s (within %s)", at.Local().Format("15:04:05.000000"), results.FormatNS(float64(within)))
}

func chaosTable(s chaos.Status, healed bool, server *serverWatch) results.Table {
	title := fmt.Sprintf("%s of %s", s.Fault, s.Target)
	if s.Via != "" {
		title += " via " + s.Via
	}
	t := results.Table{
		Title:   title,
		Columns: []results.Column{{Key: "what", Title: "what", Left: true}, {Key: "value", Title: "came of it", Left: true}},
	}
	add := func(what, value string) {
		t.Rows = append(t.Rows, []results.Cell{results.TextCell(what), results.TextCell(value)})
	}
	add("injected at", instant(s.InjectedAt, s.InjectedWithin))
	if healed {
		add("healed at", instant(s.HealedAt, s.HealedWithin))
		add("lasted", results.FormatNS(float64(s.HealedAt.Sub(s.InjectedAt))))
	} else {
		add("healed at", "NOT HEALED: see mslab chaos heal")
	}
	add("verified", map[bool]string{true: "yes", false: "no: it had no effect"}[s.Verified])
	for _, f := range s.Evidence {
		if f.Words != "" { // the others are for programs
			add("evidence", f.Words)
		}
	}
	for _, c := range watchedCounters {
		if change, ok := server.change[c.name]; ok {
			add("server", fmt.Sprintf("%s: %d", c.words, change))
		}
	}
	return t
}

// chaosJSON prints {schema, fault, injected_at, healed_at, verified, verdict{}}.
func chaosJSON(w io.Writer, s chaos.Status, healed bool, server *serverWatch) error {
	verdict := map[string]any{
		"target": s.Target.String(), "healed": healed, "options": s.Options,
		"injected_within_ns": s.InjectedWithin.Nanoseconds(), "healed_within_ns": s.HealedWithin.Nanoseconds(),
	}
	for _, f := range s.Evidence {
		verdict[f.Key] = f.Value
	}
	if server.change != nil {
		verdict["server"] = server.change
	}
	doc := struct {
		Schema     string         `json:"schema"`
		Fault      string         `json:"fault"`
		InjectedAt string         `json:"injected_at"`
		HealedAt   *string        `json:"healed_at"`
		Verified   bool           `json:"verified"`
		Verdict    map[string]any `json:"verdict"`
	}{chaosSchema, s.Fault, s.InjectedAt.UTC().Format(time.RFC3339Nano), nil, s.Verified, verdict}
	if !s.HealedAt.IsZero() {
		at := s.HealedAt.UTC().Format(time.RFC3339Nano)
		doc.HealedAt = &at
		verdict["lasted_ns"] = s.HealedAt.Sub(s.InjectedAt).Nanoseconds()
	}
	return printChaosJSON(w, doc)
}

func printChaosJSON(w io.Writer, doc any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("print as JSON: %w", err)
	}
	return nil
}
