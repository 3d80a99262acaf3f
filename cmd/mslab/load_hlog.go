package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/pflag"

	"mslab/loadgen"
	"mslab/results/record"
)

// intervalLog is the HdrHistogram interval log of a load, where one is asked for.
type intervalLog struct {
	name  string // "": none
	file  *outFile
	begun time.Time // when the measured time began; zero where it never did
}

func (l *intervalLog) addFlags(f *pflag.FlagSet) {
	f.StringVar(&l.name, "hlog", "", "write the latency histograms to this file, as an HdrHistogram interval log")
}

// check refuses the name of another output.
func (l *intervalLog) check(outFile, ledgerFile string) error {
	for _, other := range [][2]string{{"out", outFile}, {"ledger", ledgerFile}} {
		if l.name != "" && other[1] != "" && filepath.Clean(l.name) == filepath.Clean(other[1]) {
			return usagef("--hlog and --%s name the same file", other[0])
		}
	}
	return nil
}

// create opens the file, and has the load tell when its measured time begins.
func (l *intervalLog) create(p *loadgen.Plan) error {
	if l.name == "" {
		return nil
	}
	var err error
	if l.file, err = createOut(l.name); err != nil {
		return err
	}
	p.Begun = func(at time.Time) { l.begun = at }
	return nil
}

func (l *intervalLog) abort() { l.file.Abort() }

// keep writes the log of a finished load.
func (l *intervalLog) keep(r *record.Record) error {
	if l.file == nil {
		return nil
	}
	if err := writeIntervalLog(l.file, r, l.begun); err != nil {
		return fmt.Errorf("write %s: %w", l.file.target(), cause(err))
	}
	return l.file.Commit()
}

// writeIntervalLog writes the histograms of a record as an HdrHistogram interval
// log, format 1.3 (HistogramLogReader and HistogramLogWriter of
// github.com/HdrHistogram/HdrHistogram). It has one interval for each histogram,
// the whole measured window up to its last answer: of single seconds a record
// keeps percentiles, from which no histogram can be made. Without a window it has
// no interval.
func writeIntervalLog(w io.Writer, r *record.Record, begun time.Time) error {
	log := hdrhistogram.NewHistogramLogWriter(w)
	started := begun
	if begun.IsZero() {
		started = r.Started
	}
	errs := []error{
		log.OutputComment(fmt.Sprintf("[mslab %s: %s]", r.Tool.Version, loadTitle(r))),
		log.OutputLogFormatVersion(),
		// The library's own line of the start has no milliseconds.
		log.OutputComment(fmt.Sprintf("[StartTime: %.3f (seconds since epoch), %s]", float64(started.UnixMilli())/1e3, started.UTC().Format(time.RFC3339Nano))),
		log.OutputComment("[Values are ns, Interval_Max is ms. Each interval is the whole measured window.]"),
		log.OutputComment("[Tag response: ok requests, from their intended start to the answer (open loop only).]"),
		log.OutputComment("[Tag service: ok requests, from the send or the connect to the answer.]"),
		log.OutputComment("[Tag response.CLASS, service.CLASS: requests that failed so.]"),
	}
	if r.Incomplete {
		errs = append(errs, log.OutputComment("[INCOMPLETE: interrupted; this is what was measured so far.]"))
	}
	if err := errors.Join(append(errs, log.OutputLegend())...); err != nil {
		return err
	}
	if begun.IsZero() || r.Little == nil {
		return nil
	}
	for _, l := range []*record.Latency{&r.Latency, r.Service} {
		if err := writeIntervals(log, l, begun, begun.Add(time.Duration(r.Little.WindowNS))); err != nil {
			return err
		}
	}
	return nil
}

// writeIntervals writes the histogram of the ok requests, and one of each class.
func writeIntervals(log *hdrhistogram.HistogramLogWriter, l *record.Latency, from, to time.Time) error {
	if l == nil {
		return nil
	}
	write := func(tag string, l *record.Latency) error {
		h, err := l.Histogram()
		if err != nil {
			return err
		}
		h.SetTag(tag)
		h.SetStartTimeMs(from.UnixMilli())
		h.SetEndTimeMs(to.UnixMilli())
		return log.OutputIntervalHistogram(h)
	}
	err := write(l.Kind, l)
	for _, class := range slices.DeleteFunc(slices.Clone(record.Classes), func(c record.Class) bool { return l.ByClass[c] == nil }) {
		err = errors.Join(err, write(l.Kind+"."+string(class), l.ByClass[class]))
	}
	return err
}
