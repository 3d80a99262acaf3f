package loadgen

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestClientIDsComeInTurn wants each of many names as often as the others, whatever
// connections there are, and requests otherwise whole.
func TestClientIDsComeInTurn(t *testing.T) {
	for name, drive := range engines() {
		for loop, plan := range map[string]Plan{
			"closed":    {Clients: 7, Requests: 2000},
			"open":      {Clients: 3, Requests: 2000, Rate: 1500},
			"ends":      {Clients: 7, Requests: 2000, RequestsPerConnection: 2},
			"of ledger": {Clients: 7, Requests: 2000, Ledger: io.Discard},
		} {
			var mu sync.Mutex
			names, ids := map[string]int{}, map[string]bool{}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				names[r.Header.Get("Authorization")]++
				ids[r.Header.Get("X-Correlation-ID")] = true
				mu.Unlock()
				_, _ = io.WriteString(w, good)
			}))
			plan.URL, plan.Metrics, plan.ClientIDs = server.URL, 3, 1000
			r := runOn(t, context.Background(), drive, plan)
			server.Close()
			for id := range 1000 {
				if n := names[fmt.Sprintf("load_client_%03d", id)]; n != 2 {
					t.Fatalf("%s, %s: client %d occurs %d times, want twice", name, loop, id, n)
				}
			}
			if r.Counts.OK != 2000 || len(names) != 1000 || r.Load.ClientIDs != 1000 || plan.Ledger != nil && len(ids) != 2000 {
				t.Errorf("%s, %s: counts %+v, %d names, %d ids, load %+v", name, loop, r.Counts, len(names), len(ids), r.Load)
			}
		}
	}
}

// TestNamesAndIDsTakeNoOtherPlace wants what looks like a name or an ID elsewhere in
// a request left as it is.
func TestNamesAndIDsTakeNoOtherPlace(t *testing.T) {
	p := Plan{URL: "http://127.0.0.1:1/Authorization:%20load_client_00/X-Correlation-ID:%20", Clients: 1, Requests: 1, Metrics: 3, ClientIDs: 50, Ledger: io.Discard,
		Header: http.Header{"A": {"load_client_00", "Authorization: load_client_00", "X-Correlation-ID: 0000000000000000-000000000000"}}}.withDefaults()
	target, err := parseTarget(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	scripts, ids := newScripts(p, target), newCorrelation(1, 2)
	scripts[0].take(ids.next(), false)
	id := string(ids.next())
	request := string(scripts[0].take([]byte(id), false))
	for _, want := range []string{"\r\nAuthorization: load_client_01\r\n", "\r\nX-Correlation-ID: " + id + "\r\n",
		"/Authorization:%20load_client_00/X-Correlation-ID:%20 HTTP", "\r\nA: load_client_00\r\n", "\r\nA: Authorization: load_client_00\r\n",
		"\r\nA: X-Correlation-ID: 0000000000000000-000000000000\r\n"} {
		if !strings.Contains(request, want) {
			t.Errorf("%q is not in %q", want, request[:400])
		}
	}
}

func TestOneClientID(t *testing.T) {
	names := newClientNames(1)
	b := []byte("x")
	names.write(b)
	names.write(b)
	if string(b) != "0" || names.first() != "load_client_0" {
		t.Errorf("%q and %q", b, names.first())
	}
}

func TestHosts(t *testing.T) {
	host := regexp.MustCompile(`server_(\d+)`)
	seen := map[string]bool{}
	rng := bodyRand(1, 0)
	for range 2000 {
		seen[string(host.Find(appendBody(nil, rng, 1, 5)))] = true
	}
	if len(seen) != 5 || !seen["server_1"] || !seen["server_5"] {
		t.Errorf("of five hosts bodies have %v", seen)
	}
}

// TestTakeAllocatesNothing holds what each request of the raw engine goes through.
func TestTakeAllocatesNothing(t *testing.T) {
	p := Plan{URL: "http://127.0.0.1:1/", Clients: 2, Requests: 1, Metrics: 3, ClientIDs: 10_000, RequestsPerConnection: 3, Ledger: io.Discard}.withDefaults()
	target, err := parseTarget(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	scripts, ids, think := newScripts(p, target), newCorrelation(1, 2), newThinker(&p)
	if n := testing.AllocsPerRun(1000, func() { scripts[0].take(ids.next(), true); think.next() }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
