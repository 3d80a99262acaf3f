package loadgen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"mslab/results/record"
)

const (
	// bodiesPerClient different bodies are prebuilt for each client, fewer
	// where all of them together would take more than bodyMemory bytes: 100
	// clients have them all, and 10,000 one each.
	bodiesPerClient = 16
	bodyMemory      = 1_200_000
	correlationSize = 16 + 1 + 12 // prefix, '-', counter
)

// script is what one client sends, in turn. A request is whole and ready; only
// its correlation ID is written into it before it goes out.
type script struct {
	requests [][]byte
	last     [][]byte // the same, asking for the connection's end; nil where none ends
	idAt     []int    // where the correlation ID stands, in both; nil where requests bear none
	names    *clientNames
	nameAt   []int // where a name's digits stand, in both; nil where clients name themselves
	next     int
	taken    int    // place of the one that was taken last,
	out      []byte // and itself
}

// take returns the next request with id in its place; last asks for the end of the
// connection.
func (s *script) take(id []byte, last bool) []byte {
	i := s.next
	s.taken = i
	if s.next++; s.next == len(s.requests) {
		s.next = 0
	}
	request := s.requests[i]
	if last && s.last != nil {
		request = s.last[i]
	}
	if s.idAt != nil {
		copy(request[s.idAt[i]:], id)
	}
	if s.nameAt != nil {
		s.names.write(request[s.nameAt[i]:])
	}
	s.out = request
	return request
}

// repeat returns the request that was taken last, as it was but for last.
func (s *script) repeat(id []byte, last bool) []byte {
	request, before := s.requests[s.taken], s.out
	if last && s.last != nil {
		request = s.last[s.taken]
	}
	if s.idAt != nil {
		copy(request[s.idAt[s.taken]:], id)
	}
	if s.nameAt != nil {
		at := s.nameAt[s.taken]
		copy(request[at:at+s.names.digits], before[at:])
	}
	s.out = request
	return request
}

// mostCopied bounds the memory, in bytes, of one body that each connection has a copy
// of, to write its IDs into.
const mostCopied = 1 << 30

func checkCopies(p Plan) error {
	copies := int64(p.MaxConnections)
	if p.RequestsPerConnection > 1 {
		copies *= 2 // see script.add
	}
	if p.Body == nil || !p.named() || copies*int64(len(p.Body)) <= mostCopied {
		return nil
	}
	return fmt.Errorf("check the load: requests with IDs, for --retry or --ledger, take a copy of the body for each connection, and %d of %d bytes are over %d MiB; give a smaller body, or fewer clients or --max-connections",
		copies, len(p.Body), mostCopied>>20)
}

// newScripts prebuilds the requests of all connections: one a client, and in an
// open loop as many as there may be. Where they are all the same, connections
// share them.
func newScripts(p Plan, t target) []script {
	scripts := make([]script, p.MaxConnections)
	names := newClientNames(p.ClientIDs)
	for c := range scripts {
		scripts[c].names = names
	}
	generated := p.Body == nil && p.Metrics > 0
	if !generated && p.Metrics == 0 && !p.named() {
		var shared script
		shared.add(p, t, 0, p.Body)
		for c := range scripts {
			scripts[c] = shared
		}
		return scripts
	}
	for c := range scripts {
		if !generated {
			scripts[c].add(p, t, c, p.Body)
			continue
		}
		rng := bodyRand(p.Seed, c)
		body := appendBody(nil, rng, p.Metrics, p.Hosts)
		for range min(max(bodyMemory/(len(body)*len(scripts)), 1), bodiesPerClient) {
			scripts[c].add(p, t, c, body)
			body = appendBody(body[:0], rng, p.Metrics, p.Hosts)
		}
	}
	return scripts
}

// add builds one request more. Where connections end it is there twice; the field
// that ends them stands behind the correlation ID.
func (s *script) add(p Plan, t target, client int, body []byte) {
	name := clientName(client % p.Clients)
	if s.names != nil {
		name = s.names.first()
	}
	request := appendRequest(nil, p, t, name, body, p.lastOn(0))
	s.requests = append(s.requests, request)
	if p.RequestsPerConnection > 1 {
		s.last = append(s.last, appendRequest(nil, p, t, name, body, true))
	}
	if s.names != nil {
		field := "\r\n" + authorizationField + name + "\r\n" // no value holds a line break
		s.nameAt = append(s.nameAt, bytes.Index(request, []byte(field))+len(field)-len("\r\n")-s.names.digits)
	}
	if p.named() {
		field := "\r\n" + correlationField
		s.idAt = append(s.idAt, bytes.Index(request, []byte(field))+len(field))
	}
}

// Fields in which others take the place of what was built.
const (
	correlationField   = "X-Correlation-ID: "
	authorizationField = "Authorization: "
)

// appendRequest builds a whole request. The plan's own fields replace the
// generator's Host, Content-Type and Authorization. last asks for the end of the
// connection.
func appendRequest(dst []byte, p Plan, t target, client string, body []byte, last bool) []byte {
	field := func(name, value string) {
		dst = append(dst, name...)
		dst = append(dst, ": "...)
		dst = append(dst, value...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, p.Method...)
	dst = append(dst, ' ')
	dst = append(dst, t.path...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	header := http.Header{"Host": {t.authority()}}
	if p.Metrics > 0 {
		header.Set("Content-Type", "application/json")
		header.Set("Authorization", client)
	}
	for name, values := range p.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if len(header["Host"]) == 0 {
		header.Set("Host", t.authority())
	}
	field("Host", header.Get("Host"))
	delete(header, "Host")
	if p.named() {
		field("X-Correlation-ID", string(bytes.Repeat([]byte{'0'}, correlationSize)))
	}
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range header[name] {
			field(name, value)
		}
	}
	if last {
		field("Connection", "close")
	}
	if len(body) > 0 || p.Method == http.MethodPost || p.Method == http.MethodPut || p.Method == http.MethodPatch {
		field("Content-Length", strconv.Itoa(len(body)))
	}
	dst = append(dst, "\r\n"...)
	return append(dst, body...)
}

// correlation makes the IDs of a run: a prefix that no other run has, and a
// counter.
type correlation struct {
	id    [correlationSize]byte
	count int64
}

func newCorrelation(seed, startedNS int64) *correlation {
	c := &correlation{}
	// A multiplication by an odd constant (2^64 / golden ratio) is one to one,
	// so that two start times never share a prefix under one seed.
	prefix := (uint64(startedNS) ^ uint64(seed)<<32) * 0x9e3779b97f4a7c15
	const hex = "0123456789abcdef"
	for i := range 16 {
		c.id[i] = hex[prefix>>(60-4*i)&15]
	}
	c.id[16] = '-'
	return c
}

// next returns a new ID, valid until the next call.
func (c *correlation) next() []byte {
	n := c.count
	c.count++
	for i := correlationSize - 1; i > 16; i-- {
		c.id[i] = byte('0' + n%10)
		n /= 10
	}
	return c.id[:]
}

// answerCheck decides whether a 2xx answer says that all was stored.
type answerCheck struct {
	metrics int
	usual   []byte // the answer that nearly all requests get
}

func newAnswerCheck(metrics int) answerCheck {
	usual := []byte(`{"success":true,"metrics_processed":` + strconv.Itoa(metrics) + `}`)
	return answerCheck{metrics, usual}
}

// class classifies a complete answer. Without metrics any 2xx is ok.
func (a answerCheck) class(r *response) record.Class {
	class := record.OfStatus(r.status)
	if class != record.OK || a.metrics == 0 || bytes.Equal(r.body, a.usual) {
		return class
	}
	var says struct {
		Success   bool `json:"success"`
		Processed int  `json:"metrics_processed"`
	}
	if json.Unmarshal(r.body, &says) != nil || !says.Success || says.Processed != a.metrics {
		return record.BodyMismatch
	}
	return record.OK
}
