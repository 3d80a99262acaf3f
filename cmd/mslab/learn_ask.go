package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"mslab/results"
	"mslab/scenarios"
	"mslab/scenarios/lessons"
)

const (
	// attempts is how often a prediction is asked for.
	attempts = 3
	// longestPrediction is beyond any wait that a lesson can show.
	longestPrediction = time.Hour
	// longestAnswer bounds a typed line in bytes.
	longestAnswer = 4096
)

// answers are the predictions, by the phase that they are asked for.
type answers map[string]float64

// parsePredictions reads PHASE=VALUE,... of the phases that the lesson asks
// for.
func parsePredictions(lesson lessons.Lesson, text string) (answers, error) {
	given := answers{}
	for part := range strings.SplitSeq(text, ",") {
		phase, value, ok := strings.Cut(part, "=")
		phase = strings.TrimSpace(phase)
		if !ok {
			return nil, fmt.Errorf("--predict %.40q: want %s", text, predictForm(lesson))
		}
		i := slices.IndexFunc(lesson.Asks, func(a lessons.Ask) bool { return a.Phase == phase })
		if i < 0 {
			return nil, fmt.Errorf("--predict: lesson %d does not ask for phase %.40q; want %s", lesson.Number, phase, predictForm(lesson))
		}
		if _, twice := given[phase]; twice {
			return nil, fmt.Errorf("--predict: phase %s is there twice; want %s", phase, predictForm(lesson))
		}
		v, err := parsePrediction(lesson.Asks[i].Metric, value)
		if err != nil {
			return nil, fmt.Errorf("--predict: phase %s: %w", phase, err)
		}
		given[phase] = v
	}
	return given, nil
}

// predictForm is what --predict looks like for a lesson.
func predictForm(lesson lessons.Lesson) string {
	parts := make([]string, len(lesson.Asks))
	for i, a := range lesson.Asks {
		parts[i] = a.Phase + "=" + map[results.Unit]string{results.Nanoseconds: "DURATION", results.Fraction: "PERCENTAGE", results.Plain: "NUMBER"}[results.UnitOfMetric(a.Metric)]
	}
	return strings.Join(parts, ",")
}

// parsePrediction reads a value of a metric, with its unit.
func parsePrediction(metric, text string) (float64, error) {
	compact := strings.ReplaceAll(strings.TrimSpace(text), " ", "")
	switch results.UnitOfMetric(metric) {
	case results.Nanoseconds:
		d, err := time.ParseDuration(compact)
		if err != nil || d <= 0 || d > longestPrediction {
			return 0, fmt.Errorf("%.40q is no latency; want one such as 2ms, 1s or 1.2s", text)
		}
		return float64(d), nil
	case results.Fraction:
		v, err := results.ParseFraction(compact)
		if err != nil || !(v >= 0 && v <= 1) {
			return 0, fmt.Errorf("%.40q is no rate; want one such as 99.9%%", text)
		}
		return v, nil
	}
	v, err := strconv.ParseFloat(compact, 64)
	if err != nil || v-v != 0 || v < 0 {
		return 0, fmt.Errorf("%.40q is no number; want one from 0 on", text)
	}
	return v, nil
}

// flag is the value of --predict that gives the same answers.
func (g answers) flag(lesson lessons.Lesson) string {
	var parts []string
	for _, a := range lesson.Asks {
		value := strconv.FormatFloat(g[a.Phase], 'g', -1, 64)
		if results.UnitOfMetric(a.Metric) == results.Nanoseconds {
			value = time.Duration(g[a.Phase]).String()
		}
		parts = append(parts, a.Phase+"="+value)
	}
	return strings.Join(parts, ",")
}

// predictions are the answers as the run stores them.
func (g answers) predictions(lesson lessons.Lesson, plan *scenarios.Plan) ([]results.Prediction, error) {
	var out []results.Prediction
	for _, a := range lesson.Asks {
		v, ok := g[a.Phase]
		if !ok {
			return nil, usagef("--predict: no prediction of phase %s; want %s", a.Phase, predictForm(lesson))
		}
		p, err := lesson.Prediction(plan, a, v)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// ask fills in the predictions that are missing from what the user types.
func ask(ctx context.Context, stdin io.Reader, w io.Writer, lesson lessons.Lesson, given answers) error {
	in := bufio.NewReaderSize(stdin, longestAnswer)
	file, ok := stdin.(*os.File)
	echoed := ok && term.IsTerminal(int(file.Fd()))
	asked := false
	for _, a := range lesson.Asks {
		if _, ok := given[a.Phase]; ok {
			continue
		}
		asked = true
		v, err := askOne(ctx, in, echoed, w, lesson, a)
		if err != nil {
			return err
		}
		given[a.Phase] = v
	}
	if asked {
		fmt.Fprintln(w)
	}
	return nil
}

func askOne(ctx context.Context, in *bufio.Reader, echoed bool, w io.Writer, lesson lessons.Lesson, a lessons.Ask) (float64, error) {
	for n := 1; ; n++ {
		fmt.Fprintf(w, "Your prediction of %s: ", a.Question)
		text, err := readLine(ctx, in)
		if err != nil || !echoed { // the line would not end otherwise
			fmt.Fprintln(w, strings.Trim(fmt.Sprintf("%.60q", text), `"`))
		}
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, io.EOF):
			return 0, usagef("no prediction of phase %s: the input has ended; type one, or give --predict %s", a.Phase, predictForm(lesson))
		case err != nil:
			return 0, usagef("no prediction of phase %s: %w; give --predict %s", a.Phase, err, predictForm(lesson))
		}
		v, err := parsePrediction(a.Metric, text)
		if err == nil {
			return v, nil
		}
		if n == attempts {
			return 0, usagef("no prediction of phase %s after %d attempts: %w", a.Phase, attempts, err)
		}
		fmt.Fprintln(w, err)
	}
}

// readLine reads a line without its end; a longer one than the buffer is cut.
func readLine(ctx context.Context, in *bufio.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	got := make(chan line, 1)
	go func() {
		text, err := in.ReadSlice('\n')
		got <- line{string(text), err}
	}()
	select {
	case l := <-got:
		if errors.Is(l.err, bufio.ErrBufferFull) || l.text != "" && errors.Is(l.err, io.EOF) {
			l.err = nil
		}
		return strings.TrimSpace(l.text), l.err
	case <-ctx.Done():
		// A read from a terminal cannot be called off. Its goroutine ends with
		// the program, which has been told to.
		return "", ctx.Err()
	}
}
