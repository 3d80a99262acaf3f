package record

import (
	"encoding/json"
	"slices"
)

// Keys of Server that may be in its list of what is not known. UnknownCPU
// stands for all that is made of CPU time.
const (
	UnknownCPU     = "cpu"
	UnknownSwitch  = "ctx_switches"
	UnknownMemory  = "rss"
	UnknownThreads = "threads_max"
	UnknownListen  = "listen"
)

// unknownKeys are the keys of a server's JSON that each entry leaves out.
var unknownKeys = map[string][]string{
	UnknownCPU:     {"cpu_ns_per_request", "cpu_ns", "user_ns", "system_ns"},
	UnknownSwitch:  {"ctx_switches"},
	UnknownMemory:  {"rss_max_bytes", "rss_idle_bytes"},
	UnknownThreads: {"threads_max"},
	UnknownListen:  {"listen_drops", "listen_overflows", "syn_retransmits"},
}

// Knows says whether a figure of the server was read. what is one of the
// Unknown constants.
func (s *Server) Knows(what string) bool { return s != nil && !slices.Contains(s.Unknown, what) }

// MarshalJSON leaves out what is not known, so that nobody reads a 0 for it.
func (s Server) MarshalJSON() ([]byte, error) {
	type plain Server
	data, err := json.Marshal(plain(s))
	if err != nil || len(s.Unknown) == 0 {
		return data, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	for _, what := range s.Unknown {
		for _, key := range unknownKeys[what] {
			delete(fields, key)
		}
	}
	return json.Marshal(fields)
}

// mergeUnknown adds what a part does not know: a sum that lacks a part is not
// known either.
func mergeUnknown(sum []string, part []string) []string {
	for _, what := range part {
		if !slices.Contains(sum, what) {
			sum = append(sum, what)
		}
	}
	slices.Sort(sum)
	return sum
}
