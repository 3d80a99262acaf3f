package results

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"mslab/results/record"
)

// leastCommon is the share of the time in which any machine measured that all
// of them must have measured in. Below, the rate is one of different numbers of
// machines at different times: it would be more than a twentieth too low.
const leastCommon = 0.95

// ErrTwice is the error of a load that would be counted twice.
var ErrTwice = errors.New("it would be counted twice")

// MergeLoads adds up what `mslab load -o` wrote on several machines that loaded
// one server together; record.MergeMachines says how. It refuses what cannot be
// added up: trials of runs, sums made before, one record twice (ErrTwice), loads
// of other servers or of another shape. How many clients, requests or requests a
// second a machine offered may differ, since these add up. The sum is not
// comparable where its rates are those of no one load: where the machines did
// not measure at the same time, or drew the same random arrivals.
func MergeLoads(parts ...record.Part) (*record.Record, error) {
	for i, p := range parts {
		if err := soleLoad(p.Record); err != nil {
			return nil, fmt.Errorf("merge %s: %w", p.File, err)
		}
		for _, before := range parts[:i] {
			if reflect.DeepEqual(before.Record, p.Record) {
				return nil, fmt.Errorf("merge %s: it is the same record as %s: %w; give each once", p.File, before.File, ErrTwice)
			}
		}
		if differences := unlikeMachines(parts[0].Record, p.Record); len(differences) > 0 {
			words := make([]string, len(differences))
			for j, d := range differences {
				words[j] = fmt.Sprintf("%s %q there, %q here", d.What, d.Base, d.Candidate)
			}
			return nil, fmt.Errorf("merge %s: it is of another load than %s: %s; merge what loaded one server in one way", p.File, parts[0].File, strings.Join(words, "; "))
		}
	}
	sum, err := record.MergeMachines(parts...)
	if err != nil {
		return nil, err
	}
	for _, why := range []string{apart(sum.Merged), inStep(parts)} {
		if why != "" {
			sum.Verdict.Comparable = false
			sum.Verdict.Reasons = append(sum.Verdict.Reasons, why)
		}
	}
	return sum, nil
}

// soleLoad refuses records that are of something else than one machine's load.
func soleLoad(r *record.Record) error {
	switch {
	case r.Merged != nil:
		return fmt.Errorf("it is the sum of %d records already; merge those that it was made of", len(r.Merged.Machines))
	case r.Scenario != "" || r.Arm != "" || r.Block != 0 || len(r.Slices) > 0 || r.Server != nil:
		return errors.New("it is a trial of a run; merge what mslab load -o wrote")
	case r.Counts.Sent == 0 && r.Load.DurationS == 0:
		return errors.New("nothing was measured, since the load ended before its measured time; leave it out")
	}
	return nil
}

// unlikeMachines lists in what two loads differ that do not add up.
func unlikeMachines(a, b *record.Record) []Difference {
	var out []Difference
	add := func(what string, x, y any) {
		if of, to := fmt.Sprint(x), fmt.Sprint(y); of != to {
			out = append(out, Difference{what, of, to})
		}
	}
	phase := func(s record.Subject) string {
		if s.Phase == nil {
			return "none"
		}
		return fmt.Sprint(*s.Phase)
	}
	add("URL", a.Subject.URL, b.Subject.URL)
	if len(out) == 0 { // else it is said once more: the name of a URL is the URL
		add("name", a.Subject.Name, b.Subject.Name)
	}
	add("phase", phase(a.Subject), phase(b.Subject))
	add("recipe", a.Subject.Recipe, b.Subject.Recipe) // fmt prints maps in the order of their keys
	add("command", a.Subject.Command, b.Subject.Command)
	add("request", a.Subject.Request, b.Subject.Request)
	l, m := a.Load, b.Load
	add("arrival", l.Arrival, m.Arrival)
	add("number of rates", len(l.Rates), len(m.Rates))
	add("connection", l.Connection, m.Connection)
	add("requests per client", l.RequestsPerClient, m.RequestsPerClient)
	add("bound", boundOf(l), boundOf(m))
	add("warm-up", formatSeconds(l.WarmupS), formatSeconds(m.WarmupS))
	add("requests per connection", l.RequestsPerConnection, m.RequestsPerConnection)
	add("think time", time.Duration(l.ThinkNS), time.Duration(m.ThinkNS))
	add("distribution of the think time", l.ThinkDistribution, m.ThinkDistribution)
	add("retries", l.Retry.Text(), m.Retry.Text())
	add("deadline", time.Duration(l.DeadlineNS), time.Duration(m.DeadlineNS))
	add("timeout", time.Duration(l.TimeoutNS), time.Duration(m.TimeoutNS))
	add("metrics a body", l.Metrics, m.Metrics)
	add("client ids", l.ClientIDs, m.ClientIDs)
	add("hosts", l.Hosts, m.Hosts)
	add("latency", a.Latency.Kind, b.Latency.Kind)
	return out
}

// boundOf is what ends a load.
func boundOf(l record.Load) string {
	if l.Requests > 0 {
		return "requests"
	}
	if l.RequestsPerClient > 0 {
		return "requests per client"
	}
	return "duration"
}

func formatSeconds(s float64) string { return FormatNS(s * 1e9) }

// apart says that the machines did not measure at the same time, "" where they
// did.
func apart(m *record.Merged) string {
	if m.UnionS == 0 || m.CommonS >= leastCommon*m.UnionS {
		return ""
	}
	return fmt.Sprintf("by their clocks the %d machines measured together for %s of the %s in which any did, so that the rate is not that of all; start them together with --start-at, for the same --duration, with clocks in step",
		len(m.Machines), formatSeconds(m.CommonS), formatSeconds(m.UnionS))
}

// inStep says that machines drew the same random arrivals: requests that come
// due at the same moments on all are no Poisson process of the summed rate.
func inStep(parts []record.Part) string {
	by := map[[2]float64]string{}
	for _, p := range parts {
		l := p.Record.Load
		if l.Arrival != "poisson" {
			return ""
		}
		key := [2]float64{float64(l.Seed), l.Rate}
		if before, taken := by[key]; taken {
			return fmt.Sprintf("%s and %s drew the same random arrivals (seed %d), so that their requests came in pairs; give each machine a --seed of its own", before, p.File, l.Seed)
		}
		by[key] = p.File
	}
	return ""
}

// machinesTables draw the parts of a sum, a row a machine; none where the record
// is that of one.
func machinesTables(r *record.Record) []Table {
	m := r.Merged
	if m == nil {
		return nil
	}
	t := Table{Title: "machines", Columns: []Column{
		{Key: "file", Title: "record", Left: true},
		{Key: "offset_s", Title: "started after", Unit: "s"},
		{Key: "duration_s", Title: "for", Unit: "s"},
		{Key: "clients", Title: "clients"},
		{Key: "sent", Title: "sent"},
		{Key: "rps_ok", Title: "ok/s", Unit: "1/s"},
		{Key: "p99", Title: "p99", Unit: "ns"},
		{Key: "cpu_ns_per_request", Title: "CPU/request", Unit: "ns", Extra: true},
		{Key: "sched_lag_ns_p99", Title: "lag p99", Unit: "ns"},
	}}
	for _, p := range m.Machines {
		t.Rows = append(t.Rows, []Cell{
			TextCell(p.File), FigureCell(p.OffsetS, formatSeconds), FigureCell(p.DurationS, formatSeconds), FigureCell(float64(p.Clients), formatCount),
			FigureCell(float64(p.Sent), formatCount), FigureCell(p.RPSOK, formatCount), FigureCell(float64(p.P99), FormatNS),
			FigureCell(p.CPUPerRequest, FormatNS), FigureCell(float64(p.SchedLagP99), FormatNS),
		})
	}
	t.Notes = []string{fmt.Sprintf("By their own clocks the machines started up to %s apart; a difference of the clocks is part of that. Rates are over the %s in which at least one measured; all did for %s of it.",
		formatSeconds(m.StartsApartS), formatSeconds(m.UnionS), formatSeconds(m.CommonS)),
		"Percentiles are of the histograms of all added up; CPU a request is weighted by requests; the scheduling lag is the largest, and so are the percentiles of each second."}
	return []Table{t}
}
