package scenarios

import "io"

// insideEnv marks the program that InNamespace starts: it holds the network
// namespace that it came from.
const insideEnv = "MSLAB_OUTER_NETNS"

// Stdio is what a program started by InNamespace reads and writes.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}
