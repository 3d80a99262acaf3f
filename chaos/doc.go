// Package chaos breaks a server on purpose, and always heals what it broke.
//
// A fault is undone by layers, each of which works where the one before it does
// not come to it:
//
//  1. The process that injected it heals it: when its time is over, its context
//     ends, or it is told to.
//  2. The kernel does, where the fault hangs on a descriptor or a lease: an nft
//     table vanishes with the socket that owns it.
//  3. A reaper does, a process in a session of its own that waits for the end of
//     a pipe: the pipe ends with the process that injected, however that ended.
//  4. The next command that injects does, or HealAll, from the journal.
//
// The journal holds a file for each injection. It is on disk before the fault is
// injected and is removed after the fault is healed.
//
// Nothing outside of the loopback device is broken, unless the caller says that
// it has made the network namespace itself.
package chaos
