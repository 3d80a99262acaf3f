package scenarios

import (
	"net/http"
)

// SubjectSpec names one subject of a scenario. Exactly one of Phase, Command
// and URL is set.
type SubjectSpec struct {
	// Name is what tables call it. "" is the phase's name; a phase that is named
	// again without a name of its own gets a prime.
	Name  string
	Phase string // number or name of a phase or peer of mslab's own
	// Command is a program and its arguments. In each argument "{port}" is
	// replaced by a free port and "{data}" by a folder of the process' own.
	Command []string
	// URL is a server that already runs, http://HOST:PORT. It is never started
	// and never stopped.
	URL string
	// Ready is the URL at which a command says that it is ready, such as
	// http://127.0.0.1:{port}/health. Without it a command is ready once it
	// accepts a connection on its port.
	Ready string
	// Port is the port of a command that cannot be told one; 0 where {port}, or
	// PORT in its environment, tells it.
	Port int

	// The request that a foreign subject gets; GET / where they are empty.
	// Phases and peers get the POST /metrics of their clients.
	Path, Method string
	Body         []byte
	Header       http.Header

	// Overrides are a phase's own flags of serve without their dashes, and their
	// values. They stand over those of the arm.
	Overrides map[string]string
}

// Phases are subjects that are phases, by number or name.
func Phases(words ...string) []SubjectSpec {
	specs := make([]SubjectSpec, len(words))
	for i, word := range words {
		specs[i] = SubjectSpec{Phase: word}
	}
	return specs
}

// called says that a pair to compare means this subject by word.
func (s SubjectSpec) called(word string) bool {
	return word != "" && (word == s.Name || word == s.Phase)
}
