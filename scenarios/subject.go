package scenarios

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mslab/loadgen"
	"mslab/server"
)

// SubjectSpec names one subject of a scenario. Exactly one of Phase, Command
// and URL is set.
type SubjectSpec struct {
	// Name is what tables call it. "" is the phase's name; a phase that is named
	// again without a name of its own gets a prime.
	Name  string
	Phase string // number or name of a phase or peer of mslab's own
	// Command is a program and its arguments. In each argument "{port}" is
	// replaced by a free port, "{data}" by a folder of the process' own, new in
	// each block, and "{mslab}" by the mslab program that runs. It runs in the user's working folder and environment, with
	// PORT set to that port.
	Command []string
	// URL is a server that already runs, http://HOST:PORT. It is never started
	// and never stopped. Where it has a path, that is what it is asked for.
	URL string
	// Ready is the URL at which a command says that it is ready, such as
	// http://127.0.0.1:{port}/health, or its path alone. It is ready once it
	// answers there with a status below 500: a 404 is the answer of a server
	// that is up. Without it a command is ready once it accepts a connection.
	Ready string
	// ReadyTimeout is how long a command may take to be ready; 0 is 30 s.
	ReadyTimeout time.Duration
	// Port is the port of a command that cannot be told one. 0 where {port} or
	// PORT tells it, or where it is to be found among the ports on which the
	// command's processes listen.
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

// DefaultReadyTimeout is how long a command may take to be ready.
const DefaultReadyTimeout = 30 * time.Second

// What is replaced in a command and in its ready URL.
const (
	portWord = "{port}"
	dataWord = "{data}"
	// programWord stands for the mslab program that runs.
	programWord = "{mslab}"
)

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

// Foreign says that the subject is none of mslab's own servers.
func (s SubjectSpec) Foreign() bool { return s.Phase == "" }

// subjectPattern keeps names fit for tables, files and pairs.
var subjectPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,39}$`)

// Check says in one line what is wrong with the subject, as far as that can be
// told without starting it.
func (s SubjectSpec) Check() error {
	if s.Name != "" && !subjectPattern.MatchString(s.Name) {
		return fmt.Errorf("subject %q: want a name of at most 40 letters, digits and . _ + -", s.Name)
	}
	kinds := 0
	for _, set := range []bool{s.Phase != "", len(s.Command) > 0, s.URL != ""} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("subject %s: want exactly one of a phase, a command and a URL", s.label())
	}
	if s.Phase != "" {
		return s.checkPhase()
	}
	if s.Name == "" {
		return fmt.Errorf("subject %s: a command or URL needs a name", s.label())
	}
	if len(s.Overrides) > 0 {
		return fmt.Errorf("subject %s: %s is a stage or flag of a phase, and this is none", s.Name, sortedKeys(s.Overrides)[0])
	}
	if err := s.checkRequest(); err != nil {
		return fmt.Errorf("subject %s: %w", s.Name, err)
	}
	if s.URL != "" {
		return s.checkURL()
	}
	return s.checkCommand()
}

// label is how messages call a subject that may have no name.
func (s SubjectSpec) label() string {
	for _, word := range []string{s.Name, s.Phase, s.URL, strings.Join(s.Command, " ")} {
		if word != "" {
			return word
		}
	}
	return "without a name"
}

func (s SubjectSpec) checkPhase() error {
	if _, err := server.FindPhase(s.Phase); err != nil {
		return fmt.Errorf("subject %s: %w", s.label(), err)
	}
	if s.Ready != "" || s.Port != 0 {
		return fmt.Errorf("subject %s: a phase says itself where it listens; ready and port are for commands", s.label())
	}
	if s.Path != "" || s.Method != "" || s.Body != nil || len(s.Header) > 0 {
		return fmt.Errorf("subject %s: a phase gets the POST /metrics of its clients; path, method, body and headers are for commands and URLs", s.label())
	}
	return nil
}

func (s SubjectSpec) checkURL() error {
	if s.Ready != "" || s.Port != 0 {
		return fmt.Errorf("subject %s: a URL runs already; ready and port are for commands", s.Name)
	}
	u, err := url.Parse(s.URL)
	if err == nil && u.Fragment != "" {
		err = errors.New("a fragment is never sent")
	}
	if err != nil {
		return fmt.Errorf("subject %s: check the URL %q: %w", s.Name, s.URL, err)
	}
	return nil
}

func (s SubjectSpec) checkCommand() error {
	if s.Port < 0 || s.Port > 65535 {
		return fmt.Errorf("subject %s: want a port from 1 to 65535, have %d", s.Name, s.Port)
	}
	if s.Port > 0 && s.takesPort() {
		return fmt.Errorf("subject %s: its command takes %s, so it needs no port of its own", s.Name, portWord)
	}
	if s.ReadyTimeout < 0 {
		return fmt.Errorf("subject %s: the time to be ready must not be negative, it is %s", s.Name, s.ReadyTimeout)
	}
	if s.Ready == "" || strings.HasPrefix(s.Ready, "/") {
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(s.Ready, portWord, "1"))
	switch {
	case err != nil:
		return fmt.Errorf("subject %s: check the ready URL: %w", s.Name, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return fmt.Errorf("subject %s: want a ready URL such as http://127.0.0.1:%s/health or its path, have %q", s.Name, portWord, s.Ready)
	}
	return nil
}

// checkRequest has the generator look at the request.
func (s SubjectSpec) checkRequest() error {
	if s.Path != "" && !strings.HasPrefix(s.Path, "/") {
		return fmt.Errorf("want a path that begins with /, have %q", s.Path)
	}
	if strings.ContainsAny(s.Path, " \t\r\n#") {
		return fmt.Errorf("want a path as it is sent, without blanks and #, have %q", s.Path)
	}
	base := "http://127.0.0.1:1"
	if s.URL != "" {
		base = s.URL
	}
	p := s.request(loadgen.Plan{Clients: 1, Requests: 1}, base)
	return p.Validate()
}

// takesPort says whether the command can be told where to listen.
func (s SubjectSpec) takesPort() bool {
	return slices.ContainsFunc(s.Command, func(arg string) bool { return strings.Contains(arg, portWord) })
}

// fixedPort is the port that the command is known to take, 0 where it is not
// known: its own, or that of a ready URL that names one.
func (s SubjectSpec) fixedPort() int {
	if s.Port > 0 || s.takesPort() {
		return s.Port
	}
	u, err := url.Parse(s.Ready)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port())
	return port
}

// readyURL is where a command that listens at address says that it is ready, ""
// where it is to be connected to only.
func (s SubjectSpec) readyURL(address string) string {
	_, port, _ := net.SplitHostPort(address)
	ready := strings.ReplaceAll(s.Ready, portWord, port)
	if strings.HasPrefix(ready, "/") {
		return "http://" + address + ready
	}
	return ready
}

func (s SubjectSpec) readyTimeout() time.Duration {
	if s.ReadyTimeout > 0 {
		return s.ReadyTimeout
	}
	return DefaultReadyTimeout
}

// expand is the command with its port, its folder and the mslab that runs.
func (s SubjectSpec) expand(port int, data, program string) []string {
	replace := strings.NewReplacer(portWord, strconv.Itoa(port), dataWord, data, programWord, program)
	args := make([]string, len(s.Command))
	for i, arg := range s.Command {
		args[i] = replace.Replace(arg)
	}
	return args
}

// request makes a load one of the requests that a foreign subject at base gets.
func (s SubjectSpec) request(p loadgen.Plan, base string) loadgen.Plan {
	p.URL, p.Metrics = base, 0
	if u, err := url.Parse(base); err == nil {
		if u.RequestURI() == "/" && s.Path != "" {
			p.URL = u.Scheme + "://" + u.Host + s.Path
		}
	}
	p.Method, p.Body, p.Header = s.Method, s.Body, s.Header
	return p
}

// describeRequest names the request in words: "POST /p with a body of 12 bytes".
func (s SubjectSpec) describeRequest() string {
	p := s.request(loadgen.Plan{}, "http://x")
	if s.URL != "" {
		p = s.request(loadgen.Plan{}, s.URL)
	}
	path := "/"
	if u, err := url.Parse(p.URL); err == nil {
		path = u.RequestURI()
	}
	method := p.Method
	switch {
	case method == "" && p.Body != nil:
		method = http.MethodPost
	case method == "":
		method = http.MethodGet
	}
	words := method + " " + path
	if p.Body != nil {
		words += " with a body of " + count(len(p.Body), "byte")
	}
	for _, name := range sortedKeys(p.Header) {
		words += ", " + name + ": " + strings.Join(p.Header[name], ", ")
	}
	return words
}
