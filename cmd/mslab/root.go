package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of the help text.
const (
	groupMain = "main"
	groupMore = "more"
)

// commands is the map of the command line: one constructor a command, in the
// order of the help text. args are the whole command line, for a command that
// runs the program once more.
func commands(args []string) (first, more []*cobra.Command) {
	first = []*cobra.Command{
		newServeCommand(),
		newLoadCommand(),
		newRunCommand(args),
		newCompareCommand(),
		newProfileCommand(),
		newTraceCommand(),
		newChaosCommand(),
		newLearnCommand(),
		newDoctorCommand(),
	}
	more = []*cobra.Command{
		newReportCommand(),
		newResultsCommand(),
		newPhasesCommand(),
		newLogCommand(),
		newPprofCommand(),
		newVersionCommand(),
	}
	return first, more
}

// run is the whole program: it executes the command line args and returns the
// exit code. Every error ends as one line on stderr.
func run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "mslab: internal error: %s; please report it together with the command line\n", oneLine(fmt.Sprint(r)))
			code = exitFailed
		}
	}()
	out := &checkedWriter{w: stdout}
	started := false
	root := newRoot(args)
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	root.SetArgs(args)

	cmd, err := root.ExecuteContextC(ctx)
	if out.err != nil && (err == nil || !errors.Is(err, out.err)) {
		err = errors.Join(withExit(exitFailed, fmt.Errorf("write standard output: %w", out.err)), err)
	}
	code, line := explain(ctx, cmd, err, started)
	if line != "" {
		fmt.Fprintf(stderr, "mslab: %s\n", line)
	}
	return code
}

func newRoot(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "mslab COMMAND",
		Short: "A performance laboratory: phases of one server, side by side",
		Long: `mslab runs a metrics-ingestion server whose optimization phases are switchable
modes, drives it with a load generator, and puts the phases side by side with
enough statistics that a reader can believe them.

Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 a threshold was breached,
4 a regression was found, 5 the run is invalid, 130 and 143 interrupted.`,
		Example: `  mslab serve --phase 7         start a server
  mslab load                    drive it for 10 s
  mslab run first-look          the phases side by side`,
		Args:          cobra.ArbitraryArgs,
		RunE:          needSubcommand,
		SilenceErrors: true,
		SilenceUsage:  true,

		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.NewReplacer(
		"{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]{{end}}", "",
		".FlagUsages ", ".FlagUsagesWrapped 80 ", // columns
	).Replace(root.UsageTemplate()))
	root.AddGroup(&cobra.Group{ID: groupMain, Title: "Commands:"}, &cobra.Group{ID: groupMore, Title: "More:"})
	first, more := commands(args)
	for _, c := range first {
		c.GroupID = groupMain
		root.AddCommand(c)
	}
	for _, c := range more {
		c.GroupID = groupMore
		root.AddCommand(c)
	}
	root.SetHelpCommand(newHelpCommand(root))
	root.SetHelpCommandGroupID(groupMore)
	root.SetCompletionCommandGroupID(groupMore)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args, completion.RunE = cobra.ArbitraryArgs, needSubcommand // cobra's prints its help and exits 0
		completion.Short = "Print the completion script of a shell"
	}
	return root
}

// newHelpCommand stands in for cobra's, which exits 0 on an unknown topic.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about a command",
		GroupID: groupMore,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return usage(err)
			}
			if len(rest) > 0 {
				return unknownCommand(cmd, rest[0])
			}
			return cmd.Help()
		},
	}
}

// needSubcommand is the RunE of a command that only holds others.
func needSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	if !cmd.HasParent() {
		return cmd.Help()
	}
	return usagef("%s: needs one of %s", cmd.Name(), strings.Join(subcommandNames(cmd), ", "))
}

func unknownCommand(cmd *cobra.Command, name string) error {
	if !cmd.HasSubCommands() {
		return usagef("%q takes no command %q", cmd.CommandPath(), name)
	}
	err := fmt.Errorf("unknown command %q", strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "mslab")+" "+name))
	if similar := cmd.SuggestionsFor(name); len(similar) > 0 {
		return usagef("%w; did you mean %s?", err, strings.Join(similar, " or "))
	}
	return usagef("%w; there are %s", err, strings.Join(subcommandNames(cmd), ", "))
}

func subcommandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// newGroup makes a command that only holds others.
func newGroup(use, short string, sub ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use + " COMMAND", Short: short, Args: cobra.ArbitraryArgs, RunE: needSubcommand}
	cmd.AddCommand(sub...)
	return cmd
}

// checkedWriter remembers the first error of its writer, so that a full disk or
// a closed pipe is reported however the output was printed.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.err = err
	return n, err
}
