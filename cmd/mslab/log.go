package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/results/record"
)

const logVerifySchema = "mslab.log.verify/v1"

type logVerifyOptions struct {
	ledger, data, format string
	json                 bool
}

func newLogCommand() *cobra.Command {
	return newGroup("log", "Check what a server stored", newLogVerifyCommand())
}

func newLogVerifyCommand() *cobra.Command {
	var o logVerifyOptions
	formats := []string{formatText, formatJSON}
	cmd := &cobra.Command{
		Use:   "verify --ledger FILE [--data DIR]",
		Short: "Check that every acknowledged batch was stored, once",
		Long: `verify holds the ledger of mslab load --ledger against what the server stored.
It only reads. Stop the server first: what it has still to write counts as
lost. A lost batch is exit 1.`,
		Args: wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&o.format, o.json, formats...)); err != nil {
				return err
			}
			if o.ledger == "" {
				return usagef("--ledger is missing; give the file that mslab load --ledger wrote")
			}
			return verifyLog(cmd.OutOrStdout(), o)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&o.ledger, "ledger", "", "file that mslab load --ledger wrote")
	cmd.Flags().StringVar(&o.data, "data", "mslab-data", "the server's data folder")
	addFormatFlags(cmd, &o.format, &o.json, formats...)
	return cmd
}

func verifyLog(w io.Writer, o logVerifyOptions) error {
	ledger, err := record.OpenRegular(o.ledger)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer ledger.Close()
	report, err := results.VerifyLog(ledger, o.data)
	if err != nil {
		return err
	}
	if err := printLogReport(w, o.format, report); err != nil {
		return err
	}
	if report.Lost > 0 {
		return fmt.Errorf("%d of %d acknowledged batches are lost", report.Lost, report.Acknowledged)
	}
	return nil
}

func printLogReport(w io.Writer, format string, r results.LogReport) error {
	if format == formatJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			Schema string `json:"schema"`
			results.LogReport
		}{logVerifySchema, r})
	}
	_, err := io.WriteString(w, logText(r))
	return err
}

func logText(r results.LogReport) string {
	var b strings.Builder
	fmt.Fprintf(&b, "acknowledged  %d batches\n", r.Acknowledged)
	fmt.Fprintf(&b, "stored        %d\n", r.Stored)
	fmt.Fprintf(&b, "lost          %d\n", r.Lost)
	fmt.Fprintf(&b, "duplicated    %d\n", r.Duplicated)
	fmt.Fprintf(&b, "unknown       %d stored without an acknowledgement, %d of them answered with an error\n", r.Unknown, r.RefusedStored)
	fmt.Fprintf(&b, "lines         %d, %d of them without an id\n", r.Lines, r.LinesWithoutID)
	note := func(wanted bool, format string, args ...any) {
		if wanted {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	note(r.Corrupt > 0, "%d lines are corrupt, the first are %v", r.Corrupt, r.CorruptLines)
	note(r.TornBytes > 0, "the last line is torn: %d bytes skipped", r.TornBytes)
	note(r.LedgerTorn, "the ledger's last line is torn and was skipped")
	note(len(r.LostIDs) > 0, "lost, the first: %s", strings.Join(r.LostIDs, ", "))
	return b.String()
}
