package server

import (
	"runtime"
	"sync"
)

// execThreads makes an OS thread for each connection, which ends with it.
type execThreads struct {
	*acceptor
	budget *threadBudget
}

func (e *execThreads) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var threads sync.WaitGroup
	defer threads.Wait()
	for {
		fd, err := e.accept()
		if err != nil {
			return err
		}
		if !e.budget.take() {
			e.refuse(fd)
			continue
		}
		threads.Add(1)
		go e.thread(fd, &threads)
	}
}

// thread locks the goroutine to its thread and never unlocks it, so that the
// runtime ends the thread with the goroutine: one clone(2) a connection.
func (e *execThreads) thread(fd int, threads *sync.WaitGroup) {
	runtime.LockOSThread()
	defer threads.Done()
	defer e.budget.give()
	e.serve(fd)
}
