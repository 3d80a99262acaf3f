package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mslab/server/sink"
)

// stopGrace is how long connections may take to finish once the server stops;
// then they are ended. Together with the admin listener's grace and the file's
// last write it stays under 5 s.
const (
	stopGrace  = 2 * time.Second
	abortGrace = 300 * time.Millisecond // from then on until nobody waits for them
)

// errStopped is what an executor's run returns once the server stops.
var errStopped = errors.New("server stopped")

// executor accepts connections and answers on them.
type executor interface {
	address() string
	// run accepts and answers until wake, then waits for its connections.
	run() error
	wake()        // accept returns
	wakeReaders() // idle connections end
	abort()       // every connection ends
	release()     // after run
}

// Server is a recipe brought to life.
type Server struct {
	config   Config
	counters counters
	clock    *adjustableClock
	file     *linesFile
	sink     sink.Sink
	limiter  limiter
	events   events
	handler  *handler
	executor executor
	admin    *admin // nil where it is off
	stopping atomic.Bool
	logMu    sync.Mutex
}

// New binds the addresses and opens the data file, in this order, so that an
// address in use leaves no folder behind. The error says which of them failed
// and what to do; nothing is left open then.
func New(config Config) (*Server, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	s := &Server{config: config, clock: &adjustableClock{base: config.Clock}}
	var err error
	if s.executor, err = newExecutor(s); err != nil {
		return nil, err
	}
	if config.Admin != "" {
		if s.admin, err = listenAdmin(config.Admin); err != nil {
			s.executor.release()
			return nil, err
		}
	}
	if err := s.openStages(); err != nil {
		s.executor.release()
		if s.admin != nil {
			_ = s.admin.listener.Close() // nothing was accepted
		}
		return nil, err
	}
	s.handler = newHandler(s)
	if s.admin != nil {
		s.admin.start(s)
	}
	return s, nil
}

// openStages opens the data file and makes the stages of the recipe that run
// in the background.
func (s *Server) openStages() error {
	file, err := openLines(s.config.DataDir, s.config.SinkDelay)
	if err != nil {
		return err
	}
	recipe := s.config.Recipe
	s.file, file.logf = file, s.logf
	if recipe.Sink == "async" {
		s.sink = newSinkAsync(file, recipe.AckLevel() == "written")
	} else {
		s.sink = newSinkSync(file)
	}
	if s.config.RateLimit > 0 {
		s.limiter = newLimiter(recipe.Limit, s.config.RateLimit)
		s.events = newEvents(recipe.Events)
	}
	return nil
}

func (c *Config) complete() error {
	if err := c.Recipe.Check(); err != nil {
		return fmt.Errorf("check recipe: %w", err)
	}
	if c.SinkDelay > 0 && !c.FaultHooks {
		return errors.New("delay the sink: needs fault hooks (--fault-hooks)")
	}
	if c.Address == "" {
		c.Address = "127.0.0.1:8080"
	}
	if c.DataDir == "" {
		c.DataDir = "mslab-data"
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&c.ReadTimeout, 10 * time.Second}, {&c.WriteTimeout, 10 * time.Second}, {&c.IdleTimeout, 60 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	return nil
}

// URL is where the server ingests: http://HOST:PORT.
func (s *Server) URL() string { return "http://" + s.executor.address() }

// AdminURL is where the admin listener answers, "" where it is off.
func (s *Server) AdminURL() string {
	if s.admin == nil {
		return ""
	}
	return "http://" + s.admin.address()
}

// Serve answers until ctx is done, then stops: it accepts no more, finishes
// what is being answered within about 2 s, writes out and syncs the file. It
// returns an error where accepting failed or the file could not be made
// durable.
func (s *Server) Serve(ctx context.Context) error {
	ran := make(chan error, 1)
	go func() { ran <- s.executor.run() }()
	var err error
	select {
	case <-ctx.Done():
		err = s.stop(ran)
	case err = <-ran:
		s.stopping.Store(true)
	}
	s.executor.release()
	if errors.Is(err, errStopped) {
		err = nil
	}
	if s.admin != nil {
		err = errors.Join(err, s.admin.close())
	}
	return errors.Join(err, s.closeStages())
}

// stop ends the executor. Waking is repeated, since a connection may be
// accepted or begin to read just after it. Requests that are still being worked
// on after abortGrace are cut off: no call wakes a thread that computes, and
// what it works on has not been acknowledged.
func (s *Server) stop(ran <-chan error) error {
	s.stopping.Store(true)
	deadline := time.Now().Add(stopGrace)
	cutOff := time.After(stopGrace + abortGrace)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		s.executor.wake()
		if time.Now().Before(deadline) {
			s.executor.wakeReaders()
		} else {
			s.executor.abort()
		}
		select {
		case err := <-ran:
			return err
		case <-cutOff:
			s.logf("stop: cut off %d connections whose requests took too long", s.counters.active.Load())
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Server) closeStages() error {
	if s.events != nil {
		s.events.close()
	}
	return s.sink.Close()
}

func (s *Server) logf(format string, arguments ...any) {
	if s.config.Log == nil {
		return
	}
	s.logMu.Lock()
	defer s.logMu.Unlock()
	_, _ = fmt.Fprintf(s.config.Log, "mslab: "+format+"\n", arguments...)
}
