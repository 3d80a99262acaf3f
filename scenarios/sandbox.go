package scenarios

import "io"

// Sandbox is where the trials of a run are played, as its record says it.
type Sandbox string

const (
	// NoSandbox is the network that this process was started in.
	NoSandbox Sandbox = "none"
	// NetworkSandbox takes root. User ids are those outside.
	NetworkSandbox Sandbox = "network and mount namespace"
	// UserSandbox takes no rights, but some systems forbid it. The user that
	// runs is uid 0 in there and has all capabilities over that network and
	// those mounts; outside it stays what it is.
	UserSandbox Sandbox = "network and mount namespace in a user namespace"
)

// SandboxVariable marks the program that Sandbox.Run and FindSandbox start. A
// test binary that does not play that program must refuse to test with it: else
// it would start all its tests where one more process is expected.
const SandboxVariable = "MSLAB_SANDBOX"

// mark is the value of SandboxVariable.
type mark struct {
	Sandbox Sandbox `json:"sandbox"`
	Outer   string  `json:"outer"`           // the network namespace that it came from
	Probe   bool    `json:"probe,omitempty"` // see AnswerProbe
	// Sysctls are those outside that a record names. A new network namespace
	// begins with the kernel's defaults, whatever the host is set to.
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// Stdio is what a program started by Sandbox.Run reads and writes. A file is
// handed on as it is.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}
