package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mslab/results"
	"mslab/results/record"
)

// printLoad prints a record: as it is stored for JSON, else as tables, and for
// the terminal with what the tables cannot say in figures.
func printLoad(w io.Writer, format string, r *record.Record) error {
	if format == formatJSON {
		return writeRecord(w, r)
	}
	if format == formatBenchstat {
		return results.RenderLoadBenchstat(w, r)
	}
	tables := results.LoadTables(r)
	if format != formatTable {
		return results.Render(w, format, tables)
	}
	tables[0].Title = loadTitle(r)
	tables[1].Title = latencyTitle(r.Latency.Kind)
	var above strings.Builder
	if err := results.Render(&above, format, tables); err != nil {
		return err
	}
	below := loadText(r)
	room := screenRows(w) - 1 - strings.Count(above.String()+below, "\n") // a line for the prompt
	_, err := io.WriteString(w, above.String()+loadChart(r, room)+below)
	return err
}

// loadText says in words what ended how, and what the generator did.
func loadText(r *record.Record) string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		b.WriteString(results.Wrap(label+": "+fmt.Sprintf(format, args...)) + "\n")
	}
	b.WriteString("\n")
	if r.Incomplete {
		line("INCOMPLETE", "interrupted; these are the figures so far")
	}
	c := r.Counts
	for _, l := range openLoopText(r) {
		line(l[0], "%s", l[1])
	}
	line("requests", "%d sent: %d ok, %d failed, %d in flight; %d of the failed in doubt", c.Sent, c.OK, c.Failed, c.InFlight, c.InDoubt)
	if retry := r.Load.Retry; retry != nil {
		line("retries", "%d of the requests sent were further attempts, %d failed with their last; %s", c.Retries, c.Exhausted, retry.Text())
	}
	for _, class := range failures(c) {
		line(string(class), "%d, %s", c.ByClass[class], explanationOf(class).words)
	}
	if r.Load.Arrival == "closed" {
		line("connections", "%d opened by %d clients", c.Connects, r.Load.Clients)
	} else {
		line("connections", "%d opened, %d to start with", c.Connects, r.Load.Clients)
	}
	if f := r.FirstWait; f != nil && f.Count > 0 {
		line("each client's first request", "p50 %s, p99 %s, max %s", duration(f.P50), duration(f.P99), duration(f.Max))
	}
	line("generator", "%s CPU a request, scheduling lag p99 %s, %d GC pauses",
		results.FormatNS(r.Client.CPUPerRequest), duration(r.Client.SchedLagP99), r.Client.GCPauses)
	line("verdict", "%s", verdictText(r.Verdict))
	return b.String()
}

func loadTitle(r *record.Record) string {
	name := r.Subject.URL
	if r.Subject.Phase != nil {
		name = fmt.Sprintf("phase %d %s at %s", *r.Subject.Phase, r.Subject.Name, r.Subject.URL)
	}
	connections := "kept connections"
	if r.Load.Connection == "new" {
		connections = "a new connection for each request"
	}
	if n := r.Load.RequestsPerConnection; n > 0 {
		connections = "connections of " + plural(n, "request")
	}
	return fmt.Sprintf("%s: %s, %s, %s measured", name, loadShape(r.Load), connections, results.FormatNS(r.Load.DurationS*1e9))
}

func latencyTitle(kind string) string {
	if kind == "response" {
		return "response time, from the intended start to the answer"
	}
	return "service time (closed loop), from the send or the connect to the answer"
}

func duration(ns int64) string { return results.FormatNS(float64(ns)) }

func verdictText(v record.Verdict) string {
	text := "valid, comparable"
	switch {
	case !v.Valid:
		text = "INVALID"
	case !v.Comparable:
		text = "valid, NOT comparable with other runs"
	}
	if len(v.Reasons) > 0 {
		text += ": " + strings.Join(v.Reasons, "; ")
	}
	if v.Bottleneck != "" {
		text += "; bottleneck: " + v.Bottleneck
	}
	return text
}

// failures lists the classes that occurred, the most frequent first.
func failures(c record.Counts) []record.Class {
	var classes []record.Class
	for _, class := range record.Classes {
		if class != record.OK && c.ByClass[class] > 0 {
			classes = append(classes, class)
		}
	}
	slices.SortStableFunc(classes, func(a, b record.Class) int { return cmp.Compare(c.ByClass[b], c.ByClass[a]) })
	return classes
}

// noSuccess says why a load without a successful request failed.
func noSuccess(r *record.Record) error {
	classes := failures(r.Counts)
	if len(classes) == 0 {
		return errors.New("no request succeeded: none was answered before the load ended; give it a longer --duration")
	}
	why := explanationOf(classes[0])
	return fmt.Errorf("no request succeeded: %d of %d ended as %s (%s); %s", r.Counts.ByClass[classes[0]], r.Counts.Sent, classes[0], why.words, why.advice)
}

// explanation says what a class means and what to do where it is all there is.
type explanation struct{ words, advice string }

func explanationOf(class record.Class) explanation {
	if e, known := explanations()[class]; known {
		return e
	}
	return explanation{string(class), "look at the server's log"}
}

func explanations() map[record.Class]explanation {
	return map[record.Class]explanation{
		record.ConnectRefused: {"nothing listens there", "start the server (mslab serve) or correct the URL"},
		record.ConnectTimeout: {"no connection within the timeout", "check the address, or whether the server's accept queue is full; --timeout waits longer"},
		record.NoLocalPort:    {"no free local port or address", "use --connection keep, or fewer requests a second"},
		record.Reset:          {"the connection was reset", "check that the server is up and speaks plain HTTP on this port"},
		record.BrokenPipe:     {"the connection was closed while the request was sent", "check what the server accepts, above all the size of the body"},
		record.EOFBefore:      {"the connection ended before an answer", "check that the server speaks HTTP on this port, and its log"},
		record.EOFIn:          {"the connection ended inside the answer", "look at the server's log"},
		record.ShortRead:      {"the answer's body was shorter than announced", "look at the server's log"},
		record.Malformed:      {"the answer is not HTTP/1.1", "check that the server speaks HTTP/1.1 on this port"},
		record.ReadTimeout:    {"no answer within the timeout", "check whether the server hangs; --timeout waits longer"},
		record.Shed:           {"no connection became free in time", "give more --max-connections, or a lower --rate"},
		record.Status3xx:      {"the server redirected", "give the URL that it redirects to"},
		record.Status4xx:      {"the server refused the request", "check URL, --method and body"},
		record.Status429:      {"the client went over its rate limit", "start the server with a higher --rate-limit"},
		record.Status5xx:      {"the server failed", "look at the server's log"},
		record.Status503:      {"the server was overloaded", "give fewer --clients or a lower --rate"},
		record.BodyMismatch:   {"answered 2xx, but not that all was stored", "check that the URL is a metrics endpoint, such as http://HOST:PORT/metrics"},
	}
}
