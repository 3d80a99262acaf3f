package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/scenarios/doctor"
	"mslab/server/registry"
)

// insideFlag is how doctor runs itself once more in a namespace.
const insideFlag = "inside"

func newDoctorCommand() *cobra.Command {
	var format, inside string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try what works on this machine, and say what to do",
		Long: `doctor tries what mslab makes use of, and says for each what was tried, what
came back, and what to do where it does not work. It goes by trial, not by
version numbers: a thread is pinned, a namespace made, a BPF program loaded, and
each is taken back. The host's firewall and settings are not touched.

It exits 0 whatever it finds. What does not work for you may work with sudo.`,
		Args: wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed(insideFlag) {
				return doctor.Inside(cmd.Context(), cmd.OutOrStdout(), doctorOptions(), inside)
			}
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			return examine(cmd.Context(), cmd.OutOrStdout(), format)
		},
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	cmd.Flags().StringVar(&inside, insideFlag, "", "")
	_ = cmd.Flags().MarkHidden(insideFlag) // it exists
	return cmd
}

func doctorOptions() doctor.Options {
	return doctor.Options{
		Again: []string{"doctor", "--" + insideFlag},
		Folders: []doctor.Folder{
			{Name: "temp folder", Path: os.TempDir(), Free: 1 << 30}, // a run's servers write there
			{Name: "results folder", Path: results.WorkingHome().Runs, Free: 100 << 20},
			{Name: "registry", Path: registry.Dir(), Free: 1 << 20},
		},
	}
}

func examine(ctx context.Context, stdout io.Writer, format string) error {
	checked := doctor.Run(ctx, doctor.Checks(doctorOptions()))
	return errors.Join(results.RenderChecks(stdout, format, checked), ctx.Err())
}
