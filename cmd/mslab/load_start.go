package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/loadgen"
)

const (
	// latestStart is how far away a start may be: beyond, a date was mistyped.
	latestStart = 24 * time.Hour
	// startStep is how long at most a wait sleeps between looks at the clock, so
	// that it follows a clock that is set meanwhile.
	startStep = time.Second
)

// startOptions is the flag that has several machines start together.
type startOptions struct {
	text string
	at   time.Time // zero: at once; without a monotonic reading
}

func (o *startOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.text, "start-at", "", "wait until then, as other machines do: 2006-01-02T15:04:05.5Z (RFC 3339), 15:04:05 of today, or +10s")
}

// resolve reads the flag; now is when the command began.
func (o *startOptions) resolve(cmd *cobra.Command, now time.Time) error {
	if !cmd.Flags().Changed("start-at") {
		return nil
	}
	at, err := parseStart(o.text, now)
	if err != nil {
		return err
	}
	// By the wall clock, which other machines have too.
	now, at = now.Round(0), at.Round(0)
	switch away := at.Sub(now); {
	case away < 0:
		return usagef("--start-at %s: that was %s ago; give a time to come, by this machine's clock (now %s)", o.text, apartText(-away), now.UTC().Format(time.RFC3339))
	case away > latestStart:
		return usagef("--start-at %s: that is %s away; want 24h at most", o.text, apartText(away))
	}
	o.at = at
	return nil
}

// parseStart reads an instant, a time of the day at now's place, or a duration
// from now on.
func parseStart(text string, now time.Time) (time.Time, error) {
	if later, ok := strings.CutPrefix(text, "+"); ok {
		if d, err := time.ParseDuration(later); err == nil && d >= 0 && later[0] != '+' {
			return now.Add(d), nil
		}
	} else if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	} else if of, err := time.Parse(time.TimeOnly, text); err == nil { // takes fractions too
		return time.Date(now.Year(), now.Month(), now.Day(), of.Hour(), of.Minute(), of.Second(), of.Nanosecond(), now.Location()), nil
	}
	return time.Time{}, usagef("--start-at %s: want a time such as 2006-01-02T15:04:05.5Z (RFC 3339), 15:04:05 of today, or +10s", text)
}

// apartText prints a duration to the millisecond, a long one to the second.
func apartText(d time.Duration) string {
	if d > time.Minute {
		return d.Round(time.Second).String()
	}
	return max(d.Round(time.Millisecond), time.Millisecond).String()
}

// wait returns at the time to start, or with the signal that ended the wait.
func (o *startOptions) wait(ctx context.Context, stderr io.Writer) error {
	if o.at.IsZero() {
		return nil
	}
	left := func() time.Duration { return o.at.Sub(time.Now().Round(0)) }
	fmt.Fprintf(stderr, "starts at %s, in %s\n", o.at.UTC().Format("2006-01-02T15:04:05.000Z07:00"), apartText(left()))
	for d := left(); d > 0; d = left() {
		timer := time.NewTimer(min(d, startStep))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
	return nil
}

// requestText names the request in words, such as "POST /metrics with a body of
// 12 bytes"; two loads of one server that differ in it are not alike.
func requestText(p *loadgen.Plan) string {
	method, path := p.Method, "/"
	if method == "" {
		method = http.MethodGet
		if p.Body != nil || p.Metrics > 0 {
			method = http.MethodPost
		}
	}
	if u, err := url.Parse(p.URL); err == nil {
		path = u.RequestURI()
	}
	words := method + " " + path
	if p.Body != nil {
		words += fmt.Sprintf(" with a body of %s", plural(len(p.Body), "byte"))
	}
	return words
}
