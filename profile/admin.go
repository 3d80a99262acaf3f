package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

const (
	// windowHeader is where the server tells what it did while a profile was
	// taken: server/admin_profile.go.
	windowHeader = "Mslab-Window"
	// answerTimeout is how long an answer may take beyond the time asked for:
	// a loaded server on a busy core builds its profile in it.
	answerTimeout = 15 * time.Second
	// largest is the size at which an answer is no profile of ours.
	largest = 256 << 20
)

// Window is what the server did in a stretch of time.
type Window struct {
	Length   time.Duration `json:"length_ns"`
	CPU      time.Duration `json:"cpu_ns"`   // by the process' clock
	Requests int64         `json:"requests"` // complete requests of any kind
	Batches  int64         `json:"batches"`  // batches acknowledged
}

// add puts two stretches together.
func (w Window) add(other Window) Window {
	return Window{w.Length + other.Length, w.CPU + other.CPU, w.Requests + other.Requests, w.Batches + other.Batches}
}

// Admin is the admin listener of a server.
type Admin struct {
	url    string
	client *http.Client
}

// CheckAddress says what is wrong with an admin address, without asking there.
func CheckAddress(address string) error {
	_, err := baseOf(address)
	return err
}

func baseOf(address string) (string, error) {
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "http" || base.Hostname() == "" {
		return "", fmt.Errorf("open admin address %q: want http://HOST:PORT, as mslab serve prints it", address)
	}
	return "http://" + base.Host, nil
}

// OpenAdmin makes sure that an mslab server answers at the address.
func OpenAdmin(ctx context.Context, address string) (*Admin, error) {
	base, err := baseOf(address)
	if err != nil {
		return nil, err
	}
	// Profiles come from the server itself, never through a proxy; a request
	// on a connection of its own is not sent again when that ends.
	a := &Admin{url: base, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if err := a.check(ctx); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Close gives the connection back.
func (a *Admin) Close() { a.client.CloseIdleConnections() }

// URL is the address.
func (a *Admin) URL() string { return a.url }

// check asks for the counters, which no other server has under these names.
func (a *Admin) check(ctx context.Context) error {
	body, _, err := a.get(ctx, "/metrics", 0)
	if err != nil {
		return fmt.Errorf("open admin address %s: %w", a.url, err)
	}
	var counters map[string]int64
	err = json.Unmarshal(body, &counters)
	_, requests := counters["requests_total"]
	_, batches := counters["batches_processed"]
	if err != nil || !requests || !batches {
		return fmt.Errorf("open admin address %s: no mslab server answers there; give the address after admin that mslab serve prints", a.url)
	}
	// The ingest port has the counters and no profiles.
	if _, _, err := a.get(ctx, "/window?seconds=0.001", 0); err != nil {
		return fmt.Errorf("open admin address %s: it has counters and no profiles (%w); give the address after admin that mslab serve prints", a.url, err)
	}
	return nil
}

// watch looks at the server for d without taking a profile.
func (a *Admin) watch(ctx context.Context, d time.Duration) (Window, error) {
	_, header, err := a.get(ctx, "/window?seconds="+formatSeconds(d), d)
	if err != nil {
		return Window{}, fmt.Errorf("watch %s: %w", a.url, err)
	}
	return windowOf(header, d)
}

// fetch takes one profile; d is 0 for a kind of one moment.
func (a *Admin) fetch(ctx context.Context, path string, d time.Duration) (*profile.Profile, Window, error) {
	path = "/debug/pprof/" + path
	if d > 0 {
		path += "?seconds=" + formatSeconds(d)
	}
	body, header, err := a.get(ctx, path, d)
	if err != nil {
		return nil, Window{}, err
	}
	p, err := profile.ParseData(body)
	if err != nil {
		return nil, Window{}, fmt.Errorf("read the profile: %w", err)
	}
	w, err := windowOf(header, d)
	return p, w, err
}

func formatSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// windowOf reads the window of an answer. A server that stops ends it early.
func windowOf(header http.Header, asked time.Duration) (Window, error) {
	var w Window
	if err := json.Unmarshal([]byte(header.Get(windowHeader)), &w); err != nil {
		return w, fmt.Errorf("read what the server did meanwhile: no %s in its answer; is it of another version?", windowHeader)
	}
	if w.Length < asked-asked/100 {
		return w, fmt.Errorf("the server stopped after %s of %s", w.Length.Round(time.Millisecond), asked)
	}
	return w, nil
}

// get asks for what takes d to make.
func (a *Admin) get(ctx context.Context, path string, d time.Duration) ([]byte, http.Header, error) {
	limited, cancel := context.WithTimeout(ctx, d+answerTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodGet, a.url+path, nil)
	if err != nil {
		return nil, nil, err
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return nil, nil, a.explain(ctx, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, largest+1))
	switch {
	case err != nil:
		return nil, nil, a.explain(ctx, err)
	case len(body) > largest:
		return nil, nil, fmt.Errorf("the answer is larger than %d MiB", largest>>20)
	case answer.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("the server answered %s: %s", answer.Status, firstLine(body))
	}
	return body, answer.Header, nil
}

// explain drops what the user knows from an error of the client.
func (a *Admin) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended before the answer; the server has stopped")
	}
	return err
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	const enough = 200
	if len(line) > enough {
		line = line[:enough]
	}
	return line
}
