package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"

	"mslab/server/sink"
	"mslab/server/wire"
)

// maxCorrelationID is how long a client's X-Correlation-ID may be, in bytes. It
// is stored with each metric, up to 1,000 times for one request.
const maxCorrelationID = 256

// handler turns requests into answers: route, client id, Limit, Parse,
// validate, Guard, Sink. It does no I/O of its own, and every Exec shares it.
type handler struct {
	server  *Server
	parse   parseFunc
	limiter limiter // nil where the rate limit is off
	events  events  // nil where the rate limit is off
	guard   *guard
	sink    sink.Sink
	clock   Clock
	keep    bool // Conn keep

	idPrefix  string
	idCounter atomic.Uint64
}

func newHandler(s *Server) *handler {
	h := &handler{
		server: s, limiter: s.limiter, events: s.events, guard: newGuard(s.config.Recipe),
		sink: s.sink, clock: s.clock, keep: s.config.Recipe.Conn == "keep", parse: parseQuadratic,
	}
	if s.config.Recipe.Parse == "linear" {
		h.parse = parseLinear
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	h.idPrefix = hex.EncodeToString(random[:]) + "-"
	return h
}

// session is one connection's state above the bytes: the wire code's session,
// the answers not yet written, and the acknowledgement it waits for.
type session struct {
	*handler
	wire   *wire.Session
	out    []byte
	body   []byte // scratch for answer bodies
	acked  chan error
	ackOne sink.Ack
}

func newSession(h *handler) *session {
	s := &session{handler: h, wire: wire.NewSession(wire.Limits{}), acked: make(chan error, 1)}
	s.ackOne = func(err error) { s.acked <- err }
	return s
}

func (s *session) reset() {
	s.wire.Reset()
	s.out = s.out[:0]
}

// answer appends the answer to a request to s.out, after the Sink's
// acknowledgement, and reports whether the connection is kept.
func (s *session) answer(request *wire.Request) (keep bool) {
	s.server.counters.requests.Add(1)
	response := wire.Response{
		CorrelationID: s.correlationID(request.CorrelationID),
		HTTP10:        request.HTTP10,
		Head:          request.Method == "HEAD",
	}
	if len(request.CorrelationID) > maxCorrelationID {
		s.problem(&response, 431, "X-Correlation-ID over 256 bytes")
	} else {
		s.route(request, &response)
	}
	keep = s.keep && request.KeepAlive && !s.server.stopping.Load()
	response.Close = !keep
	s.out = wire.AppendResponse(s.out, &response)
	return keep
}

// correlationID is the client's id, or a new one where that is missing or too
// long.
func (h *handler) correlationID(id string) string {
	if id == "" || len(id) > maxCorrelationID {
		return h.idPrefix + strconv.FormatUint(h.idCounter.Add(1), 16)
	}
	return id
}

// fail appends the answer to bytes that are no acceptable request.
func (s *session) fail(status int, reason string) {
	response := wire.Response{Status: status, Close: true, CorrelationID: s.correlationID(s.wire.CorrelationID())}
	s.problem(&response, status, reason)
	s.out = wire.AppendResponse(s.out, &response)
}

func (s *session) route(request *wire.Request, response *wire.Response) {
	switch request.Path {
	case "/metrics":
		switch request.Method {
		case "POST":
			s.ingest(request, response)
		case "GET", "HEAD":
			s.metrics(request, response)
		default:
			s.notAllowed(response, "GET, HEAD, POST")
		}
	case "/health":
		switch request.Method {
		case "GET", "HEAD":
			response.Status, s.body = s.server.health(s.body[:0])
			response.Body = s.body
		default:
			s.notAllowed(response, "GET, HEAD")
		}
	default:
		s.problem(response, 404, "no such path; there are /metrics and /health")
	}
}

func (s *session) ingest(request *wire.Request, response *wire.Response) {
	now := s.clock.Now()
	if s.limiter != nil {
		client := request.Authorization
		if client == "" {
			client = "default"
		}
		allowed := s.limiter.allow(client, now.UnixNano())
		s.events.record(event{at: now.UnixNano(), allowed: allowed})
		if !allowed {
			s.server.counters.rateLimited.Add(1)
			response.RetryAfter = 1
			s.problem(response, 429, "rate limit exceeded")
			return
		}
	}
	metrics, err := s.parse(request.Body)
	if err == nil {
		err = validateBatch(metrics)
	}
	if err != nil {
		s.server.counters.validationErrors.Add(1)
		s.problem(response, 400, err.Error())
		return
	}
	if !s.guard.enter() {
		s.overloaded(response)
		return
	}
	// The batch outlives the request, whose strings do not.
	batch := &sink.Batch{ID: strings.Clone(response.CorrelationID), ReceivedMS: now.UnixMilli(), Size: len(request.Body), Metrics: metrics}
	s.sink.Put(batch, s.ackOne)
	err = <-s.acked
	s.guard.leave()
	switch {
	case err == nil:
		s.server.counters.batchesProcessed.Add(1)
		s.server.counters.metricsReceived.Add(int64(len(metrics)))
		response.Status = 200
		s.body = append(s.body[:0], `{"success":true,"metrics_processed":`...)
		s.body = append(strconv.AppendInt(s.body, int64(len(metrics)), 10), '}')
		response.Body = s.body
	case errors.Is(err, errSinkFull):
		s.overloaded(response)
	default:
		s.problem(response, 500, "the batch could not be stored")
	}
}

func (s *session) metrics(request *wire.Request, response *wire.Response) {
	response.Status = 200
	response.ContentType, s.body = s.server.renderCounters(s.body[:0], request.Accept)
	response.Body = s.body
}

func (s *session) overloaded(response *wire.Response) {
	s.server.counters.overloaded.Add(1)
	response.RetryAfter = 1
	s.problem(response, 503, "overloaded")
}

func (s *session) notAllowed(response *wire.Response, allow string) {
	response.Allow = allow
	s.problem(response, 405, "method not allowed")
}

func (s *session) problem(response *wire.Response, status int, reason string) {
	response.Status = status
	s.body = appendProblem(s.body[:0], reason)
	response.Body = s.body
}

func appendProblem(dst []byte, reason string) []byte {
	dst = append(dst, `{"error":`...)
	dst = appendJSONString(dst, reason)
	return append(dst, '}')
}

// renderCounters renders the counters as JSON, or as Prometheus' text where the
// Accept field asks for text.
func (s *Server) renderCounters(dst []byte, accept string) (contentType string, body []byte) {
	if strings.Contains(accept, "text/plain") || strings.Contains(accept, "application/openmetrics-text") {
		return "text/plain; version=0.0.4; charset=utf-8", s.Counters().appendPrometheus(dst)
	}
	return "application/json", s.Counters().appendJSON(dst)
}

// health renders whether the server takes in work.
func (s *Server) health(dst []byte) (status int, body []byte) {
	if s.stopping.Load() {
		return 503, append(dst, `{"status":"not ready","reason":"stopping"}`...)
	}
	return 200, append(dst, `{"status":"ok"}`...)
}
