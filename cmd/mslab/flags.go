package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says in one line what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	// A mistyped command takes its flags for those of its parent.
	if rest := cmd.Flags().Args(); cmd.HasSubCommands() && len(rest) > 0 {
		return unknownCommand(cmd, rest[0])
	}
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid):
		flag := invalid.GetFlag()
		return usagef("--%s %s: want %s", flag.Name, invalid.GetValue(), wanted(flag.Value.Type(), err))
	case errors.As(err, &unknown):
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return usagef("unknown flag %s%s", dashes, unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return usagef("--%s needs a value", missing.GetFlag().Name)
	}
	return usage(err)
}

// wanted describes the values of a flag's type.
func wanted(kind string, err error) string {
	switch kind {
	case "int", "int64":
		return "a whole number"
	case "float64":
		return "a number"
	case "duration":
		return "a duration such as 250ms or 10s"
	case "bool":
		return "true or false"
	}
	return oneLine(errors.Unwrap(err).Error())
}

// exclusive refuses more than one of the flags.
func exclusive(cmd *cobra.Command, names ...string) error {
	var given []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return usagef("%s exclude each other; give one", strings.Join(given, " and "))
	}
	return nil
}

// wantArgs takes from min to max arguments; form names them in the error.
func wantArgs(min, max int, form string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < min:
			return usagef("needs %s", form)
		case len(args) > max && max == 0:
			return usagef("takes no argument, not %q", args[0])
		case len(args) > max:
			return usagef("takes %s, and not %q too", form, args[max])
		}
		return nil
	}
}

// atLeast checks a number that a flag gave.
func atLeast(name string, value, least int64) error {
	if value < least {
		return usagef("--%s %d: want %d or more", name, value, least)
	}
	return nil
}

// notNegative and positive check a duration that a flag gave.
func notNegative(name string, value time.Duration) error {
	if value < 0 {
		return usagef("--%s %s: want 0 or more", name, value)
	}
	return nil
}

func positive(name string, value time.Duration) error {
	if value <= 0 {
		return usagef("--%s %s: want more than 0", name, value)
	}
	return nil
}

// firstError is the first of the errors that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
