package server

// newExecutor binds the ingest address and makes the recipe's executor.
func newExecutor(s *Server) (executor, error) {
	a, err := newAcceptor(s)
	if err != nil {
		return nil, err
	}
	switch s.config.Recipe.Exec {
	case "serial":
		return &execSerial{a}, nil
	case "threads":
		return &execThreads{a, newThreadBudget(s.config.MaxThreads)}, nil
	default:
		return newExecPool(a, s.config.Recipe.Guard), nil
	}
}
