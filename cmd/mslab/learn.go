package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/scenarios"
	"mslab/scenarios/lessons"
)

type learnOptions struct {
	predict string
	dir     string
	format  string
	json    bool
	clients int // hidden: a smaller play, for tests
	blocks  int
}

func newLearnCommand() *cobra.Command {
	var o learnOptions
	cmd := &cobra.Command{
		Use:   "learn [N]",
		Short: "Predict an outcome, then measure it: lessons",
		Long: `learn lists the lessons. With a number it plays that one: it says what is going
to happen, asks for your prediction, measures, and shows the two side by side
with the evidence and an explanation. The prediction is stored with the run
before anything is played.

A lesson plays in a network namespace of its own, as mslab run does, or where
none can be made on the loopback device of this host.`,
		Example: `  mslab learn
  mslab learn 1
  mslab learn 1 --predict 5=20ms,7=2ms`,
		Args: wantArgs(0, 1, "the number of one lesson"),
		RunE: func(cmd *cobra.Command, args []string) error { return learn(cmd, o, args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return completeLessons(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.predict, "predict", "", "your predictions, instead of being asked for them: PHASE=VALUE,...")
	f.StringVarP(&o.dir, "out", "o", "", "run folder (default LESSON-TIME under "+results.WorkingHome().Runs+")")
	f.IntVar(&o.clients, "clients", 0, "number of concurrent clients")
	f.IntVar(&o.blocks, "blocks", 0, "how often all phases are started and played")
	_ = f.MarkHidden("clients")
	_ = f.MarkHidden("blocks")
	addFormatFlags(cmd, &o.format, &o.json, results.Formats...)
	return cmd
}

func completeLessons() []string {
	var numbers []string
	for _, l := range lessons.Numbered() {
		numbers = append(numbers, strconv.Itoa(l.Number)+"\t"+l.Question)
	}
	return numbers
}

func learn(cmd *cobra.Command, o learnOptions, args []string) error {
	if err := firstError(
		exclusive(cmd, "json", "format"),
		checkFormat(&o.format, o.json, results.Formats...),
	); err != nil {
		return err
	}
	if len(args) == 0 {
		for _, flag := range []string{"predict", "out", "clients", "blocks"} {
			if cmd.Flags().Changed(flag) {
				return usagef("--%s needs the number of a lesson; mslab learn lists them", flag)
			}
		}
		return listLessons(cmd.OutOrStdout(), o.format)
	}
	lesson, err := lessons.Find(args[0])
	if err != nil {
		return usage(err)
	}
	plan, err := o.plan(cmd, lesson)
	if err != nil {
		return err
	}
	answers := answers{}
	if cmd.Flags().Changed("predict") {
		if answers, err = parsePredictions(lesson, o.predict); err != nil {
			return usage(err)
		}
	}
	if scenarios.Inside() == scenarios.NoSandbox {
		done, err := o.teach(cmd, lesson, plan, answers)
		if done || err != nil {
			return err
		}
	}
	return o.play(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), lesson, plan, answers)
}

func (o *learnOptions) plan(cmd *cobra.Command, lesson lessons.Lesson) (*scenarios.Plan, error) {
	options := scenarios.Options{Blocks: o.blocks}
	for name, value := range map[string]int{"clients": o.clients, "blocks": o.blocks} {
		if cmd.Flags().Changed(name) {
			if err := atLeast(name, int64(value), 1); err != nil {
				return nil, err
			}
		}
	}
	if o.clients > 0 {
		options.Clients = []int{o.clients}
	}
	return lesson.Plan(options)
}

func listLessons(w io.Writer, format string) error {
	t := results.Table{
		Columns: []results.Column{
			{Key: "lesson", Title: "lesson"},
			{Key: "question", Title: "question", Left: true},
			{Key: "duration", Title: "takes", Unit: "s"},
		},
		Notes: []string{"mslab learn 1 asks for your prediction, then measures."},
	}
	for _, l := range lessons.Numbered() {
		takes := results.TextCell("-")
		if plan, err := l.Plan(scenarios.Options{}); err == nil {
			takes = results.FigureCell(plan.Duration().Seconds(), func(v float64) string {
				return time.Duration(v * float64(time.Second)).Round(time.Second).String()
			})
		}
		number := results.FigureCell(float64(l.Number), func(v float64) string { return strconv.Itoa(int(v)) })
		t.Rows = append(t.Rows, []results.Cell{number, results.TextCell(l.Question), takes})
	}
	return results.Render(w, format, []results.Table{t})
}

// teach introduces the lesson, asks for the predictions that are missing and
// plays it in a sandbox. It is not done where it has to be played outside of
// one.
func (o *learnOptions) teach(cmd *cobra.Command, lesson lessons.Lesson, plan *scenarios.Plan, given answers) (done bool, err error) {
	if runtime.GOOS != "linux" {
		return false, fmt.Errorf("play lesson %d: not supported on %s: it reads the servers' figures from the Linux kernel", lesson.Number, runtime.GOOS)
	}
	stderr := cmd.ErrOrStderr()
	sandbox, shared := scenarios.FindSandbox(cmd.Context())
	if err := cmd.Context().Err(); err != nil {
		return false, err
	}
	introduce(stderr, lesson, plan, shared)
	if err := ask(cmd.Context(), cmd.InOrStdin(), stderr, lesson, given); err != nil {
		return false, err
	}
	if shared != nil {
		return false, nil
	}
	return true, playInside(cmd, sandbox, o.again(lesson, given))
}

// again is the command line that plays the lesson without asking.
func (o *learnOptions) again(lesson lessons.Lesson, given answers) []string {
	args := []string{"learn", strconv.Itoa(lesson.Number), "--predict", given.flag(lesson), "--format", o.format}
	if o.dir != "" {
		args = append(args, "--out", o.dir)
	}
	if o.clients > 0 {
		args = append(args, "--clients", strconv.Itoa(o.clients))
	}
	if o.blocks > 0 {
		args = append(args, "--blocks", strconv.Itoa(o.blocks))
	}
	return args
}

func introduce(w io.Writer, lesson lessons.Lesson, plan *scenarios.Plan, shared error) {
	fmt.Fprintf(w, "Lesson %d: %s\n\n%s\n", lesson.Number, lesson.Question, lesson.Before)
	takes := plan.Duration().Round(time.Second)
	if shared == nil {
		fmt.Fprintf(w, "It takes about %s, in a network namespace of its own.\n\n", takes)
		return
	}
	fmt.Fprintln(w, results.Wrap(fmt.Sprintf("It takes about %s, on this host's loopback, where other programs' connections are counted too (%v).", takes, shared)))
	fmt.Fprintln(w)
}

// play measures and shows. What an interruption cut short is kept and shown
// too, without the answer.
func (o *learnOptions) play(ctx context.Context, stdout, stderr io.Writer, lesson lessons.Lesson, plan *scenarios.Plan, given answers) error {
	predictions, err := given.predictions(lesson, plan)
	if err != nil {
		return err
	}
	how := scenarios.Play{Dir: o.dir, Tool: toolVersion(), Predictions: predictions}
	watchLesson(stderr, &how)
	dir, run, err := scenarios.Run(ctx, plan, how)
	if run == nil {
		return err
	}
	// First, since stdout may come later, through a pipe.
	fmt.Fprintf(stderr, "run folder: %s\nall its tables: mslab results show %s\n\n", dir, dir)
	if len(run.Trials) > 0 {
		err = errors.Join(err, showLesson(stdout, o.format, lesson, run))
	}
	if err != nil {
		return err
	}
	return checkValid(dir, run)
}

// showLesson prints the tables, and in the forms for people the answer.
func showLesson(w io.Writer, format string, lesson lessons.Lesson, run *results.Run) error {
	tables, err := lesson.Tables(run)
	if err != nil {
		return err
	}
	if err := results.Render(w, format, tables); err != nil {
		return err
	}
	if run.Incomplete || format != formatTable && format != formatMarkdown {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\nTo try next:\n", lesson.Answer)
	for _, next := range lesson.Next {
		if format == formatMarkdown {
			fmt.Fprintf(&b, "- `%s`: %s\n", next.Line, next.Why)
		} else {
			fmt.Fprintf(&b, "  %s\n      %s\n", next.Line, next.Why)
		}
	}
	_, err = io.WriteString(w, b.String())
	return err
}
