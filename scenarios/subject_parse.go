package scenarios

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"mslab/server"
)

// ParseSubject reads NAME=PHASE|./binary|"command"|URL of --subject. A phase is
// a number or a name as mslab phases list shows them; a URL begins with http://
// or https://; anything else is a command, whose words are split as a shell
// splits them (see SplitCommand), and whose program must be there and be
// executable.
func ParseSubject(text string) (SubjectSpec, error) {
	name, what, found := strings.Cut(text, "=")
	switch {
	case !found || !subjectPattern.MatchString(name):
		return SubjectSpec{}, fmt.Errorf("%q: want NAME=PHASE, NAME=./binary, NAME=\"command\" or NAME=URL, with a name of at most 40 letters, digits and . _ + -", text)
	case strings.TrimSpace(what) == "":
		return SubjectSpec{}, fmt.Errorf("%q: nothing comes after the name; want a phase, a command or a URL", text)
	}
	s := SubjectSpec{Name: name}
	what = strings.TrimSpace(what)
	if strings.HasPrefix(what, "http://") || strings.HasPrefix(what, "https://") {
		s.URL = what
		return s, s.Check()
	}
	_, phaseErr := server.FindPhase(what)
	if phaseErr == nil {
		s.Phase = what
		return s, nil
	}
	var err error
	if s.Command, err = SplitCommand(what); err != nil {
		return SubjectSpec{}, fmt.Errorf("%s=%s: %w", name, what, err)
	}
	if err := checkProgram(s.Command, phaseErr); err != nil {
		return SubjectSpec{}, fmt.Errorf("%s=%s: %w", name, what, err)
	}
	return s, s.Check()
}

// checkProgram looks for the program of a command. noPhase is why the command
// is no phase, for a word that may be meant as one.
func checkProgram(command []string, noPhase error) error {
	if command[0] == programWord {
		return nil
	}
	_, err := exec.LookPath(command[0])
	if err == nil || errors.Is(err, exec.ErrDot) {
		return nil
	}
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		err = lookup.Err
	}
	if len(command) == 1 && !strings.Contains(command[0], "/") {
		return fmt.Errorf("%w, and no program of that name can be run: %w", noPhase, err)
	}
	return fmt.Errorf("the program %s cannot be run: %w", command[0], err)
}

// SplitCommand splits a command into words by the quoting rules of a POSIX
// shell: blanks part words, '…' takes all as it is, "…" takes all but \" and \\
// (and \$ and \`), and \ takes the next character as it is. No shell is
// involved: there are no variables, patterns, pipes or redirections, and an
// unquoted character that would ask a shell for one is an error, so that nobody
// waits for what does not come.
func SplitCommand(text string) ([]string, error) {
	sp := splitter{rest: text}
	for sp.rest != "" {
		if err := sp.next(); err != nil {
			return nil, err
		}
	}
	sp.end()
	if len(sp.words) == 0 || sp.words[0] == "" {
		return nil, errors.New("want a program, have none")
	}
	return sp.words, nil
}

type splitter struct {
	rest  string
	words []string
	word  strings.Builder
	open  bool // a word has begun, if only by empty quotes
}

// shellOnly are the characters that mean something to a shell wherever they
// stand, and that nothing here answers to.
const shellOnly = "|&;<>()$`\n"

func (sp *splitter) next() error {
	c := sp.rest[0]
	sp.rest = sp.rest[1:]
	switch {
	case c == ' ' || c == '\t':
		sp.end()
	case c == '\'':
		inside, after, closed := strings.Cut(sp.rest, "'")
		if !closed {
			return errors.New("a ' is not closed")
		}
		sp.add(inside)
		sp.rest = after
	case c == '"':
		return sp.quoted()
	case c == '\\':
		if sp.rest == "" {
			return errors.New("nothing comes after the last \\")
		}
		sp.add(sp.rest[:1])
		sp.rest = sp.rest[1:]
	case strings.IndexByte(shellOnly, c) >= 0:
		return fmt.Errorf("%q asks for a shell, and none is involved; quote it, or write sh -c '…'", string(c))
	case c == 0:
		return errors.New("a command cannot hold NUL")
	default:
		sp.add(string([]byte{c}))
	}
	return nil
}

// quoted takes what is in double quotes.
func (sp *splitter) quoted() error {
	sp.add("")
	for i := 0; i < len(sp.rest); i++ {
		switch c := sp.rest[i]; {
		case c == '"':
			sp.rest = sp.rest[i+1:]
			return nil
		case c == '\\' && i+1 < len(sp.rest) && strings.IndexByte("\"\\$`", sp.rest[i+1]) >= 0:
			i++
			sp.add(sp.rest[i : i+1])
		case c == 0:
			return errors.New("a command cannot hold NUL")
		default:
			sp.add(sp.rest[i : i+1])
		}
	}
	return errors.New("a \" is not closed")
}

func (sp *splitter) add(text string) {
	sp.word.WriteString(text)
	sp.open = true
}

func (sp *splitter) end() {
	if sp.open {
		sp.words = append(sp.words, sp.word.String())
	}
	sp.word.Reset()
	sp.open = false
}
