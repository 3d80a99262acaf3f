package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"mslab/results/record"
)

// Defaults of a Plan.
const (
	DefaultClients  = 10
	DefaultDeadline = 250 * time.Millisecond
	DefaultTimeout  = 5 * time.Second
)

// Bounds of the names in requests.
const (
	MaxClientIDs = 100_000_000
	MaxHosts     = 1_000_000
	defaultHosts = 100 // the original's
)

// MaxMetrics is how many metrics the server takes in one body.
const MaxMetrics = 1000

// Validate tells, in one line, why the plan cannot be run. It does not look up
// names and touches no network.
func (p *Plan) Validate() error {
	if _, err := parseTarget(p.URL); err != nil {
		return err
	}
	if err := p.validateBounds(); err != nil {
		return err
	}
	if err := p.validateTimes(); err != nil {
		return err
	}
	if err := p.validateArrival(); err != nil {
		return err
	}
	if err := p.validateRequest(); err != nil {
		return err
	}
	if err := p.Retry.validate(); err != nil {
		return err
	}
	if err := p.validateProgress(); err != nil {
		return err
	}
	if p.Ledger != nil && p.Metrics == 0 {
		return errors.New("check the load: a ledger lists batches of metrics, so it needs metrics > 0")
	}
	return nil
}

func (p *Plan) validateBounds() error {
	if p.Clients < 0 {
		return fmt.Errorf("check the load: clients must be positive, not %d", p.Clients)
	}
	bounds := 0
	for _, n := range []int64{p.Requests, p.RequestsPerClient, int64(p.Duration)} {
		if n < 0 {
			return errors.New("check the load: requests, requests per client and duration must not be negative")
		}
		if n > 0 {
			bounds++
		}
	}
	if bounds == 0 && len(p.Replay) > 0 {
		bounds = 1 // its own end
	}
	if bounds != 1 {
		return errors.New("check the load: give exactly one of requests, requests per client and duration")
	}
	switch {
	case p.RequestsPerConnection < 0:
		return fmt.Errorf("check the load: requests per connection must not be negative, they are %d", p.RequestsPerConnection)
	case p.RequestsPerConnection > 0 && p.Connection == New:
		return errors.New("check the load: new connections carry one request each; leave out requests per connection")
	}
	switch p.Connection {
	case "", Keep, New:
		return nil
	}
	return fmt.Errorf("check the load: unknown connection mode %q, want %q or %q", p.Connection, Keep, New)
}

func (p *Plan) validateTimes() error {
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"think time", p.Think}, {"deadline", p.Deadline}, {"timeout", p.Timeout}, {"warm-up", p.Warmup}} {
		if t.d < 0 {
			return fmt.Errorf("check the load: the %s must not be negative, it is %v", t.name, t.d)
		}
	}
	switch p.ThinkDistribution {
	case "", ConstantThink:
	case ExponentialThink:
		if p.Think == 0 {
			return errors.New("check the load: an exponential think time wants its mean, a think time above 0")
		}
	default:
		return fmt.Errorf("check the load: unknown distribution %q of the think time, want %q or %q", p.ThinkDistribution, ConstantThink, ExponentialThink)
	}
	if p.Timeout > record.Longest {
		return fmt.Errorf("check the load: the timeout %v is longer than what is recorded, %v", p.Timeout, record.Longest)
	}
	return nil
}

func (p *Plan) validateRequest() error {
	if p.Metrics < 0 || p.Metrics > MaxMetrics {
		return fmt.Errorf("check the load: metrics must be between 0 and %d, not %d", MaxMetrics, p.Metrics)
	}
	if err := p.validateNames(); err != nil {
		return err
	}
	if p.Method != "" && !isToken(p.Method) {
		return fmt.Errorf("check the load: %q is no HTTP method", p.Method)
	}
	if p.Method == http.MethodConnect {
		return errors.New("check the load: the method CONNECT is not supported")
	}
	for name, values := range p.Header {
		if !isToken(name) {
			return fmt.Errorf("check the load: %q is no header name", name)
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				return fmt.Errorf("check the load: the value of header %s holds a line break or NUL", name)
			}
		}
		if p.ownsHeader(name) {
			return fmt.Errorf("check the load: header %s is set by the generator itself; leave it out", name)
		}
	}
	return nil
}

// lastOn tells whether a request is the last one of a connection that has carried
// so many before it.
func (p *Plan) lastOn(before int) bool {
	return p.Connection == New || p.RequestsPerConnection > 0 && before+1 >= p.RequestsPerConnection
}

func (p *Plan) validateNames() error {
	switch {
	case p.ClientIDs < 0 || p.ClientIDs > MaxClientIDs:
		return fmt.Errorf("check the load: client ids must be between 0 and %d, not %d", MaxClientIDs, p.ClientIDs)
	case p.Hosts < 0 || p.Hosts > MaxHosts:
		return fmt.Errorf("check the load: hosts must be between 0 and %d, not %d", MaxHosts, p.Hosts)
	case (p.ClientIDs > 0 || p.Hosts > 0) && (p.Metrics == 0 || p.Body != nil):
		return errors.New("check the load: client ids and hosts are those of bodies of metrics, so they need metrics > 0")
	case p.ClientIDs > 0 && len(p.Header.Values("Authorization")) > 0:
		return errors.New("check the load: client ids stand in the Authorization field; leave out that header")
	}
	return nil
}

// ownsHeader lists the fields that the accounting depends on.
func (p *Plan) ownsHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade":
		return true
	case "X-Correlation-Id":
		return p.named()
	}
	return false
}

// withDefaults returns the plan with every default filled in.
func (p Plan) withDefaults() Plan {
	if p.Clients == 0 {
		p.Clients = DefaultClients
	}
	if p.ProgressEvery == 0 {
		p.ProgressEvery = DefaultProgressEvery
	}
	if p.Method == "" {
		p.Method = http.MethodGet
		if p.Body != nil || p.Metrics > 0 {
			p.Method = http.MethodPost
		}
	}
	if p.Connection == "" {
		p.Connection = Keep
	}
	if p.Hosts == 0 {
		p.Hosts = defaultHosts
	}
	if p.ThinkDistribution == "" {
		p.ThinkDistribution = ConstantThink
	}
	if p.Deadline == 0 {
		p.Deadline = DefaultDeadline
	}
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	if p.Retry.Max > 0 && len(p.Retry.On) == 0 {
		p.Retry.On = []record.Class{record.Status503, record.ConnectTimeout, record.ReadTimeout}
	}
	if !p.Open() {
		p.MaxConnections = p.Clients
		return p
	}
	if p.Arrival == "" {
		p.Arrival = Constant
	}
	if p.MaxConnections == 0 {
		p.MaxConnections = max(p.Clients, min(defaultMaxConnections, spareFiles()))
	}
	if n := int64(len(p.Replay)); p.Arrival == Replay && p.Duration == 0 && (p.Requests == 0 || p.Requests > n) {
		p.Requests = n
	}
	return p
}

// target is where the load goes.
type target struct {
	tls  bool
	host string         // as in the URL, without port
	port string         // decimal
	path string         // request target
	addr netip.AddrPort // once resolved
}

// authority is the Host field's default.
func (t target) authority() string {
	standard := "80"
	if t.tls {
		standard = "443"
	}
	if t.port != standard {
		return net.JoinHostPort(t.host, t.port)
	}
	if strings.Contains(t.host, ":") {
		return "[" + t.host + "]"
	}
	return t.host
}

func parseTarget(raw string) (target, error) {
	if raw == "" {
		return target{}, errors.New("check the URL: none is given")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, fmt.Errorf("check the URL: %w", err)
	}
	t := target{tls: u.Scheme == "https", host: u.Hostname(), port: u.Port(), path: u.RequestURI()}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return target{}, fmt.Errorf("check the URL %q: it has to begin with http:// or https://", raw)
	case t.host == "":
		return target{}, fmt.Errorf("check the URL %q: it names no host", raw)
	case u.User != nil:
		return target{}, fmt.Errorf("check the URL %q: user and password belong into an Authorization header", raw)
	}
	if t.port == "" {
		t.port = "80"
		if t.tls {
			t.port = "443"
		}
	}
	if n, err := net.LookupPort("tcp", t.port); err != nil || n == 0 {
		return target{}, fmt.Errorf("check the URL %q: %q is no port to connect to", raw, t.port)
	}
	return t, nil
}

// resolve looks up the host once, so that name service is never part of a
// latency. Of several addresses the first IPv4 one is taken, else the first.
func (t target) resolve(ctx context.Context) (target, error) {
	port, err := net.LookupPort("tcp", t.port)
	if err != nil {
		return t, fmt.Errorf("look up port %s: %w", t.port, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.host)
	if err != nil {
		return t, fmt.Errorf("look up host %s: %w", t.host, err)
	}
	if len(addrs) == 0 {
		return t, fmt.Errorf("look up host %s: it has no address", t.host)
	}
	best := addrs[0]
	for _, a := range addrs {
		if a.Unmap().Is4() {
			best = a
			break
		}
	}
	t.addr = netip.AddrPortFrom(best.Unmap(), uint16(port))
	return t, nil
}

// isToken tells whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenByte marks the characters of a token (RFC 9110, section 5.6.2).
var tokenByte = func() (t [256]bool) {
	for c := range 256 {
		b := byte(c)
		t[c] = '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' ||
			strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
	}
	return t
}()
