package main

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mslab/loadgen"
	"mslab/scenarios"
)

// subjectFlags are the flags of run that say what is measured and what it is
// asked.
type subjectFlags struct {
	subjects     []string
	path, method string
	body         string
	headers      []string
	ready        string
	readyTimeout time.Duration
	connection   string
}

// foreignFlags are those that only foreign subjects answer to.
var foreignFlags = []string{"path", "method", "body", "header"}

func (s *subjectFlags) register(f *pflag.FlagSet) {
	f.StringArrayVar(&s.subjects, "subject", nil, "`NAME=WHAT`: play this, a phase, ./binary, \"command\" or URL, instead of the scenario's (repeatable)")
	f.StringVar(&s.path, "path", "", "path to ask commands and URLs for (default /)")
	f.StringVar(&s.method, "method", "", "method to ask them by (default GET, or POST with --body)")
	f.StringVar(&s.body, "body", "", "`file` that they are sent")
	f.StringArrayVarP(&s.headers, "header", "H", nil, "header field 'Name: value' that they are sent (repeatable)")
	f.StringVar(&s.ready, "ready", "", "`URL` or path at which commands say that they are ready (default: they accept a connection)")
	f.DurationVar(&s.readyTimeout, "ready-timeout", scenarios.DefaultReadyTimeout, "how long commands may take to be ready")
	f.StringVar(&s.connection, "connection", "", "keep or new: how long a client keeps its connection (default: the scenario's)")
}

// apply puts the flags into the options of a plan. All that is wrong with them
// is wrong usage.
func (s *subjectFlags) apply(cmd *cobra.Command, o *scenarios.Options) error {
	switch c := loadgen.Connection(s.connection); c {
	case "", loadgen.Keep, loadgen.New:
		o.Connection = c
	default:
		return usagef("--connection %q: want keep or new", s.connection)
	}
	if err := exclusive(cmd, "subject", "phases"); err != nil {
		return usagef("%w; a phase is a subject too: --subject NAME=7", err)
	}
	header, err := parseHeaders(s.headers)
	if err != nil {
		return err
	}
	var body []byte
	if cmd.Flags().Changed("body") {
		if body, err = os.ReadFile(s.body); err != nil {
			return usagef("--body: %w", err)
		}
		if body == nil {
			body = []byte{}
		}
	}
	commands, foreign := 0, 0
	for _, text := range s.subjects {
		spec, err := scenarios.ParseSubject(text)
		if err != nil {
			return usagef("--subject %w", err)
		}
		if slices.ContainsFunc(o.Subjects, func(other scenarios.SubjectSpec) bool { return other.Name == spec.Name }) {
			return usagef("--subject %s: the name is there twice; want a name of its own for each", text)
		}
		if spec.Foreign() {
			foreign++
			spec.Path, spec.Method, spec.Body, spec.Header = s.path, s.method, body, header
		}
		if len(spec.Command) > 0 {
			commands++
			spec.Ready, spec.ReadyTimeout = s.ready, s.readyTimeout
		}
		if err := spec.Check(); err != nil {
			return usage(err)
		}
		o.Subjects = append(o.Subjects, spec)
	}
	return s.checkUse(cmd, foreign, commands)
}

// checkUse refuses flags that nothing would answer to.
func (s *subjectFlags) checkUse(cmd *cobra.Command, foreign, commands int) error {
	for _, name := range foreignFlags {
		if foreign == 0 && cmd.Flags().Changed(name) {
			return usagef("--%s is for subjects that are commands or URLs, and there is none: phases get the POST /metrics of their clients", name)
		}
	}
	for _, name := range []string{"ready", "ready-timeout"} {
		if commands == 0 && cmd.Flags().Changed(name) {
			return usagef("--%s is for subjects that are commands, and there is none", name)
		}
	}
	if cmd.Flags().Changed("ready-timeout") && s.readyTimeout <= 0 {
		return usagef("--ready-timeout: want a time such as 30s, have %s", s.readyTimeout)
	}
	if cmd.Flags().Changed("path") && s.path == "" {
		return usagef("--path: want a path that begins with /, have none")
	}
	if cmd.Flags().Changed("ready") && strings.TrimSpace(s.ready) == "" {
		return usagef("--ready: want a URL or a path, have none")
	}
	return nil
}
