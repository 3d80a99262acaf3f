package scenarios

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// full uses every key there is.
const full = `# a comment first
name: everything
about: Every key at once.
namespace: true
matrix: {subject: [3, linear-json, 5], clients: [20, 50]}
arms:
  ranked:
    about: sliced
    listen: backlog1024
    exec: pool
    gomaxprocs: 4
    gogc: off
    sink: sync
    ack: written
    parse: linear
    limiter: shards
    events: ring
    guard: queue
    conn: keep
    rate-limit: 10000
    sink-delay: 1ms
    max-threads: 100
    load: {connection: keep, slice: 300ms, same-client: true, metrics: 300}
    blocks: 9
    slices: 2
    ranked: true
  told:
    load: {clients: 7, requests-per-client: 100, think: 5ms}
    sysctls: {net.ipv4.tcp_abort_on_overflow: 1}
    steer: server
  broken:
    load: {duration: 20s, timeout: 10s}
    faults:
      - {at: 12s, for: 500ms, partition: {port: 8080, via: iptables, chain: OUTPUT}}
      - {at: 5s, for: 5s, partition: {port: server, via: nft}}
      - {at: 10s, for: 2s, partition: }
  plain:
load: {connection: new, slice: 500ms, deadline: 100ms, timeout: 2s, warmup: 300ms, seed: 9}
repeat: {blocks: 12, slices: 6}
probes: [netstat]
compare: [[3, 5]]
sysctls: {net.ipv4.tcp_syncookies: 1}
assert: [ success.http>=99.9%, "latency.p99  < 50ms where phase = 3 and arm=told" ]
`

// multiplied uses the keys that full cannot, since they exclude others.
const multiplied = `# yaml-language-server: $schema=scenario.schema.json
name: multiplied
namespace: true
matrix:
  subject:
    - 3
    - {name: mine, phase: serial}
    - {name: old, command: "./a --port {port}", ready: /health, ready-timeout: 5s, path: /p, method: POST, body: "{}", header: {X-A: b}}
    - {name: new, command: [./b, -v, 2], port: 8000, body-file: decode_test.go}
    - {name: there, url: "http://127.0.0.1:8001/"}
  connection: [keep, new]
  rates: [500, 1000.5]
  parse: [quadratic, linear]
  gomaxprocs: [1, auto]
  sysctls: {net.core.somaxconn: [10, 4096], net.ipv4.tcp_abort_on_overflow: 1}
arms:
  a: {precision: 0.5%, budget: 2m, ranked: true}
  b: {load: {clients: [3, 4]}}
  c: {load: {duration: 9s}, faults: [{at: 0, for: 1s, partition: {direction: in}}, {at: 2s, for: 1s, memory: {mode: hog, limit: 64MiB, blocks: 100, block-size: 1MiB}}, {at: 4s, for: 1s, memory: {headroom: 4MiB, oom: pause}}]}
  d: {load: {requests: 100, rates: 700}}
precision: 0.02
budget: 20m
assert: ["server.cpu_ns_per_request < 1ms where subject = old", "server.rss_max_bytes < 1GiB where connection = keep"]
compare: [[old, new]]
`

func TestDecodeMatrix(t *testing.T) {
	s, err := Decode("f.yaml", []byte(multiplied))
	if err != nil {
		t.Fatal(err)
	}
	var subjects, arms []string
	for _, spec := range s.Subjects {
		subjects = append(subjects, fmt.Sprint(spec.Name, spec.Overrides))
	}
	for _, arm := range s.Arms {
		arms = append(arms, fmt.Sprint(arm.Name, arm.Sysctls, arm.Precision, arm.Budget, len(arm.Load.variants())))
	}
	const on = "net.ipv4.tcp_abort_on_overflow:1] "
	for what, c := range map[string]struct{ got, want string }{
		"subjects": {strings.Join(subjects, "\n"), `linear-json+quadratic+gomaxprocs-1map[gomaxprocs:1 parse:quadratic]
linear-json+quadratic+gomaxprocs-automap[gomaxprocs:auto parse:quadratic]
linear-json+linear+gomaxprocs-1map[gomaxprocs:1 parse:linear]
linear-json+linear+gomaxprocs-automap[gomaxprocs:auto parse:linear]
mine+quadratic+gomaxprocs-1map[gomaxprocs:1 parse:quadratic]
mine+quadratic+gomaxprocs-automap[gomaxprocs:auto parse:quadratic]
mine+linear+gomaxprocs-1map[gomaxprocs:1 parse:linear]
mine+linear+gomaxprocs-automap[gomaxprocs:auto parse:linear]
oldmap[]
newmap[]
theremap[]`},
		"arms": {strings.Join(arms, "\n"), `a-somaxconn-10-tcp-abort-on-overflow-1map[net.core.somaxconn:10 ` + on + `0.005 2m0s 4
a-somaxconn-4096-tcp-abort-on-overflow-1map[net.core.somaxconn:4096 ` + on + `0.005 2m0s 4
b-somaxconn-10-tcp-abort-on-overflow-1map[net.core.somaxconn:10 ` + on + `0 0s 8
b-somaxconn-4096-tcp-abort-on-overflow-1map[net.core.somaxconn:4096 ` + on + `0 0s 8
c-somaxconn-10-tcp-abort-on-overflow-1map[net.core.somaxconn:10 ` + on + `0 0s 4
c-somaxconn-4096-tcp-abort-on-overflow-1map[net.core.somaxconn:4096 ` + on + `0 0s 4
d-somaxconn-10-tcp-abort-on-overflow-1map[net.core.somaxconn:10 ` + on + `0 0s 2
d-somaxconn-4096-tcp-abort-on-overflow-1map[net.core.somaxconn:4096 ` + on + `0 0s 2`},
	} {
		if c.got != c.want {
			t.Errorf("%s\n%s\nwant\n%s", what, c.got, c.want)
		}
	}
	if s.Precision != 0.02 || s.Budget != 20*time.Minute {
		t.Errorf("precision %v, budget %v", s.Precision, s.Budget)
	}
	if old, want := s.Subjects[8], (SubjectSpec{Name: "old", Command: []string{"./a", "--port", "{port}"}, Ready: "/health", ReadyTimeout: 5 * time.Second,
		Path: "/p", Method: "POST", Body: []byte("{}"), Header: http.Header{"X-A": {"b"}}}); !reflect.DeepEqual(old, want) {
		t.Errorf("command\n%+v\nwant\n%+v", old, want)
	}
	if body, err := os.ReadFile("decode_test.go"); err != nil || string(s.Subjects[9].Body) != string(body) {
		t.Errorf("the body is not that of the file: %v", err)
	}
}

// TestAxisComparesOneChangeAtATime also counts: a family as large as that of
// neighbours.
func TestAxisComparesOneChangeAtATime(t *testing.T) {
	s, err := Decode("f.yaml", []byte("name: x\nmatrix: {subject: [3, 5], parse: [quadratic, linear], limiter: [mutex, shards]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.Compare)
	const q, l = "linear-json+quadratic", "linear-json+linear"
	want := fmt.Sprint([][2]string{
		{q + "+mutex", q + "+shards"}, {q + "+mutex", l + "+mutex"}, {l + "+mutex", l + "+shards"},
		{q + "+mutex", "pool+quadratic+mutex"}, {"pool+quadratic+mutex", "pool+quadratic+shards"},
		{"pool+quadratic+mutex", "pool+linear+mutex"}, {"pool+linear+mutex", "pool+linear+shards"},
	})
	if got != want {
		t.Errorf("pairs\n%s\nwant\n%s", got, want)
	}
}

func TestDecodeEveryKey(t *testing.T) {
	s, err := Decode("f.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	base := Load{Clients: []int{20, 50}, Connection: "new", Slice: 500 * time.Millisecond, Deadline: 100 * time.Millisecond,
		Timeout: 2 * time.Second, Warmup: 300 * time.Millisecond, Seed: 9, Metrics: 3}
	ranked, told := base, base
	ranked.Connection, ranked.Slice, ranked.SameClient, ranked.Metrics = "keep", 300*time.Millisecond, true, 300
	told.Clients, told.RequestsPerClient, told.Think = []int{7}, 100, 5*time.Millisecond
	broken := base
	broken.Duration, broken.Timeout = 20*time.Second, 10*time.Second
	none, tuned := map[string]string{}, map[string]string{"net.ipv4.tcp_syncookies": "1"}
	want := &Scenario{
		Name: "everything", About: "Every key at once.", File: "f.yaml", Namespace: true,
		Subjects: Phases("3", "linear-json", "5"), Compare: [][2]string{{"3", "5"}}, Probes: []string{"netstat"},
		Assertions: []string{"success.http >= 99.9%", "latency.p99 < 50ms where phase = 3 and arm = told"},
		Arms: []Arm{
			{Name: "ranked", About: "sliced", Load: ranked, Blocks: 9, Slices: 2, Ranked: true, Sysctls: tuned,
				Overrides: map[string]string{"listen": "backlog1024", "exec": "pool", "sink": "sync", "ack": "written", "parse": "linear",
					"limiter": "shards", "events": "ring", "guard": "queue", "conn": "keep", "gomaxprocs": "4", "gogc": "off",
					"rate-limit": "10000", "sink-delay": "1ms", "max-threads": "100"}},
			{Name: "told", Load: told, Blocks: 12, Slices: 6, Overrides: none, Steer: true,
				Sysctls: map[string]string{"net.ipv4.tcp_abort_on_overflow": "1", "net.ipv4.tcp_syncookies": "1"}},
			{Name: "broken", Load: broken, Blocks: 12, Slices: 6, Overrides: none, Sysctls: tuned, Faults: []Fault{
				{At: 5 * time.Second, For: 5 * time.Second, Name: "partition", Options: map[string]string{"port": "server", "via": "nft"}},
				{At: 10 * time.Second, For: 2 * time.Second, Name: "partition"},
				{At: 12 * time.Second, For: 500 * time.Millisecond, Name: "partition", Options: map[string]string{"port": "8080", "via": "iptables", "chain": "OUTPUT"}},
			}},
			{Name: "plain", Load: base, Blocks: 12, Slices: 6, Ranked: true, Overrides: none, Sysctls: tuned},
		},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("decoded\n%+v\nwant\n%+v", s, want)
	}
}

func TestDecodeErrorsSayWhere(t *testing.T) {
	const (
		head  = "name: x\nmatrix: {subject: [1, 2]}\n"
		timed = "load: {duration: 10s}\n"
	)
	cases := []struct{ name, yaml, want string }{
		{"unknown key", head + "repaet: {blocks: 3}\n", `f.yaml:3:1: scenario: unknown key "repaet" (did you mean "repeat"?)`},
		{"far from any key", head + "x: 1\n", `f.yaml:3:1: scenario: unknown key "x"; it takes name, about`},
		{"nested", head + "load:\n  slice: 1s\n  connectiom: new\n", `f.yaml:5:3: load: unknown key "connectiom" (did you mean "connection"?)`},
		{"in an arm", head + "arms:\n  a: {lisen: backlog10}\n", `f.yaml:4:7: arms.a: unknown key "lisen" (did you mean "listen"?)`},
		{"rates", head + "load: {rates: 0}\n", `f.yaml:3:15: load.rates: want from 1 to 1000000 requests a second, have 0`},
		{"rates and think", head + "load: {rates: 100, think: 1ms}\n", `rates and think exclude each other`},
		{"assertion", head + "assert: [x]\n", `f.yaml:3:10: assert "x": want METRIC OP VALUE, such as`},
		{"metric of an assertion", head + "assert: [latency.p98 < 5ms]\n", `f.yaml:3:10: assert "latency.p98 < 5ms": no metric latency.p98; there are `},
		{"unit of an assertion", head + "assert: [server.rss_max_bytes < 5]\n", `5 is no size; want one such as 50MiB`},
		{"where", head + "assert: [success.http >= 1 where fase = 1]\n", `where fase: no such key; there are arm, clients, connection, phase, subject`},
		{"where nothing is", head + "assert: [success.http >= 1 where phase = 7 and clients = 20]\n", `f.yaml:3:10: assert "success.http >= 1 where phase = 7 and clients = 20": no phase of the scenario is 7; it has 1, 2`},
		{"where both are, apart", "name: x\nmatrix: {subject: [1, 2]}\narms: {a: {load: {clients: 3}}, b: }\nassert: [success.http >= 1 where arm = b and clients = 3]\n", `nothing that the scenario plays matches all of it`},
		{"precision", head + "precision: 1\n", `f.yaml:3:12: precision: want a percentage from 0.1% to 50%, have the number 1`},
		{"precision and blocks", head + "precision: 1%\nrepeat: {blocks: 9}\n", `f.yaml:4:18: repeat.blocks: precision decides how many blocks are played`},
		{"precision of nothing", head + "precision: 1%\ncompare: []\n", `f.yaml:3:12: precision: it is that of comparisons, and compare names none`},
		{"precision of one", "name: x\nmatrix: {subject: [1]}\narms: {a: {precision: 1%}}\n", `f.yaml:3:23: precision: it is that of comparisons, and there is one subject`},
		{"budget alone", head + "budget: 5m\n", `f.yaml:3:9: budget: it bounds a precision, and none is given`},
		{"budget without unit", head + "precision: 1%\nbudget: 5\n", `f.yaml:4:9: budget: want a duration with its unit`},
		{"precision of what is not ranked", head + "precision: 1%\nload: {requests: 5}\n", `f.yaml:3:12: precision: it is that of comparisons, and no arm is ranked`},
		{"precision of an arm that is not ranked", head + "arms: {a: {precision: 1%, load: {requests: 5}}}\n", `arms.a.precision: it is that of comparisons, and this arm is not ranked`},
		{"blocks under a precision", head + "precision: 1%\narms: {a: {blocks: 5}}\n", `arms.a.blocks: the scenario's precision decides`},
		{"a stage in two places", "name: x\nmatrix: {subject: [1], parse: [linear]}\narms: {a: {parse: linear}}\n", `arms.a.parse: matrix.parse sets this stage; give it in one of them`},
		{"a value of an axis twice", "name: x\nmatrix: {subject: [1], parse: [linear, linear]}\n", `f.yaml:2:40: matrix.parse: linear is there twice`},
		{"an axis of nothing", "name: x\nmatrix: {subject: [1], gogc: []}\n", `f.yaml:2:30: matrix.gogc: want at least one`},
		{"a variant of an axis", "name: x\nmatrix: {subject: [1], parse: [liner]}\n", `f.yaml:2:32: matrix: --parse liner: no such variant; want quadratic, linear`},
		{"an axis of a command", "name: x\nmatrix: {subject: [{name: a, command: ./a}], parse: [linear]}\n", `f.yaml:2:53: matrix.parse: it is a stage of phases, and no subject is a phase`},
		{"connection in two places", "name: x\nmatrix: {subject: [1], connection: [keep, new]}\nload: {connection: new}\n", "matrix.connection and load.connection say the same"},
		{"sysctls of the host", head + "sysctls: {net.ipv4.tcp_syncookies: 0}\n", "f.yaml:3:"},
		{"sysctl axis of the host", "name: x\nmatrix: {subject: [1], sysctls: {net.ipv4.tcp_syncookies: [0, 1]}}\n", "add namespace: true"},
		{"a sysctl in two places", "name: x\nnamespace: true\nmatrix: {subject: [1], sysctls: {net.core.somaxconn: [10, 20]}}\narms: {a: {sysctls: {net.core.somaxconn: 3}}}\n", "arm a sets net.core.somaxconn too"},
		{"a subject's key", "name: x\nmatrix: {subject: [{name: a, comand: ./a}]}\n", `f.yaml:2:30: matrix.subject: unknown key "comand" (did you mean "command"?)`},
		{"a subject of two kinds", "name: x\nmatrix: {subject: [{name: a, command: ./a, url: 'http://127.0.0.1:1'}]}\n", "want exactly one of a phase, a command and a URL"},
		{"a subject of no kind", "name: x\nmatrix: {subject: [{name: a}]}\n", "want exactly one of a phase, a command and a URL"},
		{"a command for a shell", "name: x\nmatrix: {subject: [{name: a, command: 'a | b'}]}\n", `f.yaml:2:39: matrix.subject.command: "|" asks for a shell`},
		{"a command without a name", "name: x\nmatrix: {subject: [{command: ./a}]}\n", "a command or URL needs a name"},
		{"a port", "name: x\nmatrix: {subject: [{name: a, command: ./a, port: 70000}]}\n", "f.yaml:2:50: matrix.subject.port: want a whole number from 1 to 65535, have 70000"},
		{"a body twice", "name: x\nmatrix: {subject: [{name: a, command: ./a, body: x, body-file: decode_test.go}]}\n", "f.yaml:2:64: matrix.subject: body and body-file exclude each other"},
		{"no body file", "name: x\nmatrix: {subject: [{name: a, command: ./a, body-file: none}]}\n", "f.yaml:2:55: matrix.subject.body-file: "},
		{"a body without end", "name: x\nmatrix: {subject: [{name: a, command: ./a, body-file: /dev/zero}]}\n", "/dev/zero is no regular file"},
		{"a name for a path", "name: x\nmatrix: {subject: [{name: ../a, command: ./a}]}\n", "f.yaml:2:27: matrix.subject.name: want at most 40 letters"},
		{"wrong type", head + "repeat: {blocks: ten}\n", `f.yaml:3:18: repeat.blocks: want a whole number, have the text "ten"`},
		{"a fraction of a block", head + "repeat: {blocks: 1.5}\n", `f.yaml:3:18: repeat.blocks: want a whole number, have the number 1.5`},
		{"out of range", head + "repeat: {blocks: 0}\n", `f.yaml:3:18: repeat.blocks: want a whole number from 1 to 10000, have 0`},
		{"huge", head + "repeat: {blocks: 18446744073709551615}\n", `f.yaml:3:18: repeat.blocks: want a whole number from 1 to 10000`},
		{"duration without unit", head + "load: {slice: 500}\n", `f.yaml:3:15: load.slice: want a duration with its unit such as 500ms, have the number 500`},
		{"long slice", head + "load: {slice: 2s}\n", `f.yaml:3:15: load.slice: want a duration from 10ms to 1s, have 2s`},
		{"longer than is recorded", head + "load: {timeout: 11m}\n", `f.yaml:3:17: load.timeout: want a duration from 1ms to 10m0s, have 11m`},
		{"no list", "name: x\nmatrix: {subject: 3}\n", `f.yaml:2:19: matrix.subject: want a list such as [a, b], have the number 3`},
		{"unknown phase", "name: x\nmatrix: {subject: [1, 77]}\n", `f.yaml:2:23: matrix.subject: find phase "77": no such phase`},
		{"unknown variant", head + "arms:\n  a: {exec: fast}\n", `f.yaml:4:13: arms.a: --exec fast: no such variant; want serial, threads, pool`},
		{"nothing to trace", "name: x\nmatrix: {subject: [5]}\nload: {requests: 10}\nprobes: [syscalls]\n", "f.yaml:1:5: probes: syscalls traces under the load of ranked arms, and none is ranked"},
		{"unknown probe", head + "probes: [netsat]\n", `f.yaml:3:10: probes: unknown probe "netsat" (did you mean "netstat"?)`},
		{"connection", head + "load: {connection: kept}\n", `f.yaml:3:20: load.connection: want keep or new, have "kept"`},
		{"clients twice", head + "load: {clients: [2, 2]}\n", `f.yaml:3:21: load.clients: 2 is there twice`},
		{"clients in two places", "name: x\nmatrix: {subject: [1], clients: [2]}\nload: {clients: [2]}\n", "matrix.clients and load.clients say the same"},
		{"no name", "matrix: {subject: [1]}\n", "f.yaml:1:7: scenario: the key name is missing"},
		{"name as a path", "name: ../x\nmatrix: {subject: [1]}\n", `f.yaml:1:7: name: want small letters, digits and -, have "../x"`},
		{"no subject", "name: x\n", "f.yaml:1:5: scenario: matrix.subject is missing"},
		{"duplicate key", head + "name: y\n", "f.yaml:3:1: "},
		{"broken yaml", "name: [x\n", "f.yaml:1:7: "},
		{"a tab", "name: x\n\tabout: y\n", "f.yaml:2:"},
		{"empty", "", "f.yaml:1:1: want one scenario"},
		{"only comments", "# nothing\n", "f.yaml:1:1: "},
		{"two documents", head + "---\n" + head, "f.yaml:1:1: want one scenario in the file, have 2 documents"},
		{"a list", "[1, 2]\n", "f.yaml:1:1: scenario: want a mapping of keys to values, have a list"},
		{"ranked by requests", head + "arms:\n  a:\n    load: {requests: 10}\n    ranked: true\n", "f.yaml:6:13: arms.a.ranked: a load bounded by requests"},
		{"slices of requests", head + "arms:\n  a:\n    load: {requests: 10}\n    slices: 2\n", "f.yaml:6:13: arms.a.slices: a load bounded by requests"},
		{"two bounds", head + "load: {requests: 10, requests-per-client: 2}\n", "requests and requests-per-client exclude each other"},
		{"host sysctl", head + "arms:\n  a: {sysctls: {net.ipv4.tcp_syncookies: 0}}\n", "add namespace: true"},
		{"foreign sysctl", head + "namespace: true\narms:\n  a: {sysctls: {kernel.panic: 1}}\n", `f.yaml:5:17: arms.a.sysctls: want names such as`},
		{"sysctl as a path", head + "namespace: true\narms:\n  a: {sysctls: {net.ipv4/../../x: 1}}\n", "want names such as"},
		{"compare a stranger", head + "compare: [[1, 3]]\n", "compare: 3 is no subject of the matrix"},
		{"compare a triple", head + "compare: [[1, 2, 3]]\n", "f.yaml:3:11: compare: want pairs"},
		{"ranked by duration", head + "arms:\n  a:\n    load: {duration: 10s}\n    ranked: true\n", "f.yaml:6:13: arms.a.ranked: a load bounded by its duration"},
		{"slices of a duration", head + "arms:\n  a:\n    load: {duration: 10s}\n    slices: 2\n", "f.yaml:6:13: arms.a.slices: a load bounded by its duration"},
		{"duration and requests", head + "load: {requests: 10, duration: 2s}\n", "f.yaml:3:7: load: duration and a number of requests exclude each other"},
		{"duration and slice", head + "load: {slice: 1s, duration: 2s}\n", "f.yaml:3:7: load: slice and duration exclude each other"},
		{"faults of slices", head + "faults: [{at: 1s, for: 1s, partition: {}}]\n", "f.yaml:3:10: faults of arm main: a load with faults plays as one stretch of known length; give load.duration"},
		{"faults of requests", head + timed + "arms:\n  a: {load: {duration: 0s, requests: 9}}\n", "arms.a.load.duration: want a duration from 10ms"},
		{"unknown fault", head + timed + "faults: [{at: 1s, for: 1s, partitoin: {}}]\n", `f.yaml:4:28: faults: unknown key "partitoin" (did you mean "partition"?)`},
		{"unknown option", head + timed + "faults: [{at: 1s, for: 1s, partition: {vai: nft}}]\n", `f.yaml:4:40: faults.partition: unknown key "vai" (did you mean "via"?)`},
		{"unknown value", head + timed + "faults: [{at: 1s, for: 1s, partition: {via: magic}}]\n", `f.yaml:4:39: faults: partition: via "magic": want one of nft`},
		{"option of another way", head + timed + "faults: [{at: 1s, for: 1s, partition: {chain: OUTPUT}}]\n", `f.yaml:4:39: faults: partition: the chain is chosen with iptables only`},
		{"port of nobody", head + timed + "faults: [{at: 1s, for: 1s, partition: {port: 99999}}]\n", `f.yaml:4:39: faults: port: want server or a number from 1 to 65535, have 99999`},
		{"no start", head + timed + "faults: [{for: 1s, partition: {}}]\n", "f.yaml:4:10: faults: the key at is missing"},
		{"no length", head + timed + "faults: [{at: 1s, partition: {}}]\n", "f.yaml:4:10: faults: the key for is missing"},
		{"no fault", head + timed + "faults: [{at: 1s, for: 1s}]\n", "f.yaml:4:10: faults: no fault is named; it takes partition"},
		{"a word as a fault", head + timed + "faults: [partition]\n", `f.yaml:4:10: faults: want a mapping of keys to values, have the text "partition"`},
		{"past the end", head + timed + "faults: [{at: 5s, for: 6s, partition: {}}]\n", "f.yaml:4:10: faults of arm main: partition ends at 11s, the load at 10s"},
		{"overlap", head + timed + "faults: [{at: 5s, for: 2s, partition: {}}, {at: 3s, for: 2500ms, partition: {}}]\n",
			"f.yaml:4:10: faults of arm main: partition begins at 5s, while the one before it lasts until 5.5s; one target has one fault at a time"},
		{"in an arm", head + timed + "arms:\n  a: {faults: [{at: 9s, for: 2s, partition: {}}]}\n", "f.yaml:5:16: faults of arm a: partition ends at 11s"},
		{"shorter in an arm", head + timed + "faults: [{at: 5s, for: 2s, partition: {}}]\narms:\n  a: {load: {duration: 6s}}\n", "f.yaml:4:10: faults of arm a: partition ends at 7s, the load at 6s"},
		{"alias", "name: &n x\nabout: *n\nmatrix: {subject: [1]}\n", "f.yaml:1:7: name: want text, have"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := Decode("f.yaml", []byte(c.yaml))
			if err == nil {
				t.Fatalf("no error, decoded %+v", s)
			}
			if s != nil {
				t.Error("an error and a scenario")
			}
			if got := err.Error(); !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
				t.Errorf("error\n%s\nwant one line with\n%s", got, c.want)
			}
			if !strings.HasPrefix(err.Error(), "f.yaml:") {
				t.Errorf("error does not begin with its place: %s", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(multiplied))
	for _, seed := range []string{"", "name: x", "a: &a [*a]", "{", "? x\n: y", "name: !!binary x", "matrix: {subject: [{}]}", "- - -",
		"name: x\nmatrix: {subject: [1, 1], parse: [linear]}\ncompare: [[1, 1]]\nprecision: 1%\nassert: [\"success.http < 1 where phase = 1\"]",
		"name: x\nmatrix: {subject: [{name: a, command: [1, true, 1.5], header: {a: }}]}", "name: x\nmatrix: {subject: [{phase: 1}], sysctls: {net.a.b: [~]}}",
		"name: x\nmatrix: {subject: [1]}\nload: {duration: 9s}\nfaults: [{at: 1s, for: 1s, partition: {port: 1}}, {at: 2s, for: 0.1s, partition: ~}]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("error without its place: %s", err)
			}
			return
		}
		if s.Name == "" || len(s.Subjects) == 0 || len(s.Arms) == 0 {
			t.Errorf("accepted without name, subject or arm: %+v", s)
		}
		for _, arm := range s.Arms {
			var over time.Duration
			for _, f := range arm.Faults {
				if f.At < over || f.For <= 0 || f.At+f.For > arm.Load.Duration || arm.Ranked || f.check() != nil {
					t.Errorf("accepted a timeline that cannot be: %+v", arm)
				}
				over = f.At + f.For
			}
		}
	})
}

func TestEveryEmbeddedScenarioCanBePlanned(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
		if s.File != s.Name+".yaml" {
			t.Errorf("%s is in the file %s", s.Name, s.File)
		}
		if s.About == "" {
			t.Errorf("%s does not say what it is about", s.Name)
		}
		if _, err := newPlan(s, Options{}, splitCores([]int{0, 1})); err != nil {
			t.Errorf("plan %s: %v", s.Name, err)
		}
	}
	if got, want := strings.Join(names, " "), "aa first-look headline overflow partition phases shows"; got != want {
		t.Errorf("embedded: %s, want %s", got, want)
	}
}

func TestFind(t *testing.T) {
	if s, err := Find("headline"); err != nil || s.Name != "headline" {
		t.Errorf("Find(headline) = %v, %v", s, err)
	}
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte("name: own\nmatrix: {subject: [1]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Find(file); err != nil || s.Name != "own" || s.File != file {
		t.Errorf("Find(%s) = %v, %v", file, s, err)
	}
	for name, want := range map[string]string{"nothing": "there are aa, first-look", "no/such.yaml": "no such file", "/dev/zero": "longer than", "..": "no such scenario", "": "no such scenario"} {
		if _, err := Find(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Find(%q): %v, want %q in it", name, err, want)
		}
	}
}
