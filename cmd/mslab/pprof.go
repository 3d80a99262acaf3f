package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/google/pprof/driver"
	"github.com/spf13/cobra"
)

// newPprofCommand hands its arguments to google/pprof as they are.
func newPprofCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pprof ARGS...",
		Short: "Look into a profile with google/pprof: its flags, its web UI",
		Long: `pprof is google/pprof's own driver, with its own flags, commands and web UI; see
mslab pprof -help.`,
		Example: `  mslab pprof -top cpu.pb.gz
  mslab pprof -http localhost:0 cpu.pb.gz
  mslab pprof -diff_base before.pb.gz after.pb.gz`,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			// It reads its commands and serves its web UI without looking at a
			// context: a signal ends it as it ends google/pprof.
			signal.Reset(syscall.SIGINT, syscall.SIGTERM)
			return runPprof(args)
		},
	}
}

func runPprof(args []string) error {
	flags := newPprofFlags(args)
	err := driver.PProf(&driver.Options{Flagset: flags})
	switch {
	case flags.help:
		return nil
	case flags.err != nil:
		return usage(flags.err)
	case err != nil && flags.empty:
		return usagef("needs a profile: a file or an address")
	case err != nil:
		return fmt.Errorf("pprof: %w", err)
	}
	return nil
}

// pprofFlags is the flag set that google/pprof defines its flags on.
type pprofFlags struct {
	*flag.FlagSet
	args  []string
	extra []string
	help  bool
	empty bool // no argument is left beside the flags
	err   error
}

func newPprofFlags(args []string) *pprofFlags {
	f := &pprofFlags{FlagSet: flag.NewFlagSet("mslab pprof", flag.ContinueOnError), args: args}
	f.SetOutput(io.Discard) // the error comes back, and usage is printed where it was asked for
	f.Usage = func() {}
	return f
}

// StringList is a flag that may be given several times.
func (f *pprofFlags) StringList(name, value, usage string) *[]*string {
	list := &stringList{}
	if value != "" {
		list.values = append(list.values, &value)
	}
	f.Var(list, name, usage)
	return &list.values
}

// ExtraUsage is what AddExtraUsage was given.
func (f *pprofFlags) ExtraUsage() string { return strings.Join(f.extra, "\n") }

// AddExtraUsage adds to the usage text.
func (f *pprofFlags) AddExtraUsage(text string) { f.extra = append(f.extra, text) }

// Parse parses the arguments and returns those that are no flags; none where
// they are wrong.
func (f *pprofFlags) Parse(usage func()) []string {
	err := f.FlagSet.Parse(f.args)
	switch {
	case errors.Is(err, flag.ErrHelp), slices.Contains(f.args, "--help"):
		f.help = true
		usage()
		return nil
	case err != nil:
		f.err = err
		return nil
	}
	f.empty = f.NArg() == 0
	return f.Args()
}

type stringList struct{ values []*string }

func (l *stringList) String() string { return "" }

func (l *stringList) Set(value string) error {
	l.values = append(l.values, &value)
	return nil
}
