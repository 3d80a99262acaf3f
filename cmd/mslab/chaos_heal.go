package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mslab/chaos"
	"mslab/results"
)

func newChaosListCommand() *cobra.Command {
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the faults, and try which of them work here",
		Args:  wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			return results.Render(cmd.OutOrStdout(), format, []results.Table{faultsTable(cmd.Context())})
		},
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

// faultsTable tries each fault in each of its ways.
func faultsTable(ctx context.Context) results.Table {
	t := results.Table{
		Columns: []results.Column{
			{Key: "fault", Title: "fault", Left: true},
			{Key: "works", Title: "works", Left: true},
			{Key: "about", Title: "what it does, what it takes", Left: true},
		},
		Notes: []string{"Tried here and now, without changing anything."},
	}
	for _, f := range chaos.Faults() {
		said := "" // the other ways often lack the same
		for i, via := range f.Ways() {
			name, about := f.Name, f.About+"; takes "+f.Needs
			if i > 0 {
				name, about = f.Name+" --via "+via, "the same, another way"
			}
			works := "yes"
			if err := f.TryVia(ctx, via); err != nil {
				works = "no"
				// A reason may hold words, such as paths, that no column has room for.
				if why := oneLine(err.Error()); why != said {
					t.Notes = append(t.Notes, name+": "+why)
					said = why
				}
			}
			t.Rows = append(t.Rows, []results.Cell{results.TextCell(name), results.TextCell(works), results.TextCell(about)})
		}
	}
	return t
}

func newChaosStatusCommand() *cobra.Command {
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the faults that are active",
		Args:  wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			return chaosStatus(cmd.OutOrStdout(), cmd.ErrOrStderr(), format)
		},
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

func chaosStatus(stdout, stderr io.Writer, format string) error {
	active, bad, err := chaos.List(chaos.Dir())
	if err != nil {
		return err
	}
	for _, line := range bad {
		fmt.Fprintf(stderr, "mslab: %s; mslab chaos heal removes it\n", oneLine(line))
	}
	switch {
	case format == formatJSON:
		return statusJSON(stdout, active)
	case format == formatTable && len(active) == 0:
		_, err := fmt.Fprintln(stdout, "No fault is active.")
		return err
	}
	return results.Render(stdout, format, []results.Table{statusTable(active)})
}

// held says who heals a fault.
func held(a chaos.Active) string {
	switch {
	case a.Live:
		return fmt.Sprintf("process %d, which heals it", a.Owner.PID)
	case a.Foreign != "":
		return fmt.Sprintf("process %d, which is gone; of %s", a.Owner.PID, a.Foreign)
	}
	return fmt.Sprintf("process %d, which is gone: run mslab chaos heal", a.Owner.PID)
}

func statusTable(active []chaos.Active) results.Table {
	t := results.Table{Columns: []results.Column{
		{Key: "fault", Title: "fault", Left: true},
		{Key: "target", Title: "target", Left: true},
		{Key: "since", Title: "since"},
		{Key: "left", Title: "left", Unit: "ns"},
		{Key: "by", Title: "by", Left: true},
	}}
	for _, a := range active {
		left := results.TextCell("until healed")
		if a.Duration > 0 {
			left = results.FigureCell(float64(a.Left), results.FormatNS)
		}
		t.Rows = append(t.Rows, []results.Cell{
			results.TextCell(a.Fault), results.TextCell(a.Target.String()),
			results.TextCell(a.Created.Local().Format(time.TimeOnly)), left, results.TextCell(held(a)),
		})
	}
	return t
}

// statusJSON prints {schema, active:[{id, fault, target, since, left_ns, pid,
// live}]}; left_ns is null for a fault that lasts until it is healed.
func statusJSON(w io.Writer, active []chaos.Active) error {
	type line struct {
		ID      string `json:"id"`
		Fault   string `json:"fault"`
		Target  string `json:"target"`
		Since   string `json:"since"`
		LeftNS  *int64 `json:"left_ns"`
		PID     int    `json:"pid"`
		Live    bool   `json:"live"`
		Foreign string `json:"foreign,omitempty"`
	}
	doc := struct {
		Schema string `json:"schema"`
		Active []line `json:"active"`
	}{chaosStatusSchema, []line{}}
	for _, a := range active {
		l := line{a.ID, a.Fault, a.Target.String(), a.Created.Format(time.RFC3339Nano), nil, a.Owner.PID, a.Live, a.Foreign}
		if a.Duration > 0 {
			left := a.Left.Nanoseconds()
			l.LeftNS = &left
		}
		doc.Active = append(doc.Active, l)
	}
	return printChaosJSON(w, doc)
}

func newChaosHealCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "heal",
		Short: "Heal every fault that is left",
		Long: `heal undoes the faults whose process is gone, by the journal. Those whose
process lives are left to it, unless --all is given, which ends that process
with SIGTERM and waits until it has healed. It exits 0 when nothing is left.`,
		Args: wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return healChaos(cmd.Context(), cmd.OutOrStdout(), chaos.HealOptions{Stop: all, Clear: true})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "end the processes that hold a fault, too")
	return cmd
}

func healChaos(ctx context.Context, stdout io.Writer, o chaos.HealOptions) error {
	outcomes, err := chaos.HealAll(ctx, chaos.Dir(), o)
	if err != nil {
		return err
	}
	left, live := 0, 0
	for _, outcome := range outcomes {
		fmt.Fprintln(stdout, results.Wrap(oneLine(outcome.String())))
		switch {
		case outcome.Err != nil:
			left++
		case outcome.Live:
			live++
		}
	}
	switch {
	case left > 0:
		return fmt.Errorf("heal: %d of %d are left", left+live, len(outcomes))
	case live > 0:
		return fmt.Errorf("heal: %d of %d are left to processes that live; --all ends those", live, len(outcomes))
	}
	_, err = fmt.Fprintln(stdout, "Nothing is left.")
	return err
}
