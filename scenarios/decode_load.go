package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
)

// maxClients is the most clients that a load may have, one for each port.
const maxClients = 65536

// loadValue reads a load on top of what is there.
func (d decoder) loadValue(to *Load, what string) value {
	sub := func(key string) string { return what + "." + key }
	sliced := false
	fields := []field{
		{"connection", "keep one connection a client, or open a new one for each request (default new)", d.connection(to, sub("connection"))},
		{"slice", "the length of a slice, where nothing else bounds the load (default 500ms)",
			d.duration(&to.Slice, sub("slice"), 10*time.Millisecond, maxSlice).reading(func(ast.Node) { sliced = true })},
		{"deadline", "answers later than this are counted apart (default 250ms)", d.duration(&to.Deadline, sub("deadline"), time.Microsecond, record.Longest)},
		{"timeout", "what ends a request that takes longer (default 5s)", d.duration(&to.Timeout, sub("timeout"), time.Millisecond, record.Longest)},
		{"warmup", "load before the measured time (default 300ms)", d.duration(&to.Warmup, sub("warmup"), 0, time.Minute)},
		{"think", "the pause between an answer and the client's next request (default 0s)", d.duration(&to.Think, sub("think"), 0, time.Minute)},
		{"seed", "the seed of the orders and of the bodies (default 1)", number(d, &to.Seed, sub("seed"), 0, 1<<62)},
		{"clients", "concurrent clients; of a list, each number is a load of its own (default 20)", d.clients(&to.Clients, sub("clients"))},
		{"rates", "requests a second that come due whatever the server does, an open loop; each number is a load of its own", d.rates(&to.Rates, sub("rates"))},
		{"duration", "play one stretch of this length", d.duration(&to.Duration, sub("duration"), 10*time.Millisecond, maxLoad)},
		{"requests", "play one stretch of this many requests in all", number(d, &to.Requests, sub("requests"), 1, 1e12)},
		{"requests-per-client", "play one stretch of this many requests of each client", number(d, &to.RequestsPerClient, sub("requests-per-client"), 1, 1e9)},
		{"metrics", "metrics in a body of the original's shape, for phases (default 3)", number(d, &to.Metrics, sub("metrics"), 1, 1000)},
		{"same-client", "let all connections be one client to the limiter", d.flag(&to.SameClient, sub("same-client"))},
	}
	return d.object(what, fields...).reading(func(ast.Node) { sliced = false }).checked(func(n ast.Node) error {
		switch bound := to.bound(); {
		case to.Requests > 0 && to.RequestsPerClient > 0:
			return d.errorf(n, "%s: requests and requests-per-client exclude each other", what)
		case to.Duration > 0 && (to.Requests > 0 || to.RequestsPerClient > 0):
			return d.errorf(n, "%s: duration and a number of requests exclude each other", what)
		case len(to.Rates) > 0 && to.Think > 0:
			return d.errorf(n, "%s: rates and think exclude each other; an open loop's schedule says when requests start", what)
		case len(to.Rates) > 0 && to.RequestsPerClient > 0:
			return d.errorf(n, "%s: rates and requests-per-client exclude each other; bound an open loop by requests or duration", what)
		case sliced && bound == "requests":
			return d.errorf(n, "%s: slice and a number of requests exclude each other", what)
		case sliced && bound != "":
			return d.errorf(n, "%s: slice and duration exclude each other; with a duration the load plays as one stretch", what)
		}
		return nil
	})
}

// connections are the words for them.
func connections() []string { return []string{string(loadgen.Keep), string(loadgen.New)} }

func (d decoder) connection(to *Load, what string) value {
	word := new(string)
	return d.choice(word, what, connections()...).checked(func(ast.Node) error {
		to.Connection, to.Connections = loadgen.Connection(*word), nil
		return nil
	})
}

// clients reads one number or a list of them.
func (d decoder) clients(to *[]int, what string) value {
	var count int
	var counts []int
	one := number(d, &count, what, 1, maxClients)
	one.shape.Description = ""
	return d.several(what, one, func() { counts = nil; *to = nil }, func() bool {
		if slices.Contains(*to, count) {
			return true
		}
		counts = append(counts, count)
		*to = counts
		return false
	})
}

// rates reads one rate or a list of them.
func (d decoder) rates(to *[]float64, what string) value {
	var rate float64
	one := value{
		shape{Type: "number", Minimum: bound(1), Maximum: bound(loadgen.MaxRate)},
		func(n ast.Node) error {
			switch n.(type) {
			case *ast.IntegerNode, *ast.FloatNode:
				rate, _ = results.ParseFraction(n.GetToken().Value)
			default:
				return d.errorf(n, "%s: want a number of requests a second, have %s", what, kind(n))
			}
			if !(rate >= 1 && rate <= loadgen.MaxRate) {
				return d.errorf(n, "%s: want from 1 to %.0f requests a second, have %s", what, loadgen.MaxRate, n.GetToken().Value)
			}
			return nil
		},
	}
	return d.several(what, one, func() { *to = nil }, func() bool {
		if slices.Contains(*to, rate) {
			return true
		}
		*to = append(*to, rate)
		return false
	})
}

// variants are the loads that an arm plays: each number of clients at each rate
// on each kind of connection.
func (l Load) variants() []Load {
	kinds := l.Connections
	if len(kinds) == 0 {
		kinds = []loadgen.Connection{l.Connection}
	}
	rates := [][]float64{nil} // a closed loop
	if len(l.Rates) > 0 {
		rates = nil
		for _, r := range l.Rates {
			rates = append(rates, []float64{r})
		}
	}
	var all []Load
	for _, kind := range kinds {
		for _, rate := range rates {
			for _, clients := range l.Clients {
				one := l
				one.Clients, one.Rates, one.Connection, one.Connections = []int{clients}, rate, kind, nil
				all = append(all, one)
			}
		}
	}
	return all
}

// describeVariants names the variants in words: "20/50 clients, keep/new connections".
func describeVariants(loads []Load) string {
	var clients, kinds, rates []string
	for _, l := range loads {
		if word := fmt.Sprint(l.Clients[0]); !slices.Contains(clients, word) {
			clients = append(clients, word)
		}
		if len(l.Rates) > 0 {
			if word := fmt.Sprint(l.Rates[0]); !slices.Contains(rates, word) {
				rates = append(rates, word)
			}
		}
		if word := string(l.Connection); !slices.Contains(kinds, word) {
			kinds = append(kinds, word)
		}
	}
	out := strings.Join(clients, "/") + " clients, " + strings.Join(kinds, "/") + " connections"
	if len(rates) > 0 {
		out += ", " + strings.Join(rates, "/") + " requests/s"
	}
	return out
}
