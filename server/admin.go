package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// admin serves counters, health and profiles on a listener of its own, since
// on the ingest port they would wait behind held workers.
type admin struct {
	listener net.Listener
	http     http.Server
	done     chan error
	stop     context.CancelFunc // ends what takes its time, such as a profile
}

func listenAdmin(address string) (*admin, error) {
	listener, err := net.Listen("tcp", onLoopback(address))
	if err != nil {
		return nil, fmt.Errorf("listen for admin on %s: %w; choose another with --admin, or --admin \"\" for none", address, err)
	}
	return &admin{listener: listener, done: make(chan error, 1)}, nil
}

// start answers until close.
func (a *admin) start(s *Server) {
	var requests context.Context
	requests, a.stop = context.WithCancel(context.Background())
	a.http = http.Server{
		Handler: adminRoutes(s), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	go func() { a.done <- a.http.Serve(a.listener) }()
}

// onLoopback gives an address without a host the loopback one: profiles are for
// other machines only where an address that they reach was asked for.
func onLoopback(address string) string {
	if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

func adminRoutes(s *Server) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		contentType, body := s.renderCounters(nil, r.Header.Get("Accept"))
		writeAnswer(w, http.StatusOK, contentType, body)
	})
	routes.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		status, body := s.health(nil)
		writeAnswer(w, status, "application/json", body)
	})
	routes.HandleFunc("POST /clock", s.moveClock)
	profiles := &profiles{server: s}
	profiles.addRoutes(routes)
	return routes
}

// moveClock sets the offset of the server's clock: POST /clock?offset=-1h.
func (s *Server) moveClock(w http.ResponseWriter, r *http.Request) {
	if !s.config.FaultHooks {
		writeAnswer(w, http.StatusForbidden, "application/json", appendProblem(nil, "fault hooks are off; start the server with --fault-hooks"))
		return
	}
	offset, err := time.ParseDuration(r.URL.Query().Get("offset"))
	if err != nil {
		writeAnswer(w, http.StatusBadRequest, "application/json", appendProblem(nil, "want ?offset=DURATION, for example 90s or -1h"))
		return
	}
	s.clock.offset.Store(int64(offset))
	writeAnswer(w, http.StatusOK, "application/json", []byte(`{"success":true}`))
}

func writeAnswer(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone
}

func (a *admin) address() string { return a.listener.Addr().String() }

// close lets requests under way end for a moment.
func (a *admin) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	a.stop()
	if err := a.http.Shutdown(ctx); err != nil {
		_ = a.http.Close() // a trace was being taken: cut it
	}
	if err := <-a.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin: %w", err)
	}
	return nil
}
