package loadgen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// replay starts requests at the times of a recording.
type replay struct{ times []time.Duration }

func (r *replay) next() (int64, bool) {
	if len(r.times) == 0 {
		return 0, false
	}
	at := r.times[0]
	r.times = r.times[1:]
	return int64(at), true
}

func replayArrival() arrival {
	return arrival{
		Replay, checkReplay,
		func(p *Plan) schedule { return &replay{p.Replay} },
		func(*Plan) schedule { return &replay{} },
	}
}

func checkReplay(p *Plan) error {
	switch {
	case len(p.Replay) == 0:
		return errors.New("check the load: a replay needs the times to replay")
	case p.Rate != 0 || len(p.Rates) > 0:
		return errors.New("check the load: a replay has no rate, its times say when requests start")
	case p.Warmup > 0:
		return errors.New("check the load: a replay has no warm-up; put the requests to warm up with at the beginning of another load")
	}
	last := time.Duration(0)
	for i, at := range p.Replay {
		if at < last {
			return fmt.Errorf("check the load: time %d to replay, %v, lies before the one before it", i+1, at)
		}
		last = at
	}
	if mean := float64(len(p.Replay)) / last.Seconds(); last > 0 && mean > MaxRate {
		return fmt.Errorf("check the load: the times to replay ask for %.3g requests/s, the limit is %.0f; a whole number is ns, seconds have a decimal point",
			mean, MaxRate)
	}
	return nil
}

// longestReplay bounds a time to replay: a year. A wall-clock time is beyond.
const longestReplay = 365 * 24 * time.Hour

// ParseReplay reads times since the start of a load, one a line and in order:
// seconds where any of them has a decimal point, else nanoseconds. Empty lines
// and those that begin with # are passed over.
func ParseReplay(r io.Reader) ([]time.Duration, error) {
	var lines []string
	var numbers []int
	seconds := false
	in := bufio.NewScanner(r)
	n := 0
	for in.Scan() {
		n++
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		seconds = seconds || strings.Contains(text, ".")
		lines, numbers = append(lines, text), append(numbers, n)
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: it is longer than any time, over 64 KiB", n+1)
	} else if err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	if len(lines) == 0 {
		return nil, errors.New("it holds no times")
	}
	times := make([]time.Duration, len(lines))
	for i, text := range lines {
		at, err := parseOffset(text, seconds)
		if err == nil && i > 0 && at < times[i-1] {
			err = fmt.Errorf("%s lies before the time in front of it; sort the file", text)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", numbers[i], err)
		}
		times[i] = at
	}
	return times, nil
}

func parseOffset(text string, seconds bool) (time.Duration, error) {
	ns, err := 0.0, error(nil)
	if seconds {
		if ns, err = strconv.ParseFloat(text, 64); err == nil {
			ns = math.Round(ns * float64(time.Second))
		}
	} else {
		var whole int64
		whole, err = strconv.ParseInt(text, 10, 64)
		ns = float64(whole)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%.40q is no number of seconds or ns", text)
	case !(ns >= 0):
		return 0, fmt.Errorf("%s is not a time since the start", text)
	case ns > float64(longestReplay):
		return 0, fmt.Errorf("%s is over a year after the start; times count from the start of the load", text)
	}
	return time.Duration(ns), nil
}
