package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mslab/server"
	"mslab/server/registry"
)

const (
	defaultPhase = "7"
	defaultAdmin = "127.0.0.1:6060"
)

type serveOptions struct {
	phase      string
	overrides  map[server.Stage]*string
	register   bool
	adminGiven bool
	config     server.Config
}

func newServeCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [--phase N|NAME]",
		Short: "Start the metrics-ingestion server in one of its phases",
		Long: `serve starts the metrics-ingestion server in one of its phases, or with single
stages of a phase replaced. It prints where it listens, takes POST /metrics, and
appends what it accepts to metrics.jsonl in the data folder. SIGTERM and SIGINT
stop it: it answers what it has taken in, writes it to the file, and exits 0.`,
		Example: `  mslab serve
  mslab serve --phase 3 --addr 127.0.0.1:0
  mslab serve --phase 5 --parse quadratic     phase 5 with the slow parser`,
		Args: wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.adminGiven = cmd.Flags().Changed("admin")
			return serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	f, c := cmd.Flags(), &o.config
	f.SortFlags = false
	f.StringVar(&o.phase, "phase", defaultPhase, "phase by number or name; mslab phases list shows them")
	f.StringVar(&c.Address, "addr", "127.0.0.1:8080", "HOST:PORT to listen on; port 0 picks one")
	f.StringVar(&c.DataDir, "data", "mslab-data", "folder for the data, created where missing")
	f.StringVar(&c.Admin, "admin", defaultAdmin, `HOST:PORT for pprof and counters; :0 picks a loopback port, "" turns it off`)
	f.IntVar(&c.RateLimit, "rate-limit", 0, "requests/s a client may send; 0 is no limit")
	f.IntVar(&c.MaxThreads, "max-threads", 0, "threads for connections; 0 is 4000, or half of what the system leaves")
	f.IntVar(&c.MaxConnections, "max-connections", 0, "open connections; 0 is 65536, or the open-file limit less 100")
	f.DurationVar(&c.ReadTimeout, "read-timeout", 10*time.Second, "from a request's first byte to its last")
	f.DurationVar(&c.WriteTimeout, "write-timeout", 10*time.Second, "to write an answer")
	f.DurationVar(&c.IdleTimeout, "idle-timeout", time.Minute, "of a kept connection between requests")
	f.BoolVar(&c.FaultHooks, "fault-hooks", false, "allow --sink-delay, and POST /clock on the admin address")
	f.DurationVar(&c.SinkDelay, "sink-delay", 0, "sleep in each file write (with --fault-hooks)")
	f.BoolVar(&o.register, "register", true, "let mslab load find this server")
	_ = f.MarkHidden("register") // it exists
	o.overrides = addStageFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("phase", cobra.FixedCompletions(phaseNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// addStageFlags adds a flag for each stage that a phase's own choice can be
// overridden with.
func addStageFlags(cmd *cobra.Command) map[server.Stage]*string {
	overrides := map[server.Stage]*string{}
	for _, info := range server.Stages() {
		overrides[info.Stage] = cmd.Flags().String(string(info.Stage), "", "override: "+info.About+stageValues(info))
		_ = cmd.RegisterFlagCompletionFunc(string(info.Stage), cobra.FixedCompletions(variantNames(info), cobra.ShellCompDirectiveNoFileComp))
	}
	return overrides
}

func variantNames(info server.StageInfo) []string {
	names := make([]string, 0, len(info.Variants))
	for _, v := range info.Variants {
		names = append(names, v.Name)
	}
	return names
}

func stageValues(info server.StageInfo) string {
	if len(info.Variants) == 0 {
		return ""
	}
	return " (" + strings.Join(variantNames(info), ", ") + ")"
}

func phaseNames() []string {
	var names []string
	for _, p := range server.Phases() {
		names = append(names, fmt.Sprint(p.Number), p.Name)
	}
	return names
}

// serve runs a server until ctx is done, which is a good end.
func serve(ctx context.Context, stdout, stderr io.Writer, o serveOptions) error {
	if err := o.resolve(); err != nil {
		return err
	}
	o.config.Log = stderr
	if err := o.moveDefaultAdmin(stderr); err != nil {
		return err
	}
	applyRuntime(o.config)
	s, err := server.New(o.config)
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	// Registered first: who has read the address may look the server up.
	remove := o.registerServer(s, stderr)
	if err := announce(stdout, s, o.config.Phase); err != nil {
		return errors.Join(err, closeServer(s), remove())
	}
	return errors.Join(s.Serve(ctx), remove())
}

// registerServer lets other commands find the server and returns how to take
// that back. The server is of use without it: a failure is told, no more.
func (o *serveOptions) registerServer(s *server.Server, stderr io.Writer) (remove func() error) {
	nothing := func() error { return nil }
	if !o.register {
		return nothing
	}
	remove, err := registry.Register(registry.Dir(), registry.Entry{
		URL: s.URL(), Admin: s.AdminURL(), Phase: o.config.Phase.Number, Name: o.config.Phase.Name,
	})
	if err != nil {
		fmt.Fprintf(stderr, "mslab: %v; mslab load will need its URL\n", err)
		return nothing
	}
	return remove
}

// closeServer gives back what New bound, by serving for no time at all.
func closeServer(s *server.Server) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Serve(ended)
}

func announce(stdout io.Writer, s *server.Server, phase server.Phase) error {
	lines := fmt.Sprintf("listening %s phase=%d name=%s\n", s.URL(), phase.Number, phase.Name)
	if s.AdminURL() != "" {
		lines += fmt.Sprintf("admin %s\n", s.AdminURL())
	}
	_, err := io.WriteString(stdout, lines)
	return err
}

// resolve checks the flags and builds the recipe.
func (o *serveOptions) resolve() error {
	phase, err := server.FindPhase(o.phase)
	if err != nil {
		return usage(err)
	}
	recipe := phase.Recipe
	for _, info := range server.Stages() {
		if value := *o.overrides[info.Stage]; value != "" {
			if recipe, err = recipe.With(info.Stage, value); err != nil {
				return usage(err)
			}
		}
	}
	if err := recipe.Check(); err != nil {
		return usage(err)
	}
	c := &o.config
	c.Phase, c.Recipe = phase, recipe
	if c.SinkDelay != 0 && !c.FaultHooks {
		return usagef("--sink-delay needs --fault-hooks, since it slows every write down")
	}
	if c.DataDir == "" {
		return usagef(`--data "": want the name of a folder`)
	}
	return firstError(
		checkAddress("addr", c.Address),
		checkAdmin(c.Admin),
		atLeast("rate-limit", int64(c.RateLimit), 0),
		atLeast("max-threads", int64(c.MaxThreads), 0),
		atLeast("max-connections", int64(c.MaxConnections), 0),
		positive("read-timeout", c.ReadTimeout),
		positive("write-timeout", c.WriteTimeout),
		positive("idle-timeout", c.IdleTimeout),
		notNegative("sink-delay", c.SinkDelay),
	)
}

func checkAdmin(address string) error {
	if address == "" {
		return nil
	}
	return checkAddress("admin", address)
}

func checkAddress(flag, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return usagef("--%s %q: want HOST:PORT, such as 127.0.0.1:8080", flag, address)
	}
	if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
		return usagef("--%s %q: %w", flag, address, err)
	}
	return nil
}

// moveDefaultAdmin picks a free port where another process has the default one,
// so that two servers run side by side without a flag. An address that was
// asked for stays, and being taken is an error.
func (o *serveOptions) moveDefaultAdmin(stderr io.Writer) error {
	if o.adminGiven {
		return nil
	}
	probe, err := net.Listen("tcp", o.config.Admin)
	if errors.Is(err, syscall.EADDRINUSE) {
		o.config.Admin = "127.0.0.1:0"
		_, err = fmt.Fprintf(stderr, "mslab: admin address %s is in use; picking a free port (choose one with --admin)\n", defaultAdmin)
		return err
	}
	if err != nil {
		return nil // server.New says what is wrong
	}
	return probe.Close()
}

// applyRuntime gives the process what the recipe asks of the Go runtime.
func applyRuntime(c server.Config) {
	runtime.GOMAXPROCS(c.Recipe.Processors())
	if percent, ok := c.Recipe.GCPercent(); ok {
		debug.SetGCPercent(percent)
	}
	// The runtime's own limit of 10,000 kills the process; the server's budget,
	// which refuses a connection instead, must be the one that is met.
	const runtimeLimit, runtimeOwn = 10_000, 1_000
	debug.SetMaxThreads(max(runtimeLimit, c.MaxThreads+runtimeOwn))
}
