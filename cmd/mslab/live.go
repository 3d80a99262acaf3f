package main

import (
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"mslab/scenarios"
)

const (
	// sampleEvery is how often a load is glanced at.
	sampleEvery = 100 * time.Millisecond
	// loadFrames and runFrames are the times between two drawings. A run is
	// drawn less often: what draws it shares a core with its generator.
	loadFrames = 250 * time.Millisecond
	runFrames  = 500 * time.Millisecond

	// framesPerSecond is how often bubbletea looks for a new frame, which is how
	// old one may be when it is written: a window may have been resized since.
	framesPerSecond = 10

	// A smaller terminal gets plain lines.
	leastColumns = 40
	leastRows    = 6
)

// liveView is what a live display shows, and how: pure but for the time, which
// it is given.
type liveView[E any] interface {
	update(event E, at time.Time)
	// view is at most columns wide and rows high, without a last line break.
	view(columns, rows int, at time.Time) string
}

// display draws a view below what stands on a terminal, over and over. It reads
// nothing and changes no mode of the terminal, so that Ctrl-C stays a signal and
// nothing is left to be restored when it is killed; the cursor waits, visible,
// below what is drawn.
type display[E any] struct {
	terminal *os.File
	mu       sync.Mutex
	view     liveView[E]
	quit     chan struct{}
	done     chan struct{}
}

// startLive draws view every so often until end is called; first after the first
// wait, so that what is over by then draws nothing.
func startLive[E any](terminal *os.File, view liveView[E], every time.Duration) *display[E] {
	l := &display[E]{terminal: terminal, view: view, quit: make(chan struct{}), done: make(chan struct{})}
	go l.draw(every)
	return l
}

func (l *display[E]) tell(event E) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.update(event, time.Now())
}

// end takes the view away and returns once nothing is written any more.
func (l *display[E]) end() {
	close(l.quit)
	<-l.done
}

func (l *display[E]) draw(every time.Duration) {
	defer close(l.done)
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	defer signal.Stop(continued)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	d := drawing{terminal: l.terminal}
	for {
		select {
		case <-ticker.C:
			if !inForegroundOf(l.terminal) {
				d.leave() // stopped and continued in the background
				continue
			}
			columns, rows := terminalSize(l.terminal)
			l.mu.Lock()
			content := l.view.view(columns, rows-1, time.Now()) // the cursor's line is the last
			l.mu.Unlock()
			d.show(content, columns, rows)
		case <-continued:
			d.leave() // others have written since: draw anew, below
		case <-l.quit:
			d.erase()
			return
		}
	}
}

// inForegroundOf tells whether the terminal belongs to this job: a job in the
// background leaves it alone. In a sandbox the job is that of the process outside.
func inForegroundOf(terminal *os.File) bool {
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	if err != nil || group <= 0 || group == unix.Getpgrp() {
		return true // or it is not known whose it is
	}
	if scenarios.Inside() == scenarios.NoSandbox {
		return false
	}
	outside, err := unix.Getpgid(os.Getppid())
	return err != nil || group == outside
}

// drawing is a view on a terminal: a bubbletea program without input, which
// writes what differs between two frames.
type drawing struct {
	terminal      *os.File
	program       *tea.Program // nil where nothing is drawn
	out           *frameWriter
	over          chan struct{}
	columns, rows int
}

// show draws a frame, the first one where the cursor is.
func (d *drawing) show(content string, columns, rows int) {
	if d.program == nil {
		d.start(frame(content), columns, rows)
		return
	}
	if columns != d.columns || rows != d.rows {
		// The kernel tells the job in the foreground of a new size, which in a
		// sandbox this process is not.
		d.columns, d.rows = columns, rows
		d.program.Send(tea.WindowSizeMsg{Width: columns, Height: rows})
	}
	d.program.Send(frame(content))
}

func (d *drawing) start(first frame, columns, rows int) {
	d.columns, d.rows = columns, rows
	d.out = &frameWriter{terminal: d.terminal}
	d.over = make(chan struct{})
	// Of the environment only what says what the terminal can do: in tmux the
	// library would run tmux to ask.
	environment := []string{"TERM=" + os.Getenv("TERM")}
	if os.Getenv("NO_COLOR") != "" {
		environment = append(environment, "NO_COLOR=1")
	}
	d.program = tea.NewProgram(first, tea.WithInput(nil), tea.WithOutput(d.out), tea.WithoutSignalHandler(),
		tea.WithFPS(framesPerSecond), tea.WithEnvironment(environment))
	go func() {
		defer close(d.over)
		_, _ = d.program.Run() // it fails where the terminal is gone, and so is who looks at it
	}()
}

// erase takes the drawing away.
func (d *drawing) erase() {
	if d.program == nil {
		return
	}
	d.program.Send(frame(""))
	d.end()
}

// leave lets the drawing stand as it is; the next one begins below.
func (d *drawing) leave() {
	if d.program == nil {
		return
	}
	d.out.muted.Store(true)
	d.end()
}

func (d *drawing) end() {
	d.program.Quit()
	<-d.over
	d.program = nil
}

// frame is a drawn view, as bubbletea's model of it.
type frame string

func (f frame) Init() tea.Cmd { return nil }

func (f frame) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if next, ok := msg.(frame); ok {
		return next, nil
	}
	return f, nil
}

func (f frame) View() tea.View {
	v := tea.NewView("")
	v.DisableBracketedPasteMode = true
	// Hidden, the cursor would stay so after a kill. No shape leaves it the
	// user's own.
	v.Cursor = tea.NewCursor(0, 0)
	v.Cursor.Shape, v.Cursor.Blink = -1, false
	if f != "" {
		v.SetContent(string(f) + "\n")
		v.Cursor.Y = strings.Count(string(f), "\n") + 1
	}
	return v
}

// frameWriter is a terminal that frames are written to. It is a file to
// bubbletea, which asks it for its size.
type frameWriter struct {
	terminal *os.File
	muted    atomic.Bool
}

// Write begins at the left edge, where the cursor was left, since the terminal
// may have echoed what the user typed there, such as ^C.
func (w *frameWriter) Write(p []byte) (int, error) {
	if w.muted.Load() {
		return len(p), nil
	}
	if _, err := w.terminal.Write(append([]byte{'\r'}, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *frameWriter) Read([]byte) (int, error) { return 0, syscall.EBADF }
func (w *frameWriter) Close() error             { return nil }
func (w *frameWriter) Fd() uintptr              { return w.terminal.Fd() }
