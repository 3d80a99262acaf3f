package server

import "runtime"

// execSerial answers on the thread that accepts, one connection at a time.
type execSerial struct {
	*acceptor
}

func (e *execSerial) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		fd, err := e.accept()
		if err != nil {
			return err
		}
		e.serve(fd)
	}
}
