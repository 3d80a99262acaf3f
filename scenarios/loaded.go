package scenarios

import (
	"context"
	"time"

	"mslab/loadgen"
	"mslab/results/record"
)

// The load under which something looks at a phase, where nothing else is said.
const (
	LoadedClients  = 20
	LoadedDuration = 5 * time.Second
	LoadedMetrics  = 3
)

// Loaded is a phase to be put under load while something looks at it.
type Loaded struct {
	Phase     string            // by number or name
	Overrides map[string]string // flags of serve without their dashes
	Clients   int               // default LoadedClients
	Metrics   int               // metrics a body, default LoadedMetrics
	// Executable is the mslab program whose `serve` is started; "" is the one
	// that runs.
	Executable string
}

// LoadedServer is the server while it is under load.
type LoadedServer struct {
	Subject    record.Subject // phase, name and recipe
	PID        int
	URL, Admin string // http://HOST:PORT
	Load       record.Load
}

// Look is what looks at a server. The load goes on until it returns; ctx ends
// early where the server does.
type Look func(ctx context.Context, s LoadedServer) error

// warmupBeforeLook is loaded before anything looks.
const warmupBeforeLook = 300 * time.Millisecond

// plan settles what is started and how it is loaded. Connections are kept where
// the phase keeps them.
func (l Loaded) plan() (player, Load, error) {
	subjects, err := subjectsOf(Phases(l.Phase))
	if err != nil {
		return player{}, Load{}, err
	}
	p, err := newPlayer(subjects[0], SubjectSpec{Phase: l.Phase}, l.Overrides)
	if err != nil {
		return player{}, Load{}, err
	}
	load := defaultLoad()
	load.Clients, load.Metrics, load.Warmup = []int{LoadedClients}, LoadedMetrics, warmupBeforeLook
	if l.Clients > 0 {
		load.Clients = []int{l.Clients}
	}
	if l.Metrics > 0 {
		load.Metrics = l.Metrics
	}
	if p.subject.Recipe["conn"] == "keep" {
		load.Connection = loadgen.Keep
	}
	return p, load, nil
}

// Check says what is wrong with the phase, its overrides or the load.
func (l Loaded) Check() error {
	_, load, err := l.plan()
	if err != nil {
		return err
	}
	offer := loadgen.Plan{URL: "http://127.0.0.1:1", Clients: load.Clients[0], Metrics: load.Metrics, Duration: time.Second}
	return offer.Validate()
}
